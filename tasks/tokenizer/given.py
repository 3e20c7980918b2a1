"""A tokenizer that was made elsewhere: taken as it is, or extended by entries for other texts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from storage.errors import CorpusTooSmall, Fault, RequestError
from tasks.lm.gguf import read_tokenizer
from tasks.lm.tokens import TextEncoder, is_byte, load_tokenizer, merges_of, tokenizer_config

Merge = Iterable[str]
"""Two pieces that become one."""

# Ids as characters, of which none is a space or half a pair: a million of them.
_FIRST, _SURROGATES, _NUM_SURROGATES = 0x100, 0xD800, 0x800
_SPARE = 64  # merges learnt beyond what is asked for: some give an entry that is there already


def take_tokenizer(place: Path) -> TextEncoder:
    """Open the tokenizer of a folder or of a GGUF file.

    Raises RunError if nothing ends a text or its chat template takes no user and assistant, and
    RequestError if its ids have gaps: a model has a row for each.
    """
    if place.suffix == ".gguf":
        encoder = TextEncoder(*read_tokenizer(place))
    else:
        encoder = TextEncoder(load_tokenizer(place), tokenizer_config(place))
    size, last = encoder.tokenizer.get_vocab_size(), max(encoder.tokenizer.get_vocab().values())
    if size != last + 1:
        expected = f"every id from 0 to {last}"
        remedy = "Add tokens for the missing ids to its tokenizer.json."
        fault = Fault(str(place), f"{size} entries up to id {last}", expected, remedy, "id_gaps")
        raise RequestError(fault)
    encoder.stops  # noqa: B018  (raises what a training would end with)
    return encoder


def save_given(encoder: TextEncoder, folder: Path) -> None:
    """Write a tokenizer as the two files that all of phusa and AutoTokenizer read.

    `tokenizer_class` is the one that does what tokenizer.json says: others build their own splits.
    Code that a configuration names is not taken along.
    """
    (folder / "tokenizer.json").write_text(encoder.tokenizer.to_str(pretty=True), encoding="utf-8")
    said = {key: value for key, value in encoder.config.items() if key != "auto_map"}
    said |= encoder.named_tokens()
    said["tokenizer_class"] = "PreTrainedTokenizerFast"
    text = json.dumps(said, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def extend_tokenizer(
    encoder: TextEncoder, texts: Iterable[str], num_entries: int, min_frequency: int
) -> TextEncoder:
    """Learn entries for `texts` on top of a BPE: all ids, and all merges before, stay.

    New merges join what the old ones leave, so that other texts become the tokens that they were,
    unless they have such neighbours, too. Characters that had no entry come first. Raises
    CorpusTooSmall if the texts do not give so many, RequestError for a model that is no BPE.
    """
    described = json.loads(encoder.tokenizer.to_str())
    model = described["model"]
    if model["type"] != "BPE" or model.get("continuing_subword_prefix"):
        remedy = "Leave tokenizer.extend_by out, or take another tokenizer."
        fault = Fault("tokenizer.base", model["type"], "a BPE, to extend it", remedy, "not_a_bpe")
        raise RequestError(fault)
    entries = dict(encoder.tokenizer.get_vocab())
    wanted = len(entries) + num_entries
    learner = _Learner(encoder)
    merges = learner.learn(texts, num_entries, min_frequency)
    for character in learner.missing(min_frequency)[:num_entries]:
        entries[character] = len(entries)
    added = []
    for a, b in merges:
        if len(entries) == wanted:
            break
        if a + b not in encoder.control:
            entries.setdefault(a + b, len(entries))
            added.append((a, b))
    if len(entries) < wanted:
        found = num_entries - (wanted - len(entries))
        raise CorpusTooSmall(
            f"the corpus gives {found} new entries; expected tokenizer.extend_by={num_entries}. "
            f"Crawl more text, or ask for less with --set tokenizer.extend_by={found}."
        )
    model["vocab"] = entries  # added tokens with them: else they would get other ids
    model["merges"] = [*merges_of(model), *map(list, added)]
    return TextEncoder.described_by(described, encoder.config)


class _Learner:
    """Finds the pairs of pieces that are merged next.

    Each piece is a character to `tokenizers`' own trainer, which merges characters.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._unknown_piece = json.loads(encoder.text_tokenizer.to_str())["model"]["unk_token"]
        vocab = encoder.tokenizer.get_vocab()
        self._codes = {text: chr(_character(at)) for text, at in vocab.items()}
        self._unknown = Counter[str]()

    def learn(self, texts: Iterable[str], count: int, min_frequency: int) -> Iterator[Merge]:
        """Read the texts; gives at least `count` merges in order, if there are so many."""
        learner = Tokenizer(models.BPE())
        learner.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
        trainer = trainers.BpeTrainer(
            vocab_size=len(self._codes) + count + count // 8 + _SPARE,
            min_frequency=min_frequency,
            initial_alphabet=sorted(self._codes.values()),
            show_progress=False,
        )
        learner.train_from_iterator(map(self._as_characters, texts), trainer)
        pieces = {code: text for text, code in self._codes.items()}
        merges = json.loads(learner.to_str())["model"]["merges"]
        return (("".join(map(pieces.__getitem__, half)) for half in pair) for pair in merges)

    def missing(self, min_frequency: int) -> list[str]:
        """Give the characters that had no entry and are there so often, the most frequent first."""
        found = sorted(self._unknown.items(), key=lambda item: (-item[1], item[0]))
        return [character for character, count in found if count >= min_frequency]

    def _as_characters(self, text: str) -> str:
        """Write a text's words with a character for a piece.

        Bytes that stand for a character without an entry are taken for that character.
        """
        words = self._encoder.words(text)
        return " ".join("".join(map(self._code, self._with_characters(word))) for word in words)

    def _code(self, piece: str) -> str:
        if piece == self._unknown_piece:
            return " "
        code = self._codes.setdefault(piece, chr(_character(len(self._codes))))
        # Where nothing splits text before merging, a word begins with its space.
        return f" {code}" if piece.startswith("▁") else code

    def _with_characters(self, word: Sequence[str]) -> Iterator[str]:
        pending = b""
        for token in word:
            if not is_byte(token):
                yield token
                continue
            pending += bytes([int(token[3:-1], 16)])
            try:
                character = pending.decode()
            except UnicodeDecodeError:
                continue
            pending = b""
            self._unknown[character] += 1
            yield character


def _character(at: int) -> int:
    code = at + _FIRST
    return code + _NUM_SURROGATES if code >= _SURROGATES else code
