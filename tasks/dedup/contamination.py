"""Documents that share a run of words with an evaluation item: found by hash, confirmed by word.

A compiled pass finds the few texts that have a hash of an item's words; these are then held against
the items word by word, so that no document goes for a collision. What is looked for fits into
memory: evaluation sets are thousands of items, not millions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.records import CONTAMINATION
from tasks.dedup.editing import Edits, Passage, Row, edit, reject
from tasks.dedup.evaluation import Decontamination, Item
from tasks.similarity.shingles import (
    ALONE,
    IGNORED,
    LETTER,
    MARK,
    SEPARATOR,
    alphabet,
    run_hashes,
    shingle_hash,
    texts_of,
)

NAME = "contamination"

_NONE = np.empty(0, np.int64)
_NO_HASHES = np.empty(0, np.uint64)


@dataclass(frozen=True)
class Words:
    """The words of a text, as the kernels see them, and where each stands, in characters."""

    words: list[str]
    starts: list[int]
    ends: list[int]

    @classmethod
    def of(cls, text: str) -> Words:
        codes = alphabet().codes
        found = cls([], [], [])
        inside = alone = False
        for at, letter in enumerate(text):
            entry = int(codes[ord(letter)]) if ord(letter) < codes.size else 0
            kind, lower = entry >> 24, chr(entry & 0xFFFFFF)
            if kind == IGNORED or (kind == MARK and not inside):
                continue
            if kind in (SEPARATOR, ALONE) or (alone and kind == LETTER):
                inside = False
            if kind == SEPARATOR:
                continue
            if not inside:
                found.words.append("")
                found.starts.append(at)
                found.ends.append(at)
                inside, alone = True, kind == ALONE
            found.words[-1] += lower
            found.ends[-1] = at + 1
        return found


@dataclass(frozen=True)
class Match:
    """A passage of a document, in words, that stands in an item."""

    item: Item
    first: int
    last: int


class Screen:
    """What is looked for: runs of words of items, by their hashes."""

    def __init__(self, config: Decontamination) -> None:
        self.items = [item for one in config.sets for item in one.items()]
        self._size = config.size
        hashes, counts = [_NO_HASHES], [_NONE]
        column = pa.chunked_array([[item.text for item in self.items]], pa.large_string())
        for texts in texts_of(column):
            found = run_hashes(texts, config.size)
            hashes.append(found[0])
            counts.append(found[1])
        num_words = np.concatenate(counts)
        lengths = np.minimum(num_words, config.size)
        num_runs = np.where(num_words > 0, num_words - lengths + 1, 0)
        items = np.repeat(np.arange(num_runs.size), num_runs)
        places = np.arange(items.size) - np.repeat(np.cumsum(num_runs) - num_runs, num_runs)
        wanted = lengths[items] >= min(config.size, config.min_words)
        every, items, places = np.concatenate(hashes)[wanted], items[wanted], places[wanted]
        order = np.argsort(every, kind="stable")
        self._hashes, self._items, self._places = every[order], items[order], places[order]
        self.lengths = np.unique(lengths[items])[::-1].copy()
        self._words: dict[int, list[str]] = {}  # of those items that are asked for

    @cached_property
    def filter(self) -> npt.NDArray[np.uint8]:
        from tasks.similarity.compiled.words import BITS

        table = np.zeros(1 << BITS, np.uint8)
        table[self._hashes >> np.uint64(64 - BITS)] = 1
        return table

    def candidates(self, table: pa.Table) -> list[int]:
        """The rows of texts that have a wanted hash."""
        from tasks.similarity.compiled.words import find_texts

        found = [np.empty(0, bool)]
        for texts in texts_of(table["text"]):
            of_texts = np.empty(len(texts), bool)
            find_texts(
                texts.data, texts.offsets, *alphabet(), self.lengths, self._hashes, self.filter,
                of_texts,
            )  # fmt: skip
            found.append(of_texts)
        rows: list[int] = np.flatnonzero(np.concatenate(found)).tolist()
        return rows

    def matches(self, words: list[str]) -> list[Match]:
        """The longest passages that these words share with each item, in order."""
        going: dict[tuple[int, int], Match] = {}  # by item and the distance of the two places
        found = []
        for length in self.lengths.tolist():
            for at in range(len(words) - length + 1):
                for item, there in self._same(words[at : at + length]):
                    key = (item, there - at)
                    before = going.get(key)
                    if before is not None and at < before.last:
                        going[key] = Match(before.item, before.first, at + length)
                        continue
                    if before is not None:
                        found.append(before)
                    going[key] = Match(self.items[item], at, at + length)
        found += going.values()
        order = {id(item): number for number, item in enumerate(self.items)}
        return sorted(set(found), key=lambda m: (m.first, m.last, order[id(m.item)]))

    def _same(self, words: list[str]) -> Iterator[tuple[int, int]]:
        """Items that have these words as one of their runs, and where."""
        wanted = _hash(words)
        at = int(np.searchsorted(self._hashes, np.uint64(wanted)))
        while at < self._hashes.size and self._hashes[at] == wanted:
            item, there = int(self._items[at]), int(self._places[at])
            if item not in self._words:
                self._words[item] = Words.of(self.items[item].text).words
            of_item = self._words[item]
            is_run = len(words) == min(self._size, len(of_item))
            if is_run and of_item[there : there + len(words)] == words:
                yield item, there
            at += 1


def _hash(words: list[str]) -> int:
    return shingle_hash(" ".join(words).encode())


@dataclass(frozen=True)
class ScreenWork(Edits):
    """What is screened for evaluation sets."""

    config: Decontamination

    @cached_property
    def _screen(self) -> Screen:
        return Screen(self.config)

    def screen(self, shard: int) -> Path:
        """One shard's documents without what is in an evaluation set; returns the file."""
        return self.write(shard, "contaminated", CONTAMINATION, NAME, self._screened)

    def _screened(self, table: pa.Table) -> tuple[pa.Table, list[Row], list[Row]]:
        """What is left of a table of documents, evidence, and rejects."""
        told, goes, passages = [], {}, {}
        for row in self._screen.candidates(table):
            text = table["text"][row].as_py()
            words = Words.of(text)
            matches = self._screen.matches(words.words)
            if not matches:
                continue
            goes[row] = matches[0]
            passages[row] = list(_merged(text, words, matches))
            names = {n: table[n][row].as_py() for n in ("document_id", "url")}
            told += [names | _evidence(text, words, match) for match in matches]
        if self.config.action == "cut":
            left, rejects = edit(table, passages, self.config.min_words_left, NAME)
            return left, told, rejects
        stays = np.ones(table.num_rows, bool)
        stays[list(goes)] = False
        rejects = []
        for row, match in goes.items():
            value = f"{match.last - match.first} words of {match.item.set_name}, {match.item.place}"
            floor = f"fewer than {self.config.size}"
            rejects.append(reject(table, row, "contaminated", value, floor))
        return table.filter(pa.array(stays)), told, rejects


def _evidence(text: str, words: Words, match: Match) -> Row:
    start, end = words.starts[match.first], words.ends[match.last - 1]
    return {
        "start": start,
        "end": end,
        "text": text[start:end],
        "num_words": match.last - match.first,
        "evaluation_set": match.item.set_name,
        "item": match.item.place,
    }


def _merged(text: str, words: Words, matches: list[Match]) -> Iterator[Passage]:
    """What matches cover, as passages that do not overlap."""
    first, last = matches[0].first, matches[0].last
    for match in [*matches[1:], Match(matches[0].item, len(words.words) + 1, 0)]:
        if match.first <= last and match.last:
            last = max(last, match.last)
            continue
        start, end = words.starts[first], words.ends[last - 1]
        yield Passage(start, end, text[start:end])
        first, last = match.first, match.last
