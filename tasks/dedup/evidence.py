"""What the evidence of a deduplication says as a whole: clusters, similarities, who copies whom.

All by column: of a million duplicates each answer takes a second at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.parquet import read_columns, strings
from tasks.artifacts.documents import duplicate_columns

Counts = npt.NDArray[np.int64]

NUM_BINS = 100


@dataclass(frozen=True)
class ClusterSize:
    """A kept document, how many were dropped for it, and the least similarity (0-1) among them."""

    kept_id: str
    kept_url: str
    kept_in: str
    num_dropped: int
    least_similarity: float


@dataclass(frozen=True)
class Histogram:
    """Dropped documents of one method by similarity: `counts[n]` from n to n + 1 hundredths, those
    of similarity 1 in `identical` alone."""

    method: str
    counts: Counts
    identical: int

    @property
    def total(self) -> int:
        return int(self.counts.sum()) + self.identical


@dataclass(frozen=True)
class DomainRepeats:
    """A domain's documents, how many of them were dropped, and how many of those for one of its
    own."""

    domain: str
    documents: int
    dropped: int
    for_own: int


@dataclass(frozen=True)
class DomainPair:
    """Two domains, and documents of each that were dropped for one of the other."""

    one: str
    other: str
    of_one: int
    of_other: int


def read_evidence(duplicates: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """These columns of all evidence; `kept_in` is empty where it was not written yet."""
    held = set(duplicate_columns(duplicates))
    table = read_columns(duplicates, [name for name in columns if name in held])
    for name in columns:
        if name not in held:
            nothing = pa.chunked_array([pa.repeat("", table.num_rows)])
            table = table.append_column(name, nothing)
    return table


def find_clusters(evidence: pa.Table, *, prefix: str = "", urls: Sequence[str] = ()) -> list[str]:
    """The ids of the clusters that a beginning of an id, or any of these URLs, names.

    The kept document's id comes first: that of a dropped one counts where no kept one begins so.
    """
    if urls:
        wanted = strings(urls)
        kept, dropped = (pc.is_in(evidence[n], value_set=wanted) for n in ("kept_url", "url"))
        found = pc.or_(kept, dropped)
    else:
        found = pc.starts_with(evidence["kept_id"], prefix)
        if not pc.any(found).as_py():
            found = pc.starts_with(evidence["document_id"], prefix)
    return sorted(evidence.filter(found)["kept_id"].unique().to_pylist())


def biggest_clusters(evidence: pa.Table, count: int) -> list[ClusterSize]:
    """The clusters of most dropped documents, the largest first; of equals, the lower id."""
    ids = _encode(evidence["kept_id"])
    codes = ids.indices.to_numpy()
    sizes = np.bincount(codes, minlength=len(ids.dictionary))
    largest = np.sort(sizes)[-count:][:1]
    contenders = np.flatnonzero(sizes >= largest) if largest.size else np.empty(0, np.int64)
    names = ids.dictionary.take(pa.array(contenders)).to_pylist()
    ranked = sorted(zip(-sizes[contenders], names, contenders, strict=True))[:count]
    similarity = evidence["similarity"].to_numpy()
    found = []
    for size, name, code in ranked:
        rows = np.flatnonzero(codes == code)
        url, where = (evidence[n][int(rows[0])].as_py() for n in ("kept_url", "kept_in"))
        found.append(ClusterSize(name, url, where, int(-size), float(similarity[rows].min())))
    return found


def similarities(evidence: pa.Table) -> list[Histogram]:
    """The distribution of measured similarities, method by method, in the order of their names."""
    methods = _encode(evidence["method"])
    codes, similarity = methods.indices.to_numpy(), evidence["similarity"].to_numpy()
    bins = np.clip((similarity * NUM_BINS + 1e-9).astype(np.int64), 0, NUM_BINS)
    found = []
    for code, name in sorted(enumerate(methods.dictionary.to_pylist()), key=lambda pair: pair[1]):
        counts = np.bincount(bins[codes == code], minlength=NUM_BINS + 1)
        found.append(Histogram(name, counts[:NUM_BINS], int(counts[NUM_BINS])))
    return found


def repeating_domains(
    kept: Mapping[str, int], dropped: pa.DictionaryArray, kept_for: pa.DictionaryArray, count: int
) -> list[DomainRepeats]:
    """The domains of which most documents were dropped.

    `kept` says how many documents of each domain stayed; `dropped` and, pair by pair, `kept_for`
    are the domains of the evidence.
    """
    names, (went, instead) = _in_one_order(dropped, kept_for)
    gone = np.bincount(went, minlength=len(names))
    for_own = np.bincount(went[went == instead], minlength=len(names))
    order = sorted(np.flatnonzero(gone).tolist(), key=lambda n: (-gone[n], names[n]))[:count]
    return [
        DomainRepeats(names[n], int(kept.get(names[n], 0) + gone[n]), int(gone[n]), int(for_own[n]))
        for n in order
    ]


def copying_domains(
    dropped: pa.DictionaryArray, kept_for: pa.DictionaryArray, count: int
) -> list[DomainPair]:
    """The pairs of different domains of which most documents were dropped for the other's."""
    names, (went, instead) = _in_one_order(dropped, kept_for)
    other = went != instead
    pairs, counts = np.unique(went[other] * len(names) + instead[other], return_counts=True)
    both: dict[tuple[str, str], list[int]] = {}
    for pair, number in zip(pairs.tolist(), counts.tolist(), strict=True):
        of, to = names[pair // len(names)], names[pair % len(names)]
        both.setdefault((min(of, to), max(of, to)), [0, 0])[int(of > to)] += number
    ranked = sorted(both.items(), key=lambda item: (-sum(item[1]), item[0]))[:count]
    return [DomainPair(*names_, *numbers) for names_, numbers in ranked]


def _encode(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.combine_chunks().dictionary_encode()


def _in_one_order(*columns: pa.DictionaryArray) -> tuple[list[str], list[Counts]]:
    """All names of some columns, and each column as places among them."""
    names = sorted({name for column in columns for name in column.dictionary.to_pylist()})
    place = {name: number for number, name in enumerate(names)}
    found = []
    for column in columns:
        places = np.array([place[n] for n in column.dictionary.to_pylist()], np.int64)
        found.append(places[column.indices.to_numpy()])
    return names, found
