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
from functools import cached_property
from pathlib import Path

import numpy as np

from storage.parquet import shard_name
from storage.tensors import write_tensors
from storage.workspace import Workspace
from tasks.dedup.candidates import Components, Nodes, connect, link_columns
from tasks.dedup.config import DedupConfig
from tasks.dedup.dedup import filter_shard, number_documents, rows_within, write_evidence
from tasks.dedup.documents import document_files
from tasks.dedup.earlier import EarlierIndex, write_index_column
from tasks.dedup.matching import Matches, match_part
from tasks.dedup.ranking import rank_documents, rank_earlier
from tasks.dedup.shortlist import shortlist_earlier, shortlist_shard
from tasks.dedup.signing import sign_shard

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
        """Documents are numbered through shards and earlier corpora: the first number of each."""
        return number_documents(self.documents, self.earlier)

    @property
    def _num_documents(self) -> int:
        return int(self.firsts[self.num_shards])

    @property
    def _components(self) -> Components:
        return Components.read(self._scratch("components"))

    def _scratch(self, what: str, number: int | None = None) -> Path:
        name = what if number is None else f"{what}/{number:05d}"
        return self.workspace.scratch / f"{name}.safetensors"

    def sign(self, shard: int) -> None:
        """Keys of one shard's documents."""
        sign_shard(self.documents[shard], self.config, self._scratch("signatures", shard))

    def link(self, group: int) -> None:
        """Documents that share a key, in one group of columns."""
        columns = self._columns(group)
        signatures = [self._scratch("signatures", shard) for shard in range(self.num_shards)]
        link_columns(signatures, columns, self.earlier, self._scratch("links", group))

    def connect(self) -> int:
        """Components of linked documents; returns the number of parts."""
        target = self._scratch("components")
        if not target.exists():
            links = [self._scratch("links", group) for group in range(self.num_groups)]
            ranks = rank_documents(self.documents, self.config)
            num_earlier = int(self.firsts[-1]) - self._num_documents
            firsts = self.firsts[self.num_shards :]

            def earlier(nodes: Nodes) -> Nodes:
                return rank_earlier(nodes, firsts, self.earlier, self.config)

            connect(links, ranks, num_earlier, earlier).write(target)
        return self.num_parts

    def shortlist(self, number: int) -> None:
        """Keys and shingles of one shard's documents in components, or of an earlier corpus's."""
        rows = rows_within(self._components.listed, self.firsts, number)
        target = self._scratch("shortlists", number)
        if number < self.num_shards:
            signatures = self._scratch("signatures", number)
            shortlist_shard(self.documents[number], signatures, rows, self.config, target)
        else:
            index = self.earlier[number - self.num_shards]
            shortlist_earlier(index, rows, self.config, target)

    def match(self, part: int) -> None:
        """Which documents of one part go."""
        lists = [self._scratch("shortlists", number) for number in range(self.num_listed)]
        target = self._scratch("matches", part)
        match_part(self._components, part, lists, self.firsts, self.config, target)

    def conclude(self) -> Path:
        """The evidence of all drops, as a file of the artifact, and what stays of each shard."""
        matches = Matches.read([self._scratch("matches", p) for p in range(self.num_parts)])
        stays = np.ones(self._num_documents, bool)
        stays[matches.dropped] = False
        for shard in range(self.num_shards):
            target = self._scratch("kept", shard)
            if not target.exists():
                rows = np.flatnonzero(stays[self.firsts[shard] : self.firsts[shard + 1]])
                write_tensors(target, {"rows": rows}, {})
        write_evidence(
            matches,
            self.firsts,
            self.documents,
            self.earlier,
            self.config,
            self.before,
            self.workspace,
            DUPLICATES,
        )
        return self.workspace.data / DUPLICATES

    def filter(self, shard: int) -> Path:
        """One shard without its duplicates; returns the file."""
        path = shard_name("documents", shard, self.num_shards)
        filter_shard(self.documents[shard], self._scratch("kept", shard), self.workspace, path)
        return self.workspace.data / path

    def index(self, group: int) -> None:
        """The sorted keys of what stays, in one group of columns."""
        signatures = [self._scratch("signatures", shard) for shard in range(self.num_shards)]
        kept = [self._scratch("kept", shard) for shard in range(self.num_shards)]
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
