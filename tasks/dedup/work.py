"""One deduplication, step by step. Each step is a task of its own, on what the steps before it left
in scratch; a step that is done is not done again.

    sign(n)        documents of shard n -> their keys
    link(g)        a group of columns of keys -> pairs of documents that share one
    connect()      pairs -> components, and parts of them
    shortlist(n)   documents of components -> their keys and shingles
    match(p)       components of part p -> which documents go, and for which
    conclude()     matches -> the evidence, and the rows of each shard that stay
    filter(n)      documents of shard n -> those that stay
    index(g)       a group of columns of keys -> sorted, for later corpora

No step holds the keys of all documents: `link` sorts one column in parts, `match` takes some
thousands of documents, `connect` and `conclude` keep a few numbers for each document.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import shard_name, write_table
from storage.records import DUPLICATE
from storage.tensors import map_tensors, write_tensors
from storage.workspace import Workspace
from tasks.dedup.candidates import Components, Nodes, connect, link_columns
from tasks.dedup.config import DedupConfig
from tasks.dedup.documents import document_files, numbered, take_rows
from tasks.dedup.keys import EarlierIndex, sign_shard, write_index_column
from tasks.dedup.matching import Matches, match_part, shortlist_earlier, shortlist_shard
from tasks.dedup.ranking import rank_documents, rank_earlier

DUPLICATES = "duplicates.parquet"

_COLUMNS_IN_GROUP = 4


@dataclass(frozen=True)
class DedupWork:
    """What is deduplicated, against what, how, and where that is done.

    `documents` are the shards; `earlier` corpora come in the order in which they were made; `root`
    is the workspace. `before` is the evidence of passes before this one, to be put with its own.
    """

    documents: tuple[Path, ...]
    earlier: tuple[EarlierIndex, ...]
    config: DedupConfig
    root: Path
    before: tuple[Path, ...] = ()

    @property
    def num_shards(self) -> int:
        return len(self.documents)

    @property
    def num_listed(self) -> int:
        """Of how many files and corpora there are shortlists."""
        return len(self.documents) + len(self.earlier)

    @property
    def num_groups(self) -> int:
        """Of how many groups of columns there are links."""
        return -(-self.config.num_columns // _COLUMNS_IN_GROUP)

    @property
    def num_parts(self) -> int:
        """Of how many parts there are matches, once components are known."""
        return self._components.num_parts

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The documents that stay, shard by shard."""
        return document_files(self.root, self.num_shards)

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    @cached_property
    def firsts(self) -> Nodes:
        """Documents are numbered through shards and earlier corpora: the first number of each, and
        one past the last."""
        sizes = [pq.read_metadata(path).num_rows for path in self.documents]
        return numbered([*sizes, *(index.num_documents for index in self.earlier)])

    def _rows_within(self, nodes: Nodes, number: int) -> Nodes:
        """Which rows of the file or corpus of this number the documents are, of those that are its.

        `nodes` ascend: of many, only the places that are searched are read.
        """
        first, last = np.searchsorted(nodes, self.firsts[number : number + 2])
        return np.asarray(nodes[first:last] - self.firsts[number], np.int64)

    @property
    def _num_documents(self) -> int:
        return int(self.firsts[self.num_shards])

    @property
    def _components(self) -> Components:
        return Components.read(self._scratch("components"))

    def _scratch(self, what: str, number: int | None = None) -> Path:
        name = what if number is None else f"{what}/{number:05d}"
        return self.workspace.scratch / f"{name}.safetensors"

    def _all(self, what: str, count: int) -> list[Path]:
        return [self._scratch(what, number) for number in range(count)]

    def sign(self, shard: int) -> None:
        """Keys of one shard's documents."""
        sign_shard(self.documents[shard], self.config, self._scratch("signatures", shard))

    def link(self, group: int) -> None:
        """Documents that share a key, in one group of columns."""
        signatures, target = self._all("signatures", self.num_shards), self._scratch("links", group)
        link_columns(signatures, self._columns(group), self.earlier, target)

    def connect(self) -> int:
        """Components of linked documents; returns the number of parts."""
        target = self._scratch("components")
        if not target.exists():
            links = self._all("links", self.num_groups)
            ranks = rank_documents(self.documents, self.config)
            firsts = self.firsts[self.num_shards :]
            earlier = partial(rank_earlier, firsts=firsts, earlier=self.earlier, config=self.config)
            connect(links, ranks, int(firsts[-1] - firsts[0]), earlier).write(target)
        return self.num_parts

    def shortlist(self, number: int) -> None:
        """Keys and shingles of one shard's documents in components, or of an earlier corpus's."""
        rows = self._rows_within(self._components.listed, number)
        target = self._scratch("shortlists", number)
        if number < self.num_shards:
            signatures = self._scratch("signatures", number)
            shortlist_shard(self.documents[number], signatures, rows, self.config, target)
        else:
            index = self.earlier[number - self.num_shards]
            shortlist_earlier(index, rows, self.config, target)

    def match(self, part: int) -> None:
        """Which documents of one part go."""
        lists, target = self._all("shortlists", self.num_listed), self._scratch("matches", part)
        match_part(self._components, part, lists, self.firsts, self.config, target)

    def conclude(self) -> Path:
        """The evidence of all drops, as a file of the artifact, and what stays of each shard."""
        matches = Matches.read(self._all("matches", self.num_parts))
        stays = np.ones(self._num_documents, bool)
        stays[matches.dropped] = False
        for shard in range(self.num_shards):
            target = self._scratch("kept", shard)
            if not target.exists():
                rows = np.flatnonzero(stays[self.firsts[shard] : self.firsts[shard + 1]])
                write_tensors(target, {"rows": rows}, {})
        if not self.workspace.entry(DUPLICATES):
            write_table(self.workspace, DUPLICATES, self._evidence(matches))
        return self.workspace.data / DUPLICATES

    def _evidence(self, matches: Matches) -> pa.Table:
        """Each document that goes with the one that is kept, as records.DUPLICATE, and what is in
        the files of `before`."""
        nodes = np.unique(np.concatenate([matches.dropped, matches.kept]))
        named = self._name(nodes)
        dropped = named.take(np.searchsorted(nodes, matches.dropped))
        kept = named.take(np.searchsorted(nodes, matches.kept))
        kinds = pa.array([method.kind for method in self.config.pair_methods], pa.string())
        columns = {
            "document_id": dropped["document_id"],
            "url": dropped["url"],
            "kept_id": kept["document_id"],
            "kept_url": kept["url"],
            "kept_in": kept["kept_in"],
            "similarity": pa.array(matches.similarities, pa.float64()),
            "method": kinds.take(pa.array(matches.methods)),
        }
        before = map(pq.read_table, self.before)
        table = pa.concat_tables([pa.table(columns).cast(DUPLICATE), *before])
        return table.sort_by("document_id").combine_chunks()

    def _name(self, nodes: Nodes) -> pa.Table:
        """Id and URL of each of these documents, and the earlier corpus that holds it, or
        nothing."""
        names, labels = ["document_id", "url"], [""] * int((nodes < self._num_documents).sum())
        own = enumerate(self.documents)
        found = [take_rows(path, self._rows_within(nodes, n), names) for n, path in own]
        for number, index in enumerate(self.earlier, self.num_shards):
            rows = self._rows_within(nodes, number)
            if rows.size:
                found.append(index.take(rows, names))
                labels += [index.label] * rows.size
        plain = [table.cast(pa.schema([(n, pa.string()) for n in names])) for table in found]
        return pa.concat_tables(plain).append_column("kept_in", pa.array(labels, pa.string()))

    def filter(self, shard: int) -> Path:
        """One shard without its duplicates; returns the file."""
        path = shard_name("documents", shard, self.num_shards)
        if not self.workspace.entry(path):
            table = pq.read_table(self.documents[shard])
            stays = np.zeros(table.num_rows, bool)
            stays[map_tensors(self._scratch("kept", shard))[0]["rows"]] = True
            write_table(self.workspace, path, table.filter(pa.array(stays)))
        return self.workspace.data / path

    def index(self, group: int) -> None:
        """The sorted keys of what stays, in one group of columns."""
        signatures, kept = (self._all(name, self.num_shards) for name in ("signatures", "kept"))
        for column in self._columns(group):
            write_index_column(signatures, kept, column, self.config, self.workspace)

    def _columns(self, group: int) -> range:
        first = group * _COLUMNS_IN_GROUP
        return range(first, min(first + _COLUMNS_IN_GROUP, self.config.num_columns))


def deduplicate(work: DedupWork, *, with_index: bool = True) -> None:
    """All steps, one after the other, in this process."""
    for shard in range(work.num_shards):
        work.sign(shard)
    for group in range(work.num_groups):
        work.link(group)
    num_parts = work.connect()
    for number in range(work.num_listed):
        work.shortlist(number)
    for part in range(num_parts):
        work.match(part)
    work.conclude()
    for shard in range(work.num_shards):
        work.filter(shard)
    for group in range(work.num_groups if with_index else 0):
        work.index(group)


def count_duplicates(duplicates: Path) -> dict[str, int]:
    """How many documents were dropped for one of this corpus, how many for one and the same at
    most, and how many because an earlier corpus holds them.
    """
    table = pq.read_table(duplicates, columns=["kept_id", "kept_in"])
    own = table.filter(pc.equal(table["kept_in"], ""))["kept_id"]
    most = int(pc.max(pc.value_counts(own).field("counts")).as_py() or 0)
    counts = {"duplicates": len(own), "most_copies": most}
    return counts | ({"already_there": len(table) - len(own)} if len(own) < len(table) else {})
