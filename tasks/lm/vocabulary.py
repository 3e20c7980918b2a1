"""Vocabularies looked at: what each entry stands for, and what two tokenizers do not share."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tokenizers import Tokenizer

from tasks.lm.tokens import TextEncoder

SAMPLE_BYTES = 1 << 20  # half a second to encode
_BESIDE = 4  # documents beside each that is measured, for what must not have seen it
_MOST_CHARACTERS = 1 << 17  # of one document: a manual of 50 MB would be all of the sample
_FEW = 8


@dataclass(frozen=True)
class Sample:
    """Texts of a corpus with their languages, and four times as many that are not among them."""

    texts: tuple[str, ...]
    languages: tuple[str, ...]
    beside: tuple[str, ...]

    @property
    def num_bytes(self) -> int:
        return sum(len(text.encode()) for text in self.texts)


def draw_sample(documents: Sequence[Path], num_bytes: int = SAMPLE_BYTES) -> Sample:
    """Take every fifth of the first documents, up to a megabyte or so.

    Their order is that of ids, which are hashes: it is a draw, the same each time. Reading ends
    with the sample, whatever the size of the corpus.
    """
    texts, languages, beside, seen = list[str](), list[str](), list[str](), 0
    for at, (text, language) in enumerate(_rows(documents)):
        if at % (_BESIDE + 1):
            beside.append(text)
        elif seen >= num_bytes:
            break
        elif text:
            texts.append(text)
            languages.append(language or "und")  # ISO 639: undetermined
            seen += len(text.encode())
    return Sample(tuple(texts), tuple(languages), tuple(beside))


def _rows(documents: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for path in documents:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256, columns=["text", "language"]):
                for row in batch.to_pylist():
                    yield row["text"][:_MOST_CHARACTERS], row["language"]


# --- entries --------------------------------------------------------------------------------------


def _byte_characters() -> dict[str, int]:
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    return {chr(b): b for b in printed} | {chr(256 + n): b for n, b in enumerate(others)}


BYTE_OF = _byte_characters()
"""The byte that each character of GPT-2's byte-level alphabet stands for."""


def entry_bytes(tokenizer: Tokenizer) -> dict[int, bytes]:
    """Give the bytes that each entry but the control tokens stands for, by id.

    Byte-level entries are read as such, also where they are no valid UTF-8; `<0xE1>` of a byte
    fallback is its byte; others are their text, without the decoder's marks of a word's begin and
    of what goes on with one.
    """
    spelt = json.loads(tokenizer.to_str())
    steps = list(_steps(spelt.get("decoder")))
    added = tokenizer.get_added_tokens_decoder()
    return {
        index: _bytes_of(entry, steps)
        for entry, index in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        if index not in added
    }


def _steps(decoder: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    yield from (decoder or {}).get("decoders", [decoder] if decoder else [])


def _bytes_of(entry: str, steps: Sequence[Mapping[str, Any]]) -> bytes:
    for step in steps:
        if step["type"] == "Replace" and "String" in step["pattern"]:
            entry = entry.replace(step["pattern"]["String"], step["content"])
        elif step["type"] == "Metaspace":
            entry = entry.replace(step["replacement"], " ")
        elif step["type"] == "WordPiece":
            entry = entry.removeprefix(step["prefix"])
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds and all(character in BYTE_OF for character in entry):
        return bytes(BYTE_OF[character] for character in entry)
    if "ByteFallback" in kinds and len(entry) == 6 and entry.startswith("<0x"):
        return bytes.fromhex(entry[3:5])
    return entry.encode()


def shown(entry: bytes) -> str:
    """Write an entry in quotes, in one line, with escapes for what shows nothing or obeys."""
    said = entry.decode(errors="backslashreplace")
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)
    text = f"'{''.join(escaped)}'"
    return text if len(text) <= 64 else f"{text[:48]}… ({len(entry):,} bytes)"


