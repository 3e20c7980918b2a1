"""Which documents of the components go, for which kept one, and how near the two are.

A document is dropped if its measured similarity to a *kept* document reaches the threshold; the
best document by the keep policy is looked at first. So every drop has one kept document that it
truly resembles, and clusters cannot drift by chaining (A like B, B like C, A unlike C), which made
half of the deletions wrong in unverified clusters (marin #6854, #7591).

What has to be measured is listed first, keys and shingles: of no other document are they looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.errors import Fault, RequestError
from storage.tensors import map_tensors, write_tensors
from tasks.dedup.candidates import Components, Nodes
from tasks.dedup.config import DedupConfig
from tasks.dedup.documents import Documents, Rows, take_rows
from tasks.dedup.keys import EarlierIndex, read_keys
from tasks.dedup.methods import Semantic
from tasks.similarity.shingles import Hashes, shingle_sets

_MEASURES = {"jaccard": 0, "cosine": 1}


def shortlist_shard(
    documents: Path, signatures: Path, rows: Rows, config: DedupConfig, target: Path
) -> None:
    """Write keys and sorted shingles of the documents of one file in these rows, which ascend."""
    if not target.exists():
        listed = Documents(lambda names: iter([take_rows(documents, rows, names)]), config.shingles)
        _write(target, rows, read_keys(signatures)[:, rows], listed, config)


def shortlist_earlier(index: EarlierIndex, rows: Rows, config: DedupConfig, target: Path) -> None:
    """The same for documents of an earlier corpus, from their texts."""
    if not target.exists():
        column = cache(lambda name: index.take(rows, [name])[name])  # read once, by all methods

        def tables(names: Sequence[str]) -> Iterator[pa.Table]:
            yield pa.table({name: column(name) for name in names})

        known = Documents(tables, config.shingles)
        keys = np.concatenate([m.keys_of(known, config.threshold) for m in config.pair_methods])
        _write(target, rows, keys, known, config)


def _write(target: Path, rows: Rows, keys: Hashes, listed: Documents, config: DedupConfig) -> None:
    sets, sizes = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for texts in listed.texts():
        of_texts, of_each = shingle_sets(texts, config.shingles)
        sets.append(of_texts)
        sizes.append(of_each)
    tensors: dict[str, npt.NDArray[Any]] = {"keys": keys.T, "rows": rows}
    tensors |= {"sets": np.concatenate(sets), "ends": np.cumsum(np.concatenate(sizes))}
    for method in config.pair_methods:
        if isinstance(method, Semantic):
            found = method.vectors_of(listed)
            vectors = np.zeros((rows.size, found.vectors.shape[1]), np.float32)
            vectors[found.rows] = found.vectors
            tensors["vectors"] = vectors
    write_tensors(target, tensors, {})


class Shortlist(NamedTuple):
    """Documents side by side: their keys (documents x columns), where their shingles lie, and their
    embeddings (documents x dimensions), 0 for one without, of no dimension where none is asked for.
    """

    keys: Hashes
    sets: Hashes
    starts: Rows
    sizes: Rows
    vectors: npt.NDArray[np.float32]


def _gather(files: Sequence[Path], firsts: Rows, members: Rows, num_columns: int) -> Shortlist:
    """What the files hold of these members, in their order.

    `members` are numbers of documents; file f holds some of those from `firsts[f]` on.
    """
    sizes = np.zeros(members.size, np.int64)
    keys = np.empty((members.size, num_columns), np.uint64)
    vectors = np.zeros((members.size, 0), np.float32)
    for file, own, places in _places(files, firsts, members):
        if "vectors" in file and file["vectors"].shape[1]:
            vectors = _put(vectors, own, file["vectors"][places])
        before = np.where(places > 0, file["ends"][places - 1], 0)
        sizes[own], keys[own] = file["ends"][places] - before, file["keys"][places]
    ends = np.cumsum(sizes)
    sets = np.empty(int(ends[-1]) if ends.size else 0, np.uint64)
    for file, own, places in _places(files, firsts, members):
        for member, end in zip(own.tolist(), file["ends"][places].tolist(), strict=True):
            size = sizes[member]
            sets[ends[member] - size : ends[member]] = file["sets"][end - size : end]
    return Shortlist(keys, sets, ends - sizes, sizes, vectors)


def _put(
    vectors: npt.NDArray[np.float32], own: Rows, found: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Vectors with these rows of them set. Raises RequestError if these have other dimensions."""
    if not vectors.shape[1]:
        vectors = np.zeros((vectors.shape[0], found.shape[1]), np.float32)
    if vectors.shape[1] != found.shape[1]:
        raise RequestError(
            Fault(
                "dedup.methods: semantic",
                f"embeddings of {found.shape[1]} numbers and of {vectors.shape[1]}",
                "vectors of one model, of as many numbers each",
                "Make the embeddings of all documents with the same model.",
            )
        )
    vectors[own] = found
    return vectors


