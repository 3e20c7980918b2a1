"""Which documents of the components go, for which kept one, and how near the two are.

A document is dropped if its measured similarity to a *kept* document reaches the threshold; the
best document by the keep policy is looked at first. So every drop has one kept document that it
truly resembles, and clusters cannot drift by chaining (A like B, B like C, A unlike C), which made
half of the deletions wrong in unverified clusters (marin #6854, #7591).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.tensors import map_tensors, write_tensors
from tasks.dedup.candidates import Components, Nodes
from tasks.dedup.config import DedupConfig
from tasks.dedup.shortlist import gather

_MEASURES = {"jaccard": 0, "cosine": 1}


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
    listed = gather(shortlists, firsts, members, config.num_columns)
    earlier = np.add.reduceat(members >= components.num_new, bounds[:-1], dtype=np.int64)
    kept_for = np.full(members.size, -1, np.int64)
    found = np.zeros((members.size, 2))
    match_components(
        bounds,
        earlier,
        listed.sets,
        listed.starts,
        listed.sizes,
        listed.keys,
        listed.vectors,
        np.cumsum([method.columns(config.threshold) for method in config.pair_methods]),
        np.array([_MEASURES[method.measure] for method in config.pair_methods]),
        np.array([method.least(config.threshold) for method in config.pair_methods]),
        kept_for,
        found,
    )
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
