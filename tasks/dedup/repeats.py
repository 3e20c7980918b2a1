"""Which pieces of texts stand in several places, and in which of them each is kept.

The places of a piece are put in the order of the keep policy: the first is in the document that is
kept before the others, and nearest to its beginning. What is found by keys is a candidate; before
anything is cut, it is held against the first place byte for byte, so that no text goes for a
collision of keys. A piece that has another one's key, and comes behind it, stays whole wherever it
stands, for none of its places is known to be kept: of ten billion pieces, three. (In how many
documents a piece stands is counted by keys.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.tensors import map_tensors, write_tensors
from tasks.dedup.pieces import Places, Survey, Unit, Units

Flags = npt.NDArray[np.bool_]

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Rule:
    """From when on what stands in two places is a repeat: documents that have it, and their share
    (0-1) of all documents or, where it is `by_domain`, of those of the host."""

    by_domain: bool
    min_documents: int
    min_share: float


@dataclass(frozen=True)
class Repeats:
    """Pieces by the unit that they begin with, ascending; the unit where each stands first, itself
    for the one that is there; and how many documents have it."""

    units: Places
    firsts: Places
    counts: Places

    @classmethod
    def joined(cls, parts: Sequence[Repeats]) -> Repeats:
        """Several as one; of those at one place, the first."""
        units = np.concatenate([_NONE, *(part.units for part in parts)])
        firsts = np.concatenate([_NONE, *(part.firsts for part in parts)])
        counts = np.concatenate([_NONE, *(part.counts for part in parts)])
        _, chosen = np.unique(units, return_index=True)
        return cls(units[chosen], firsts[chosen], counts[chosen])

    def take(self, chosen: Flags | Places) -> Repeats:
        return Repeats(self.units[chosen], self.firsts[chosen], self.counts[chosen])

    def write(self, path: Path) -> None:
        tensors = {"units": self.units, "firsts": self.firsts, "counts": self.counts}
        write_tensors(path, tensors, {})

    @classmethod
    def read(cls, path: Path, begin: int, end: int) -> Repeats:
        """Those of a file that begin with units from `begin` to before `end`."""
        found = map_tensors(path)[0]
        first, last = np.searchsorted(found["units"], [begin, end])
        return cls(*(np.asarray(found[n][first:last]) for n in ("units", "firsts", "counts")))


def find_repeats(
    survey: Survey, rules: Sequence[Rule], ranks: Places, part: int, num_parts: int
) -> list[Repeats]:
    """The repeats by each rule whose keys are in one range of so many."""
    return [
        _find(survey, number, rule, ranks, part, num_parts) for number, rule in enumerate(rules)
    ]


def _find(
    survey: Survey, salt: int, rule: Rule, ranks: Places, part: int, num_parts: int
) -> Repeats:
    keys, units = survey.part(salt, part, num_parts)
    order = np.argsort(keys, kind="stable")
    keys, units = keys[order], units[order]
    chosen = np.zeros(keys.size, bool)  # most pieces stand in one place only: not chosen
    same = keys[1:] == keys[:-1]
    chosen[1:] = same
    chosen[:-1] |= same
    keys, units = keys[chosen], units[chosen]
    documents = survey.documents_of(units)
    order = np.lexsort((units, ranks[documents], keys))
    keys, units, documents = keys[order], units[order], documents[order]
    begins = np.ones(keys.size, bool)
    begins[1:] = keys[1:] != keys[:-1]
    is_new = begins.copy()
    is_new[1:] |= documents[1:] != documents[:-1]
    starts = np.flatnonzero(begins)
    sizes = np.diff(starts, append=keys.size)
    counts = np.add.reduceat(is_new, starts, dtype=np.int64) if keys.size else sizes
    totals: Places | int = max(ranks.size, 1)
    if rule.by_domain:
        totals = survey.num_in_domain()[documents[starts]]
    is_repeat = (counts >= rule.min_documents) & (counts >= rule.min_share * totals)
    chosen = np.repeat(is_repeat, sizes)
    found = Repeats(units, np.repeat(units[starts], sizes), np.repeat(counts, sizes)).take(chosen)
    return found.take(np.argsort(found.units, kind="stable"))


def confirm(
    repeats: Repeats, survey: Survey, shard: int, unit: Unit, width: int, own: Units
) -> Flags:
    """Which repeats of a shard, whose units are `own`, are the same bytes as the first."""
    from tasks.dedup.compiled.pieces import count_same

    is_true = np.ones(repeats.units.size, bool)
    begins = repeats.units - survey.firsts[shard]
    shards = np.searchsorted(survey.firsts, repeats.firsts, "right") - 1
    there = repeats.firsts - survey.firsts[shards]
    is_first = repeats.units == repeats.firsts
    known: dict[int, Units] = {shard: own}
    order = np.argsort(shards, kind="stable")  # the texts of one other shard at a time
    for first, last in _runs(begins[order], there[order], shards[order], is_first[order]):
        at, other = int(order[first]), int(shards[order[first]])
        if other not in known:
            known = {
                shard: own,
                other: Units.read(survey.folders[other] / "texts.safetensors", unit),
            }
        units = known[other]
        rest, end = first, last
        while rest < end:  # at once where all are the same; else from the one that is not on
            at = int(order[rest])
            asked = end - rest + width - 1
            same = count_same(
                own.data, own.starts, own.ends, int(begins[at]),
                units.data, units.starts, units.ends, int(there[at]), asked,
            )  # fmt: skip
            if same == asked:
                break
            good = max(same - width + 1, 0)
            is_true[order[rest + good]] = False
            rest += good + 1
    return is_true


def _runs(
    begins: Places, there: Places, shards: Places, is_first: Flags
) -> Iterator[tuple[int, int]]:
    """From where to where one piece follows the other in both places; first places left out."""
    goes_on = np.zeros(begins.size, bool)
    goes_on[1:] = (np.diff(begins) == 1) & (np.diff(there) == 1) & (np.diff(shards) == 0)
    goes_on[1:] &= is_first[1:] == is_first[:-1]
    edges = np.append(np.flatnonzero(~goes_on), begins.size).tolist()
    for first, last in pairwise(edges):
        if not is_first[first]:
            yield first, last
