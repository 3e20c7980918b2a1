"""From keys to the groups of documents that have to be measured against each other.

Documents that share a key are linked, key by key, each column on its own and in parts that fit
into memory; what is linked, directly or through others, is one component. Two documents of
different components share no key. Whether two of one component are duplicates is measured later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.tensors import map_tensors, write_tensors
from tasks.dedup.keys import EarlierIndex, read_keys
from tasks.similarity.shingles import Hashes

Nodes = npt.NDArray[np.int64]

# So many keys are sorted at once, with their documents: 0.5 GB.
_SORTED_AT_ONCE = 1 << 24
# So many documents are measured by one task: about 300 MB of shingles.
_DOCUMENTS_AT_ONCE = 1 << 16


def link_columns(
    signatures: Sequence[Path],
    columns: Sequence[int],
    earlier: Sequence[EarlierIndex],
    target: Path,
) -> None:
    """Write pairs of documents that share a key in one of the columns: enough to connect all that
    do.

    Documents are numbered through all shards, and on through the earlier indexes.
    """
    if target.exists():
        return
    shards = [read_keys(path) for path in signatures]
    edges = [pair for column in columns for pair in _link_column(shards, column, earlier)]
    write_tensors(target, {"edges": np.concatenate(edges or [np.empty((0, 2), np.int64)])}, {})


def _link_column(
    shards: Sequence[Hashes], column: int, earlier: Sequence[EarlierIndex]
) -> Iterator[Nodes]:
    total = sum(shard.shape[1] for shard in shards)
    num_parts = total // _SORTED_AT_ONCE + 1
    for part in range(num_parts):
        keys, nodes = _part_of_column(shards, column, part, num_parts)
        order = np.argsort(keys, kind="stable")
        keys, nodes = keys[order], nodes[order]
        same = np.flatnonzero(keys[1:] == keys[:-1])
        yield np.stack([nodes[same], nodes[same + 1]], axis=1)
        first = total
        distinct = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))  # the others are linked to it
        for index in earlier:
            own, there = index.find(column, keys[distinct])
            yield np.stack([nodes[distinct[own]], there + first], axis=1)
            first += index.num_documents


def _part_of_column(
    shards: Sequence[Hashes], column: int, part: int, num_parts: int
) -> tuple[Hashes, Nodes]:
    """The keys of a column whose highest bits fall into this part, and their documents."""
    found, nodes, first = [], [], 0
    for shard in shards:
        keys = np.asarray(shard[column])
        rows = np.arange(keys.size)
        if num_parts > 1:
            rows = np.flatnonzero((keys >> np.uint64(40)) % np.uint64(num_parts) == part)
            keys = keys[rows]
        found.append(keys)
        nodes.append(rows + first)
        first += shard.shape[1]
    if not found:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return np.concatenate(found), np.concatenate(nodes)


@dataclass(frozen=True)
class Components:
    """Documents to be measured against each other.

    `members` are numbers of documents: component c is `members[bounds[c]:bounds[c + 1]]`, in the
    order of the keep policy, those of earlier corpora, from number `num_new` on, first. `parts`
    says which components each task takes: `parts[p]` to `parts[p + 1]`. `listed` are all members
    once more, in the order of their numbers: each shard finds its own without reading all.
    """

    members: Nodes
    listed: Nodes
    bounds: Nodes
    parts: Nodes
    num_new: int

    def write(self, target: Path) -> None:
        tensors = {"members": self.members, "bounds": self.bounds, "parts": self.parts}
        tensors["listed"] = self.listed
        write_tensors(target, tensors, {"num_new": str(self.num_new)})

    @classmethod
    def read(cls, path: Path) -> Components:
        tensors, facts = map_tensors(path)
        return cls(**tensors, num_new=int(facts["num_new"]))

    @property
    def num_parts(self) -> int:
        return self.parts.size - 1

    def part(self, number: int) -> tuple[Nodes, Nodes]:
        """Members and bounds of one task's components."""
        first, last = self.parts[number], self.parts[number + 1]
        bounds = self.bounds[first : last + 1]
        return self.members[bounds[0] : bounds[-1]], bounds - bounds[0]


def connect(
    links: Sequence[Path], ranks: Nodes, num_earlier: int, rank_earlier: Callable[[Nodes], Nodes]
) -> Components:
    """The components of two documents or more, of which one at least is new.

    `ranks` are those of the new documents; the earlier ones, which follow in number, come before
    them all. `rank_earlier` gives the ranks of those that are linked, and of no others.
    """
    from tasks.similarity.compiled.signatures import find_all, merge_edges

    roots = np.arange(ranks.size + num_earlier)
    for path in links:
        merge_edges(roots, np.asarray(map_tensors(path)[0]["edges"]))
    find_all(roots)
    sizes = np.bincount(roots, minlength=roots.size)
    listed = np.flatnonzero(sizes[roots] > 1)
    is_new = listed < ranks.size
    num_new = int(is_new.sum())
    order = np.concatenate([ranks[listed[:num_new]], rank_earlier(listed[num_new:])])
    members = listed[np.lexsort((order, is_new, roots[listed]))]
    starts = np.flatnonzero(np.diff(roots[members], prepend=-1))
    bounds = np.append(starts, members.size)
    return Components(members, listed, bounds, _parts(bounds), ranks.size)


def _parts(bounds: Nodes) -> Nodes:
    """Where to cut the components into tasks of about equal size."""
    num_members = int(bounds[-1])
    cuts = np.arange(0, num_members, _DOCUMENTS_AT_ONCE)
    return np.unique(np.append(np.searchsorted(bounds, cuts), bounds.size - 1))
