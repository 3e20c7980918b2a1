"""Passages cut out of texts, and one method that finds them, step by step, each a task of its own:

rank()        all documents -> their order by the keep policy
survey(n)     documents of shard n -> their pieces and keys
find(p)       keys of one range -> pieces that repeat, and where each is kept
edit(n)       documents of shard n -> the same without repeats, and what was cut
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.parquet import shard_name, write_rows, write_table
from storage.records import CUT, REJECT
from storage.tensors import map_tensors, write_tensors
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.documents import document_files, take_rows
from tasks.dedup.methods import TextMethod
from tasks.dedup.pieces import (
    Flags,
    Places,
    Repeats,
    Survey,
    Units,
    confirm,
    find_repeats,
    survey_shard,
)
from tasks.dedup.ranking import rank_documents
from tasks.words import count_words

Row = dict[str, Any]

# So many pieces are sorted at once, by the tasks that look for repeats: 0.3 GB.
_PIECES_AT_ONCE = 1 << 22

HEAD_CHARACTERS = 300
"""How much of a passage is kept as evidence."""


@dataclass(frozen=True)
class Passage:
    """A part of a text, in characters from `start` to before `end`."""

    start: int
    end: int
    text: str


def find_passages(body: bytes, spans: Iterable[tuple[int, int]]) -> list[Passage]:
    """The parts of a text that lie between these bytes of it, which ascend."""
    found, at, characters = [], 0, 0
    for begin, end in spans:
        characters += len(body[at:begin].decode())
        text = body[begin:end].decode()
        found.append(Passage(characters, characters + len(text), text))
        characters += len(text)
        at = end
    return found


def without(text: str, passages: Iterable[Passage]) -> str:
    """The text without these passages, which ascend.

    Where two ends meet stays as much white space as the greater of the two had: a blank line, a
    new line with what the following one is indented by, a space, or none.
    """
    left, at = "", 0
    for passage in passages:
        left = _joined(left, text[at : passage.start])
        at = passage.end
    return _joined(left, text[at:]).rstrip()


def _joined(left: str, right: str) -> str:
    before, behind = left.rstrip(), right.lstrip()
    if not before:
        return behind
    gaps = left[len(before) :], right[: len(right) - len(behind)]
    breaks = max(min(gap.count("\n"), 2) for gap in gaps)
    if breaks:
        return before + "\n" * breaks + gaps[1].rpartition("\n")[2] + behind
    return before + (" " if any(gaps) else "") + behind


def edit(
    table: pa.Table, passages: dict[int, list[Passage]], min_words_left: int, by: str
) -> tuple[pa.Table, list[Row]]:
    """Cut passages out of the documents of these rows, and count their words anew.

    Returns the documents that stay, and rejects of those that are left with fewer words.
    """
    texts: list[Any] = table["text"].to_pylist()
    languages, words = table["language"], table["num_words"].to_pylist()
    stays, rejects = np.ones(table.num_rows, bool), []
    for row in sorted(passages):
        texts[row] = without(texts[row], passages[row])
        words[row] = count_words(texts[row], languages[row].as_py())
        if words[row] < min_words_left or not texts[row]:
            stays[row] = False
            reason = f"little_left_by_{by}"
            rejects.append(reject(table, row, reason, str(words[row]), str(min_words_left)))
    if not passages:
        return table, []
    for name, values in (("text", texts), ("num_words", words)):
        at = table.schema.get_field_index(name)
        field = table.schema.field(at)
        table = table.set_column(at, field, pa.array(values, field.type))
    return table.filter(pa.array(stays)), rejects


def reject(table: pa.Table, row: int, reason: str, value: str, threshold: str) -> Row:
    """A row of records.REJECT, of one document of a table."""
    names = {"id": table["document_id"][row].as_py(), "url": table["url"][row].as_py()}
    return names | {"stage": "dedup", "reason": reason, "value": value, "threshold": threshold}


@dataclass(frozen=True)
class Edits:
    """Documents of which something goes, and where that is done.

    `documents` are the shards; `root` is the workspace that the edited ones are written to, and
    `evidence` the artifact's, where what was cut and dropped is listed.
    """

    documents: tuple[Path, ...]
    root: Path
    evidence: Path

    @property
    def num_shards(self) -> int:
        return len(self.documents)

    @cached_property
    def outputs(self) -> tuple[Path, ...]:
        """The documents that stay, shard by shard."""
        return document_files(self.root, self.num_shards)

    def write(
        self,
        shard: int,
        folder: str,
        schema: pa.Schema,
        by: str,
        edited: Callable[[pa.Table], tuple[pa.Table, list[Row], list[Row]]],
    ) -> Path:
        """Write one shard's documents as they are `edited`, with evidence (rows of the schema, in a
        folder of the artifact) and rejects; returns the file of documents."""
        made, evidence = Workspace(self.root), Workspace(self.evidence)
        documents, told, rejects = (
            shard_name(name, shard, self.num_shards)
            for name in ("documents", folder, f"rejects/{by}")
        )
        if not (made.entry(documents) and evidence.entry(told) and evidence.entry(rejects)):
            table, rows, dropped = edited(pq.read_table(self.documents[shard]))
            rows.sort(key=lambda row: (row["document_id"], row["start"], row["end"]))
            write_rows(evidence, told, rows, schema)
            write_rows(evidence, rejects, sorted(dropped, key=lambda row: row["id"]), REJECT)
            write_table(made, documents, table)
        return self.outputs[shard]


@dataclass(frozen=True)
class TextWork(Edits):
    """What is edited by one method that cuts out repeats."""

    method: TextMethod
    config: DedupConfig

    @cached_property
    def num_parts(self) -> int:
        """Of how many ranges of keys there are repeats, once there are surveys."""
        return self._survey.num_pieces() // _PIECES_AT_ONCE + 1

    @cached_property
    def _scratch(self) -> Path:
        return Workspace(self.root).scratch / self.method.kind

    @cached_property
    def _survey(self) -> Survey:
        return Survey.read([self._folder(shard) for shard in range(self.num_shards)])

    def _folder(self, shard: int) -> Path:
        return self._scratch / f"surveys/{shard:05d}"

    def _repeats(self, rule: int, part: int) -> Path:
        return self._scratch / f"repeats-{rule}/{part:05d}.safetensors"

    def rank(self) -> None:
        """The place of each document in the order of the keep policy."""
        target = self._scratch / "ranks.safetensors"
        if not target.exists():
            write_tensors(target, {"ranks": rank_documents(self.documents, self.config)}, {})

    def survey(self, shard: int) -> None:
        """The pieces of one shard's documents."""
        survey_shard(self.documents[shard], self.method, self._folder(shard))

    def find(self, part: int) -> None:
        """Pieces whose keys are in one range and that stand in several places."""
        ranks = np.asarray(map_tensors(self._scratch / "ranks.safetensors")[0]["ranks"])
        for number, rule in enumerate(self.method.rules()):
            target = self._repeats(number, part)
            if not target.exists():
                find_repeats(self._survey, number, rule, ranks, part, self.num_parts).write(target)

    def edit(self, shard: int) -> Path:
        """One shard's documents without repeats; returns the file."""
        kind = self.method.kind

        def edited(table: pa.Table) -> tuple[pa.Table, list[Row], list[Row]]:
            passages, firsts, counts = self._spans(shard)
            left, rejects = edit(table, passages, self.method.min_words_left, kind)
            return left, self._cut_rows(table, passages, firsts, counts), rejects

        return self.write(shard, f"cuts/{kind}", CUT, kind, edited)

    def _spans(self, shard: int) -> tuple[dict[int, list[Passage]], Places, Places]:
        survey, method = self._survey, self.method
        own = Units.read(self._folder(shard) / "texts.safetensors", method.unit)
        begin, end = int(survey.firsts[shard]), int(survey.firsts[shard + 1])
        files = [
            self._repeats(rule, part)
            for rule in range(len(method.rules()))
            for part in range(self.num_parts)
        ]
        repeats = Repeats.joined([Repeats.read(path, begin, end) for path in files])
        is_true = confirm(repeats, survey, shard, method, own)
        return _find_spans(repeats, is_true, begin, own, method)

    def _cut_rows(
        self, table: pa.Table, passages: dict[int, list[Passage]], firsts: Places, counts: Places
    ) -> list[Row]:
        ids, urls = table["document_id"].to_pylist(), table["url"].to_pylist()
        keeps = self.method.keep_first
        kept = self._ids(self._survey.documents_of(firsts)) if keeps else [""] * firsts.size
        every = [(row, passage) for row, of_one in passages.items() for passage in of_one]
        return [
            {
                "document_id": ids[row],
                "url": urls[row],
                "start": passage.start,
                "end": passage.end,
                "text": passage.text[:HEAD_CHARACTERS],
                "num_documents": count,
                "kept_id": kept_id,
                "method": self.method.kind,
            }
            for (row, passage), count, kept_id in zip(every, counts.tolist(), kept, strict=True)
        ]

    def _ids(self, documents: Places) -> list[str]:
        """Ids of documents, by their numbers through all shards."""
        firsts, found = self._survey.first_documents, np.empty(documents.size, object)
        shards = np.searchsorted(firsts, documents, "right") - 1
        for shard in np.unique(shards).tolist():
            rows, places = np.unique(
                documents[shards == shard] - firsts[shard], return_inverse=True
            )
            ids = take_rows(self.documents[shard], rows, ["document_id"])["document_id"].to_pylist()
            found[shards == shard] = np.array(ids, object)[places]
        return list(found)


