"""One method that cuts repeats out of texts, step by step, each a task of its own:

rank()        all documents -> their order by the keep policy
survey(n)     documents of shard n -> their pieces and keys
find(p)       keys of one range -> pieces that repeat, and where each is kept
edit(n)       documents of shard n -> the same without repeats, and what was cut
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
from tasks.dedup.cutting import HEAD_CHARACTERS, Edited, Passage, edit, find_passages
from tasks.dedup.documents import document_files, take_rows
from tasks.dedup.methods import TextMethod
from tasks.dedup.pieces import Places, Survey, Units, survey_shard
from tasks.dedup.ranking import rank_documents
from tasks.dedup.repeats import Flags, Repeats, confirm, find_repeats

# So many pieces are sorted at once, by the tasks that look for repeats: 0.3 GB.
_PIECES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class TextWork:
    """What is edited, by which method, and where that is done.

    `documents` are the shards; `root` is the workspace that the edited ones are written to, and
    `evidence` the artifact's, where what was cut and dropped is listed.
    """

    documents: tuple[Path, ...]
    method: TextMethod
    config: DedupConfig
    root: Path
    evidence: Path

    @property
    def num_shards(self) -> int:
        return len(self.documents)

    @cached_property
    def num_parts(self) -> int:
        """Of how many ranges of keys there are repeats, once there are surveys."""
        return self._survey.num_pieces() // _PIECES_AT_ONCE + 1

    @cached_property
    def outputs(self) -> tuple[Path, ...]:
        """The edited documents, shard by shard."""
        return document_files(self.root, self.num_shards)

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
            ranks = np.empty(0, np.int64)
            if self.documents:
                ranks = rank_documents(self.documents, self.config)
            write_tensors(target, {"ranks": ranks}, {})

    def survey(self, shard: int) -> None:
        """The pieces of one shard's documents."""
        method = self.method
        salts = [rule.by_domain for rule in method.rules()]
        shape = method.unit, method.width, method.min_characters
        survey_shard(self.documents[shard], *shape, salts, self._folder(shard))

    def find(self, part: int) -> None:
        """Pieces whose keys are in one range and that stand in several places."""
        targets = [self._repeats(rule, part) for rule in range(len(self.method.rules()))]
        if all(target.exists() for target in targets):
            return
        ranks = np.asarray(map_tensors(self._scratch / "ranks.safetensors")[0]["ranks"])
        found = find_repeats(self._survey, self.method.rules(), ranks, part, self.num_parts)
        for target, repeats in zip(targets, found, strict=True):
            repeats.write(target)

    def edit(self, shard: int) -> Path:
        """One shard's documents without repeats; returns the file."""
        evidence, kind = Workspace(self.evidence), self.method.kind
        documents, cuts, rejects = (
            shard_name(folder, shard, self.num_shards)
            for folder in ("documents", f"cuts/{kind}", f"rejects/{kind}")
        )
        made = Workspace(self.root)
        if not (made.entry(documents) and evidence.entry(cuts) and evidence.entry(rejects)):
            spans = self._spans(shard)
            table = pq.read_table(self.documents[shard])
            edited = edit(table, spans.passages(), self.method.min_words_left)
            write_rows(evidence, cuts, self._cut_rows(table, spans), CUT)
            write_rows(evidence, rejects, self._reject_rows(table, edited), REJECT)
            write_table(made, documents, edited.table)
        return self.outputs[shard]

    def _spans(self, shard: int) -> _Spans:
        survey, method = self._survey, self.method
        own = Units.read(self._folder(shard) / "texts.safetensors", method.unit)
        begin, end = int(survey.firsts[shard]), int(survey.firsts[shard + 1])
        files = [
            self._repeats(rule, part)
            for rule in range(len(method.rules()))
            for part in range(self.num_parts)
        ]
        repeats = Repeats.joined([Repeats.read(path, begin, end) for path in files])
        is_true = confirm(repeats, survey, shard, method.unit, method.width, own)
        return _find_spans(repeats, is_true, begin, own, method)

    def _cut_rows(self, table: pa.Table, spans: _Spans) -> list[dict[str, Any]]:
        ids, urls = table["document_id"].to_pylist(), table["url"].to_pylist()
        kept = [""] * len(spans.rows)
        if self.method.keep_first:
            kept = self._ids(self._survey.documents_of(spans.firsts))
        every = (passage for of_one in spans.passages().values() for passage in of_one)
        rows = [
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
            for row, passage, count, kept_id in zip(
                spans.rows.tolist(), every, spans.counts.tolist(), kept, strict=True
            )
        ]
        return sorted(rows, key=lambda row: (row["document_id"], row["start"]))

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

    def _reject_rows(self, table: pa.Table, edited: Edited) -> list[dict[str, Any]]:
        ids, urls = table["document_id"], table["url"]
        rows = [
            {
                "id": ids[row].as_py(),
                "url": urls[row].as_py(),
                "stage": "dedup",
                "reason": f"little_left_by_{self.method.kind}",
                "value": str(words),
                "threshold": str(self.method.min_words_left),
            }
            for row, words in edited.dropped
        ]
        return sorted(rows, key=lambda row: row["id"])


@dataclass(frozen=True)
class _Spans:
    """What is to be cut out of a shard, in the order of its texts: the row of each document, bytes
    within all texts, the unit where it is kept and how many documents have it."""

    own: Units
    rows: Places
    begins: Places
    ends: Places
    firsts: Places
    counts: Places

    def passages(self) -> dict[int, list[Passage]]:
        """What goes of each row that something goes of."""
        found = {}
        rows, starts = np.unique(self.rows, return_index=True)
        edges = np.append(starts, self.rows.size).tolist()
        for row, first, last in zip(rows.tolist(), edges[:-1], edges[1:], strict=True):
            offset, end = int(self.own.offsets[row]), int(self.own.offsets[row + 1])
            spans = zip(
                (self.begins[first:last] - offset).tolist(),
                (self.ends[first:last] - offset).tolist(),
                strict=True,
            )
            found[row] = find_passages(self.own.data[offset:end].tobytes(), spans)
        return found


def _find_spans(
    repeats: Repeats, is_true: Flags, begin: int, own: Units, method: TextMethod
) -> _Spans:
    """The longest runs of units that repeats cover and no kept one does.

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
    columns = rows[first], begins, ends, going.firsts[of_each], going.counts[of_each]
    return _Spans(own, *(column[chosen] for column in columns))


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
