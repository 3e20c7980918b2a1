"""Text, conversations and control tokens: the one place where anything is encoded.

What a page or a person wrote is text: it never becomes a control token, whatever it spells. Control
tokens come from a tokenizer's chat template alone, which says how a conversation is written, and
from the begin of a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from storage.errors import DamagedArtifact, Fault, RunError

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

Message = Mapping[str, Any]
"""One turn: its `role`, and its `content`, a text or a list of {"type": "text", "text": …}."""


@dataclass(frozen=True)
class Exchange:
    """A conversation as ids; `learnt` says of each whether the assistant wrote it."""

    ids: list[int]
    learnt: list[bool]


class TextEncoder:
    """A tokenizer that takes text for text, and conversations as its chat template writes them."""

    def __init__(self, tokenizer: Tokenizer, config: Mapping[str, Any] | None = None) -> None:
        """Take a tokenizer, and what its tokenizer_config.json says of templates and tokens."""
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())  # the caller's stays as it is
        self.tokenizer.encode_special_tokens = True
        self.config = {} if config is None else config

    @classmethod
    def load(cls, folder: Path) -> TextEncoder:
        """Load the tokenizer of a tokenizer or model folder."""
        config = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
        template = folder / "chat_template.jinja"
        if template.exists():
            config["chat_template"] = template.read_text(encoding="utf-8")
        return cls(load_tokenizer(folder), config)

    def encode(self, text: str) -> list[int]:
        """Give the ids of a text."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Give the ids of each text."""
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [one.ids for one in found]

    def pieces(self, text: str) -> list[str]:
        """Cut a text where its tokens end; bytes of one character stay together."""
        offsets = self.tokenizer.encode(text, add_special_tokens=False).offsets
        return [text[start:end] for start, end in offsets]

    def begin(self, text: str) -> list[int]:
        """Give the ids of a text that begins here, as documents begin in training."""
        return [special_id(self.tokenizer, END_OF_TEXT), *self.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of ids, without control tokens."""
        return str(self.tokenizer.decode(list(ids)))

    # --- conversations ----------------------------------------------------------------------------

    def converse(self, messages: Sequence[Message], *, answer: bool = False) -> Exchange:
        """Write a conversation; with `answer`, up to where the assistant's next turn begins.

        Raises RunError for what the chat template refuses, such as an unknown role.
        """
        hidden = _Hidden(self._control, messages)
        rendered, marks = self._render(hidden.messages, answer)
        ids: list[int] = []
        learnt: list[bool] = []
        for piece, start, end in self._cut(rendered):
            control = self._control.get(piece)
            if control is not None:
                ids.append(control)
                learnt.append(marks[start])
                continue
            text, flags = hidden.restore(piece, marks[start:end])
            encoding = self.tokenizer.encode(text, add_special_tokens=False)
            ids += encoding.ids
            learnt += [any(flags[a:b]) for a, b in encoding.offsets]
        return Exchange(ids, learnt)

    @cached_property
    def _control(self) -> dict[str, int]:
        added = self.tokenizer.get_added_tokens_decoder()
        return {token.content: index for index, token in added.items() if token.special}

    @cached_property
    def _boundaries(self) -> re.Pattern[str]:
        longest_first = sorted(self._control, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first))})")

    def _cut(self, rendered: str) -> Iterator[tuple[str, int, int]]:
        """Cut a rendered conversation at its control tokens: each piece, and where it stands."""
        at = 0
        for piece in self._boundaries.split(rendered):
            if piece:
                yield piece, at, at + len(piece)
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
        named = {k: v for k, v in self.config.items() if k.endswith("_token") and v is not None}
        tokens = {k: v["content"] if isinstance(v, Mapping) else v for k, v in named.items()}
        render: Any = render_jinja_template  # it is said to return a string
        try:
            (rendered,), spans = render(
                [list(messages)],
                chat_template=template,
                return_assistant_tokens_mask="generation" in template,
                add_generation_prompt=answer,
                **tokens,
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


def special_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token. Raises DamagedArtifact if the tokenizer has none."""
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise DamagedArtifact(
            f"the tokenizer has no {token}; expected the special tokens "
            f"{', '.join(SPECIAL_TOKENS)}. Use one that phusa's tokenizer stage made."
        )
    return found