# --- two of them ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift:
    """What two tokenizers do not share.

    `moved` counts the entries of both that have another id, `moved_by` their median distance;
    `merges_moved` counts the merges of both that would have to change places for the order to be
    the same (None: one of them has no merges). The rest is of a sample of the new one's documents;
    None where these are gone.
    """

    gained: int
    lost: int
    gained_examples: tuple[str, ...]
    lost_examples: tuple[str, ...]
    shared: int
    moved: int
    moved_by: int
    merges_shared: int | None
    merges_moved: int | None
    sample_documents: int | None = None
    documents_changed: int | None = None
    bytes_per_token: tuple[float, float] | None = None

    def lines(self) -> Iterator[str]:
        """Tell it."""
        for sign, count, examples in (
            ("gained", self.gained, self.gained_examples),
            ("lost", self.lost, self.lost_examples),
        ):
            if count:
                yield f"entries {sign}: {count:,}, such as {', '.join(examples)}"
        by = f", half of them by {self.moved_by:,} or more" if self.moved else ""
        yield f"entries of both: {self.shared:,}; {self.moved:,} have another id{by}"
        if self.merges_shared is not None:
            yield f"merges of both: {self.merges_shared:,}; {self.merges_moved:,} out of order"
        if self.bytes_per_token and self.sample_documents:
            old, new = self.bytes_per_token
            share = (self.documents_changed or 0) / self.sample_documents
            yield f"bytes a token: {old:.3f} → {new:.3f} ({new / old - 1:+.1%})"
            yield f"documents whose tokens changed: {share:.1%} of {self.sample_documents:,}"


def drift(old: Tokenizer, new: Tokenizer, sample: Sample | None) -> Drift:
    """Compare two tokenizers, and what both make of a sample."""
    before, after = (Vocabulary(each) for each in (old, new))
    gained, lost = (
        a.keys() - b.keys() for a, b in ((after.ids, before.ids), (before.ids, after.ids))
    )
    both = sorted(before.ids.keys() & after.ids.keys())
    moves = sorted(n for e in both if (n := abs(before.ids[e] - after.ids[e])))
    places = [at for merge in before.merges if (at := after.merges.get(merge)) is not None]
    ranked = bool(before.merges) and bool(after.merges)
    return Drift(
        gained=len(gained),
        lost=len(lost),
        gained_examples=tuple(map(shown, sorted(gained, key=lambda e: (after.ids[e], e))[:_FEW])),
        lost_examples=tuple(map(shown, sorted(lost, key=lambda e: (before.ids[e], e))[:_FEW])),
        shared=len(both),
        moved=len(moves),
        moved_by=moves[len(moves) // 2] if moves else 0,
        merges_shared=len(places) if ranked else None,
        merges_moved=len(places) - _longest_rise(places) if ranked else None,
        **(_on_sample(before, after, sample) if sample and sample.texts else {}),
    )


class Vocabulary:
    """A tokenizer's entries with their ids, and its merges with their places."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.ids = {entry: index for index, entry in entry_bytes(tokenizer).items()}
        merges = json.loads(tokenizer.to_str())["model"].get("merges") or ()
        self.merges = {tuple(merge): at for at, merge in enumerate(merges)}


def _on_sample(before: Vocabulary, after: Vocabulary, sample: Sample) -> dict[str, Any]:
    """Compare tokens by what they stand for: where ids moved alone, texts are cut alike."""
    cut: list[list[list[str | None]]] = []
    for each in (before, after):
        encoded = TextEncoder(each.tokenizer).encode_batch(sample.texts)
        cut.append([[each.tokenizer.id_to_token(i) for i in ids] for ids in encoded])
    size = sample.num_bytes
    return {
        "sample_documents": len(sample.texts),
        "documents_changed": sum(a != b for a, b in zip(*cut, strict=True)),
        "bytes_per_token": tuple(size / max(sum(map(len, of)), 1) for of in cut),
    }


def _longest_rise(numbers: Sequence[int]) -> int:
    """Give the length of the longest subsequence that rises: what can stay where it is."""
    ends = list[int]()
    for number in numbers:
        at = bisect_left(ends, number)
        ends[at : at + 1] = [number]
    return len(ends)
