"""Text, conversations and control tokens: the one place where anything is encoded.

What a page or a person wrote is text: it never becomes a control token, whatever it spells. Control
tokens come from a tokenizer's chat template alone, which says how a conversation is written, and
from the begin of a text. All of this holds for any tokenizer of Hugging Face's form.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, pre_tokenizers

from storage.errors import Fault, RunError

END_OF_TEXT = "<|endoftext|>"  # between documents, and before the first
PAD = "<|pad|>"  # never the end of text: a model that learns from padding never stops (trl #456)
SYSTEM = "<|system|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
TOOL = "<|tool|>"
END_OF_TURN = "<|end|>"
SPECIAL_TOKENS = (END_OF_TEXT, PAD, USER, ASSISTANT, END_OF_TURN, SYSTEM, TOOL)

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
  {%- if message['role'] not in ['system', 'user', 'assistant', 'tool'] -%}
    {{- raise_exception('the role ' ~ message['role'] ~ '; expected system, user, assistant or '
        ~ 'tool') -}}
  {%- endif -%}
  {%- set content = namespace(text='') -%}
  {%- if message['content'] is string -%}
    {%- set content.text = message['content'] -%}
  {%- elif message['content'] is defined and message['content'] is sequence -%}
    {%- for part in message['content'] -%}
      {%- if part['type'] != 'text' -%}
        {{- raise_exception('a part of type ' ~ part['type'] ~ '; expected text') -}}
      {%- endif -%}
      {%- set content.text = content.text + part['text'] -%}
    {%- endfor -%}
  {%- else -%}
    {{- raise_exception('a turn without content; expected a text, or a list of parts') -}}
  {%- endif -%}
  {{- '<|' + message['role'] + '|>' -}}
  {%- if message['role'] == 'assistant' -%}
    {%- generation -%}{{- content.text + '<|end|>' -}}{%- endgeneration -%}
  {%- else -%}
    {{- content.text + '<|end|>' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""

Split = Literal["gpt2", "llama3", "qwen2", "qwen35"]

# llama.cpp recognises a pre-tokenizer by the ids it gives: these must stay letter for letter.
# Source: openai/tiktoken (gpt2), meta-llama/llama3 tokenizer.py, Qwen/Qwen2 and
# Qwen/Qwen3.5 tokenizer.json.
SPLIT_PATTERNS: dict[Split, str] = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    # Combining marks are letters here: vowel signs of Indic scripts and Thai, and accents that no
    # composed letter has, stay in their word.
    "qwen35": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
        r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}


def pre_tokenizer_of(split: Split) -> pre_tokenizers.PreTokenizer:
    """Make what splits text before merging, in the form in which others recognise it."""
    if split == "gpt2":  # ByteLevel's own; as a pattern the ids would be the same
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return cut_by(SPLIT_PATTERNS[split])


def cut_by(*patterns: str) -> pre_tokenizers.PreTokenizer:
    """Make what cuts text at patterns, one after the other, and writes its bytes as characters."""
    splits = [pre_tokenizers.Split(Regex(one), behavior="isolated") for one in patterns]
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*splits, as_bytes])


Message = Mapping[str, Any]
"""One turn: its `role`, and its `content`, a text or a list of {"type": "text", "text": …}."""


@dataclass(frozen=True)
class Exchange:
    """A conversation as ids; `learnt` says of each whether the assistant wrote it."""

    ids: list[int]
    learnt: list[bool]


# By these names models know what ends a document; the `eos_token` of one that chats ends a turn.
_ENDS_OF_TEXT = (
    END_OF_TEXT,
    "<|end_of_text|>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "</s>",
    "<eos>",
    "[SEP]",
)
# An added token of this form is written by a template or a trainer, also where it does not say that
# it is special (Qwen's <think>); others are text: runs of spaces, words of a field.
_MARKUP = re.compile(r"[<\[{|].*[>\]}|]", re.DOTALL)
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_MARKS = re.compile(r"{%-?\s*generation\b")


class TextEncoder:
    """A tokenizer that takes text for text, and conversations as its chat template writes them.

    `tokenizer` looks ids up and decodes; text is encoded by a copy that knows no control token.
    """

    def __init__(self, tokenizer: Tokenizer, config: Mapping[str, Any] | None = None) -> None:
        """Take a tokenizer, and what its tokenizer_config.json says of templates and tokens."""
        described = json.loads(tokenizer.to_str())
        described |= {"padding": None, "truncation": None}  # what is encoded is encoded whole
        self.tokenizer = Tokenizer.from_str(json.dumps(described))
        self.config = {} if config is None else config
        self.control = _control_tokens(described, self.named_tokens(), tokenizer)
        _forget(described, self.control)
        self.text_tokenizer = Tokenizer.from_str(json.dumps(described))

    # --- control tokens ---------------------------------------------------------------------------

    def named_tokens(self) -> dict[str, str]:
        """Give the tokens that the configuration names: `eos_token` and the like."""
        named = {k: v for k, v in self.config.items() if k.endswith("_token") and v}
        contents = {k: v["content"] if isinstance(v, Mapping) else v for k, v in named.items()}
        return {name: text for name, text in contents.items() if isinstance(text, str)}

    @cached_property
    def end_of_text(self) -> int:
        """The id that stands between documents. Raises RunError if there is none."""
        names = (*_ENDS_OF_TEXT, self.named_tokens().get("eos_token"))
        found = [self.control[name] for name in names if name in self.control]
        if not found:
            expected = f"one of {', '.join(_ENDS_OF_TEXT)}, or an eos_token in {TOKENIZER_CONFIG}"
            remedy = f"Name the token that ends a text as eos_token in {TOKENIZER_CONFIG}."
            told = ", ".join(list(self.control)[:8]) or "none"
            found_ = f"no token that ends a text (control tokens: {told})"
            raise RunError(Fault(TOKENIZER, found_, expected, remedy, "no_end_of_text"))
        return found[0]

    @cached_property
    def opening(self) -> tuple[int, ...]:
        """The ids that a text begins with: those that the tokenizer puts before it, or an end of
        text, as documents begin in training."""
        return self.put_before or (self.end_of_text,)

    @cached_property
    def put_before(self) -> tuple[int, ...]:
        """The ids that the tokenizer itself puts before a text, when it is asked to."""
        whole = self.tokenizer.encode("a", add_special_tokens=True)
        count = next((n for n, one in enumerate(whole.special_tokens_mask) if not one), 0)
        return tuple(whole.ids[:count])

    @cached_property
    def pad(self) -> int | None:
        """The `pad_token`'s id; none where it ends something, as a model that learns from padding
        would never stop (trl #456). Batches are masked by length, so that none is needed."""
        found = self.control.get(self.named_tokens().get("pad_token", ""))
        return None if found in self.stops else found

    @cached_property
    def stops(self) -> frozenset[int]:
        """The ids that end what a model says: the end of text, the `eos_token`, and what the chat
        template writes after a turn of the assistant. Raises RunError if it takes no such turn."""
        return frozenset({self.end_of_text, self.eos, *self._ends_of_turn()})

    @property
    def eos(self) -> int:
        """The `eos_token`'s id: what generation ends with, in a chat the end of a turn."""
        return self.control.get(self.named_tokens().get("eos_token", ""), self.end_of_text)

    def _ends_of_turn(self) -> Iterator[int]:
        if not self.config.get("chat_template"):
            return
        answer = "\U000f0000"  # no template writes it
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}]
        rendered, _ = self._fill_in(turns, answer=False)
        after = self._cut(rendered.rpartition(answer)[2])
        yield from [self.control[piece] for piece, *_ in after if piece in self.control][:1]

    # --- text -------------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder: Path) -> TextEncoder:
        """Load the tokenizer of a tokenizer or model folder."""
        return cls(load_tokenizer(folder), tokenizer_config(folder))

    @classmethod
    def described_by(cls, described: Mapping[str, Any], config: Mapping[str, Any]) -> TextEncoder:
        """Build the tokenizer that a tokenizer.json and a tokenizer_config.json describe."""
        return cls(Tokenizer.from_str(json.dumps(described)), config)

    def encode(self, text: str) -> list[int]:
        """Give the ids of a text."""
        ids: list[int] = self.text_tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Give the ids of each text."""
        found = self.text_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [one.ids for one in found]

    def words(self, text: str) -> list[list[str]]:
        """Give the entries of each word of a text, as it is split before pairs are merged."""
        found = self.text_tokenizer.encode(text, add_special_tokens=False)
        by_word = groupby(zip(found.word_ids, found.tokens, strict=True), key=itemgetter(0))
        return [[token for _, token in word] for _, word in by_word]

    def pieces(self, text: str) -> list[str]:
        """Cut a text where its tokens end; bytes of one character stay together."""
        offsets = self.text_tokenizer.encode(text, add_special_tokens=False).offsets
        return [text[start:end] for start, end in offsets]

    def begin(self, text: str) -> list[int]:
        """Give the ids of a text that begins here, as documents begin in training."""
        return [*self.opening, *self.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of ids, without control tokens."""
        return str(self.tokenizer.decode(list(ids)))

    # --- conversations ----------------------------------------------------------------------------

    def converse(self, messages: Sequence[Message], *, answer: bool = False) -> Exchange:
        """Write a conversation; with `answer`, up to where the assistant's next turn begins.

        Raises RunError for what the chat template refuses, such as an unknown role.
        """
        hidden = _Hidden(self.control, messages)
        rendered, marks = self._render(hidden.messages, answer)
        ids: list[int] = []
        learnt: list[bool] = []
        for piece, start, end in self._cut(rendered):
            control = self.control.get(piece)
            if control is not None:
                ids.append(control)
                learnt.append(marks[start])
                continue
            text, flags = hidden.restore(piece, marks[start:end])
            encoder = self._within if start else self.text_tokenizer
            encoding = encoder.encode(text, add_special_tokens=False)
            ids += encoding.ids
            learnt += [any(flags[a:b]) for a, b in encoding.offsets]
        return Exchange(ids, learnt)

    @cached_property
    def _within(self) -> Tokenizer:
        """Encodes text that does not stand first: some tokenizers begin the first with a space."""
        described = json.loads(self.text_tokenizer.to_str())
        always, never = '"prepend_scheme": "first"', '"prepend_scheme": "never"'
        cutter = json.dumps(described["pre_tokenizer"]).replace(always, never)
        return Tokenizer.from_str(json.dumps({**described, "pre_tokenizer": json.loads(cutter)}))

    @cached_property
    def _boundaries(self) -> re.Pattern[str]:
        added = {one.content: one for one in self.tokenizer.get_added_tokens_decoder().values()}
        patterns = []
        for token in sorted(self.control, key=len, reverse=True):
            one = added.get(token)  # some take the white space beside them, too
            before = r"\s*" if one and one.lstrip else ""
            after = r"\s*" if one and one.rstrip else ""
            patterns.append(f"{before}{re.escape(token)}{after}")
        return re.compile(f"({'|'.join(patterns)})") if patterns else re.compile("(?!)")

    def _cut(self, rendered: str) -> Iterator[tuple[str, int, int]]:
        """Cut a rendered conversation at its control tokens: each piece, and where it stands."""
        at = 0
        for piece in self._boundaries.split(rendered):
            if piece:
                token = piece.strip()
                yield (token if token in self.control else piece), at, at + len(piece)
            at += len(piece)

    def _render(self, messages: Sequence[Message], answer: bool) -> tuple[str, list[bool]]:
        """Give the text of a conversation, and of each character whether the assistant wrote it."""
        rendered, spans = self._fill_in(messages, answer)
        if not spans:
            spans = list(self._spans_by_turns(messages, rendered))
        marks = [False] * len(rendered)
        for start, end in spans:
            marks[start:end] = [True] * (end - start)
        return rendered, marks

    def _fill_in(
        self, messages: Sequence[Message], answer: bool
    ) -> tuple[str, list[tuple[int, int]]]:
        """Render with the template; gives what it marks with {% generation %}, too."""
        # 2 s with torch; only wanted where there are conversations.
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        template = self.config.get("chat_template")
        if not template:
            raise RunError(
                Fault(
                    TOKENIZER_CONFIG,
                    "no chat_template",
                    "one, which says how a conversation is written",
                    "Take a tokenizer that has one, such as phusa's tokenizer stage makes.",
                    "no_chat_template",
                )
            )
        render: Any = render_jinja_template  # it is said to return a string
        try:
            (rendered,), spans = render(
                [list(messages)],
                chat_template=template,
                return_assistant_tokens_mask=bool(_MARKS.search(template)),
                add_generation_prompt=answer,
                **self.named_tokens(),
            )
        except (TemplateError, TypeError) as error:
            roles = ", ".join(str(message.get("role")) for message in messages)
            expected = "turns that the chat template takes"
            fault = Fault(f"a conversation of {roles}", str(error), expected, "Mend its turns.")
            raise RunError(fault) from error
        return rendered, [(start, end) for start, end in (spans[0] if spans else ())]

    def _spans_by_turns(
        self, messages: Sequence[Message], rendered: str
    ) -> Iterator[tuple[int, int]]:
        """Find the assistant's turns where a template marks none: what follows when all turns
        before are rendered up to where its answer begins."""
        for index, message in enumerate(messages):
            if message.get("role") != "assistant":
                continue
            before, _ = self._fill_in(messages[:index], answer=True)
            after, _ = self._fill_in(messages[: index + 1], answer=False)
            if not (rendered.startswith(before) and rendered.startswith(after)):
                raise RunError(
                    Fault(
                        f"turn {index + 1} of a conversation",
                        "a chat template that rewrites earlier turns and marks no assistant's text",
                        "{% generation %} around what the assistant writes",
                        "Add these marks to the chat template.",
                        "no_generation_marks",
                    )
                )
            yield len(before), len(after)