def _find_spans(
    repeats: Repeats, is_true: Flags, begin: int, own: Units, method: TextMethod
) -> tuple[dict[int, list[Passage]], Places, Places]:
    """The longest runs of units that repeats cover and no kept one does.

    By the row of their document; and of each, in this order, the unit where it is kept and how many
    documents have it.

    Kept are first places, and repeats that are not true: the place where those are kept is unknown,
    so that what lies over them may not go either. Lines stay apart, for each has its own evidence.
    """
    is_kept = ~is_true | ((repeats.units == repeats.firsts) & method.keep_first)
    going = repeats.take(~is_kept)
    starts, width = going.units - begin, method.width
    goes = _covered(starts, width, own.starts.size)
    goes &= ~_covered(repeats.units[is_kept] - begin, width, own.starts.size)
    units = np.flatnonzero(goes)
    rows = np.searchsorted(own.bounds, units, "right") - 1
    is_first = np.ones(units.size, bool)
    if width > 1:
        is_first[1:] = (np.diff(units) != 1) | (np.diff(rows) != 0)
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], units.size) - 1 if units.size else first
    begins, ends = own.starts[units[first]], own.ends[units[last]]
    if method.unit == "bytes":
        begins, ends = _whole_characters(own, begins, ends)
    of_each = np.searchsorted(starts, units[first], "right") - 1
    chosen = begins < ends
    rows, begins, ends, of_each = rows[first][chosen], begins[chosen], ends[chosen], of_each[chosen]
    passages = {}
    for row, spans in groupby(zip(rows.tolist(), begins, ends, strict=True), itemgetter(0)):
        offset, end = int(own.offsets[row]), int(own.offsets[row + 1])
        within = [(int(one) - offset, int(other) - offset) for _, one, other in spans]
        passages[row] = find_passages(own.data[offset:end].tobytes(), within)
    return passages, going.firsts[of_each], going.counts[of_each]


def _covered(starts: Places, width: int, size: int) -> Any:
    """Which of `size` units are in one of the runs of `width` that begin there."""
    steps = np.zeros(size + 1, np.int64)
    np.add.at(steps, starts, 1)
    np.add.at(steps, starts + width, -1)
    return np.cumsum(steps[:-1]) > 0


def _whole_characters(own: Units, begins: Places, ends: Places) -> tuple[Places, Places]:
    """The same spans of bytes without the parts of characters at both ends."""
    for _ in range(3):  # a character has three more bytes at most
        inside = np.flatnonzero(begins < ends)
        begins[inside] += (own.data[begins[inside]] & 0xC0) == 0x80
        ends[inside] -= _is_inside(own, ends[inside])
    return begins, ends


def _is_inside(own: Units, places: Places) -> Any:
    last = own.data.size - 1
    return (places <= last) & ((own.data[np.minimum(places, last)] & 0xC0) == 0x80)
