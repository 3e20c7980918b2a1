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
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from storage.parquet import shard_name, write_rows, write_table
from storage.records import CONTAMINATION, REJECT
from storage.workspace import Workspace
from tasks.dedup.alphabet import ALONE, IGNORED, LETTER, MARK, SEPARATOR, alphabet
from tasks.dedup.cutting import Passage, edit
from tasks.dedup.documents import document_files
from tasks.dedup.evaluation import Decontamination, Item
from tasks.dedup.hashing import shingle_hash
from tasks.dedup.shingles import run_hashes, texts_of

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
                found._open(at)
                inside, alone = True, kind == ALONE
            found._add(lower, at + 1)
        return found

    def _open(self, at: int) -> None:
        self.words.append("")
        self.starts.append(at)
        self.ends.append(at)

    def _add(self, letter: str, end: int) -> None:
        self.words[-1] += letter
        self.ends[-1] = end


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
        from tasks.dedup.compiled.words import BITS

        table = np.zeros(1 << BITS, np.uint8)
        table[self._hashes >> np.uint64(64 - BITS)] = 1
        return table

    def candidates(self, table: pa.Table) -> list[int]:
        """The rows of texts that have a wanted hash."""
        from tasks.dedup.compiled.words import find_texts

        found, tables = [np.empty(0, bool)], alphabet()
        for texts in texts_of(table["text"]):
            of_texts = np.empty(len(texts), bool)
            find_texts(
                texts.data, texts.offsets, tables.ascii, tables.codes, self.lengths, self._hashes,
                self.filter, of_texts,
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
class ScreenWork:
    """What is screened, and where: as `TextWork`."""

    documents: tuple[Path, ...]
    config: Decontamination
    root: Path
    evidence: Path

    @property
    def num_shards(self) -> int:
        return len(self.documents)

    @cached_property
    def outputs(self) -> tuple[Path, ...]:
        """The documents that stay, shard by shard."""
        return document_files(self.root, self.num_shards)

    @cached_property
    def _screen(self) -> Screen:
        return Screen(self.config)

    def screen(self, shard: int) -> Path:
        """One shard's documents without what is in an evaluation set; returns the file."""
        made, evidence = Workspace(self.root), Workspace(self.evidence)
        documents, found, rejects = (
            shard_name(folder, shard, self.num_shards)
            for folder in ("documents", "contaminated", f"rejects/{NAME}")
        )
        if not (made.entry(documents) and evidence.entry(found) and evidence.entry(rejects)):
            table = pq.read_table(self.documents[shard])
            told, dropped, left = self._screened(table)
            told.sort(key=lambda row: (row["document_id"], row["start"], row["end"]))
            write_rows(evidence, found, told, CONTAMINATION)
            write_rows(evidence, rejects, sorted(dropped, key=lambda row: row["id"]), REJECT)
            write_table(made, documents, left)
        return self.outputs[shard]

    def _screened(
        self, table: pa.Table
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], pa.Table]:
        """Evidence, rejects and what is left of a table of documents."""
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
            edited = edit(table, passages, self.config.min_words_left)
            floor = str(self.config.min_words_left)
            reason = f"little_left_by_{NAME}"
            rejects = [_reject(table, row, reason, str(n), floor) for row, n in edited.dropped]
            return told, rejects, edited.table
        stays = np.ones(table.num_rows, bool)
        stays[list(goes)] = False
        rejects = [
            _reject(table, row, "contaminated", _value(m), f"fewer than {self.config.size}")
            for row, m in goes.items()
        ]
        return told, rejects, table.filter(pa.array(stays))


def _evidence(text: str, words: Words, match: Match) -> dict[str, Any]:
    start, end = words.starts[match.first], words.ends[match.last - 1]
    return {
        "start": start,
        "end": end,
        "text": text[start:end],
        "num_words": match.last - match.first,
        "evaluation_set": match.item.set_name,
        "item": match.item.place,
    }


def _value(match: Match) -> str:
    return f"{match.last - match.first} words of {match.item.set_name}, {match.item.place}"


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


def _reject(table: pa.Table, row: int, reason: str, value: str, threshold: str) -> dict[str, Any]:
    names = {"id": table["document_id"][row].as_py(), "url": table["url"][row].as_py()}
    return names | {"stage": "dedup", "reason": reason, "value": value, "threshold": threshold}