class _Hidden:
    """Messages whose text spells no control token, and how to write them out again.

    In the place of each such spelling stands a character that is in none of the messages, so that
    a control token in the rendered text is the template's own.
    """

    def __init__(self, control: Mapping[str, int], messages: Sequence[Message]) -> None:
        said = "".join(_strings(list(messages)))
        spelt = [token for token in control if token in said]
        free = (chr(code) for code in range(0xF0000, 0x10FFFE) if chr(code) not in said)
        self._written = {next(free): token for token in sorted(spelt, key=len, reverse=True)}
        self.messages = [self._hide(message) for message in messages]

    def _hide(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._hide(of) for key, of in value.items()}
        if isinstance(value, list | tuple):
            return [self._hide(of) for of in value]
        if isinstance(value, str):
            for mark, token in self._written.items():
                value = value.replace(token, mark)
        return value

    def restore(self, piece: str, flags: Sequence[bool]) -> tuple[str, list[bool]]:
        """Write a piece out again, with the flag of each of its characters."""
        whole = [self._written.get(character, character) for character in piece]
        spread = [flag for text, flag in zip(whole, flags, strict=True) for _ in text]
        return "".join(whole), spread


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, str):
        yield value


TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a tokenizer or model folder."""
    return Tokenizer.from_file(str(folder / TOKENIZER))


def tokenizer_config(folder: Path) -> dict[str, Any]:
    """Read what a tokenizer or model folder says of its tokens and its chat template."""
    said: dict[str, Any] = {}
    for name in ("special_tokens_map.json", TOKENIZER_CONFIG):  # the latter has the last word
        if (folder / name).exists():
            said |= json.loads((folder / name).read_text(encoding="utf-8"))
    template = folder / "chat_template.jinja"
    if template.exists():
        said["chat_template"] = template.read_text(encoding="utf-8")
    if isinstance(said.get("chat_template"), list):  # several, by name
        by_name = {one["name"]: one["template"] for one in said["chat_template"]}
        said["chat_template"] = by_name.get("default")
    return said


def is_byte(token: str) -> bool:
    """Whether a token stands for a byte of a character that has no entry."""
    return _BYTE.fullmatch(token) is not None


def merges_of(model: Mapping[str, Any]) -> list[list[str]]:
    """Give the merges of a tokenizer.json's BPE, which old files write with a space between."""
    return [
        pair.split(" ") if isinstance(pair, str) else list(pair) for pair in model.get("merges", [])
    ]