def _places(
    files: Sequence[Path], firsts: Rows, members: Rows
) -> Iterator[tuple[dict[str, npt.NDArray[Any]], Rows, Rows]]:
    """For each file: it, which members it holds, and where in it."""
    order = np.argsort(members, kind="stable")
    cuts = np.searchsorted(members[order], firsts)
    for path, first, begin, end in zip(files, firsts[:-1], cuts[:-1], cuts[1:], strict=True):
        own = order[begin:end]
        if own.size:
            file, _ = map_tensors(path)
            yield file, own, np.searchsorted(file["rows"], members[own] - first)


class Rules(NamedTuple):
    """From which similarity on a pair of each method goes, and by which measure (0: Jaccard, 1:
    cosine); `ends[m]` is one past the last column of keys that is method m's."""

    ends: Nodes
    measures: Nodes
    leasts: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matches:
    """Numbers of documents that go and of those kept in their place, which method found the two
    (its place in the configuration), and their similarity."""

    dropped: Nodes
    kept: Nodes
    methods: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.float64]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Matches:
        """Those of several files as one."""
        files = [map_tensors(path)[0] for path in paths]
        none = {"dropped": np.empty(0, np.int64), "kept": np.empty(0, np.int64)}
        none |= {"methods": np.empty(0, np.int64), "similarities": np.empty(0, np.float64)}
        return cls(
            **{name: np.concatenate([none[name], *(f[name] for f in files)]) for name in none}
        )


def match_part(
    components: Components,
    part: int,
    shortlists: Sequence[Path],
    firsts: Nodes,
    config: DedupConfig,
    target: Path,
) -> None:
    """Decide on the documents of one part of the components.

    `firsts` are the numbers of the first document of each shard, then of each earlier index, and
    one past the last; `shortlists` are their files.
    """
    if target.exists():
        return
    from tasks.dedup.compiled.matching import match_components

    members, bounds = components.part(part)
    listed = _gather(shortlists, firsts, members, config.num_columns)
    earlier = np.add.reduceat(members >= components.num_new, bounds[:-1], dtype=np.int64)
    kept_for = np.full(members.size, -1, np.int64)
    found = np.zeros((members.size, 2))
    methods = config.pair_methods
    rules = Rules(
        np.cumsum([method.columns(config.threshold) for method in methods]),
        np.array([_MEASURES[method.measure] for method in methods]),
        np.array([method.least(config.threshold) for method in methods]),
    )
    match_components(bounds, earlier, listed, rules, kept_for, found)
    dropped = np.flatnonzero(kept_for >= 0)
    write_tensors(
        target,
        {
            "dropped": members[dropped],
            "kept": members[kept_for[dropped]],
            "methods": found[dropped, 0].astype(np.int64),
            "similarities": np.minimum(found[dropped, 1], 1.0),  # of vectors as good as equal
        },
        {},
    )