def _control_tokens(
    described: Mapping[str, Any], named: Mapping[str, str], tokenizer: Tokenizer
) -> dict[str, int]:
    """Find the ids that no text may become: special tokens, and added ones that are markup."""
    found = {
        token["content"]: token["id"]
        for token in described["added_tokens"]
        if token["special"] or _MARKUP.fullmatch(token["content"])
    }
    others = {text: tokenizer.token_to_id(text) for text in named.values() if text not in found}
    return found | {text: at for text, at in others.items() if at is not None}


def _forget(described: dict[str, Any], control: Mapping[str, int]) -> None:
    """Take control tokens out of a tokenizer.json, so that no text can spell one.

    A model that has them among its own entries keeps these ids, under names that nobody can guess.
    """
    model, added = described["model"], described["added_tokens"]
    described |= {
        "added_tokens": [token for token in added if token["content"] not in control],
        "post_processor": None,
    }
    hidden = {text: f"{secrets.token_hex(16)}{at}" for text, at in control.items()}
    hidden.pop(model.get("unk_token"), None)  # what text becomes that has no entry
    # Added tokens get the ids of entries of their text; without one, those behind the last entry.
    if isinstance(model["vocab"], dict):
        ids = model["vocab"] | {token["content"]: token["id"] for token in added}
        model["vocab"] = {hidden.get(text, text): at for text, at in ids.items()}
    else:  # of Unigram: pieces with their scores
        unknown, size = model.get("unk_id"), len(model["vocab"])
        later = sorted((token["id"], token["content"]) for token in added if token["id"] >= size)
        model["vocab"] = [
            [text if at == unknown else hidden.get(text, text), score]
            for at, (text, score) in enumerate([*model["vocab"], *((text, 0) for _, text in later)])
        ]
    if "merges" in model:
        model["merges"] = [
            [a, b]
            for a, b in merges_of(model)
            if not {a, b, a + b} & hidden.keys() and not is_byte(a + b)
        ]
