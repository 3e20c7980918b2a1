"""The matcher against its rule, spelt out: no pair is lost to the filters before measuring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dedup.compiled import matching
from tasks.dedup.matching import Rules, Shortlist

SETS = st.lists(
    st.one_of(
        st.frozensets(st.integers(0, 14), min_size=1, max_size=12),
        st.sets(st.integers(0, 9), max_size=2).map(lambda gone: frozenset(range(100)) - gone),
        st.integers(1, 300).map(lambda size: frozenset(range(size))),
        st.integers(1, 40).map(lambda start: frozenset(range(start, start + 66))),
    ),
    min_size=1,
    max_size=25,
)
THRESHOLDS = st.sampled_from([0.05, 0.07, 0.3, 0.5, 2 / 3, 0.8, 0.9, 0.95, 1.0]) | st.floats(
    0.01, 1
)

Found = list[tuple[int, int, float]]


def _jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    return len(a & b) / len(a | b)


def _place(
    sets: list[frozenset[int]],
    keys: list[list[int]],
    ends: list[int],
    leasts: list[float],
    num_earlier: int = 0,
    copies: int = 1,
) -> list[Found]:
    """(document, for which kept one it goes, similarity) of each component of a row of copies."""
    sizes = np.array([len(of_one) for of_one in sets] * copies)
    together = np.concatenate([np.array(sorted(s), np.uint64) for s in sets] * copies)
    num = len(sets)
    kept_for, found = np.full(num * copies, -1, np.int64), np.zeros((num * copies, 2))
    of_all, none = np.array(keys * copies, np.uint64), np.empty((0, 0), np.float32)
    matching.match_components(
        np.arange(copies + 1) * num,
        np.full(copies, num_earlier),
        Shortlist(of_all, together, np.cumsum(sizes) - sizes, sizes, none),
        Rules(np.array(ends), np.full(len(ends), matching.JACCARD), np.array(leasts)),
        kept_for,
        found,
    )
    return [
        [
            (one - at, int(kept_for[one]) - at, float(found[one, 1]))
            for one in range(at, at + num)
            if kept_for[one] >= 0
        ]
        for at in range(0, num * copies, num)
    ]


def _by_rule(sets: list[frozenset[int]], threshold: float, num_earlier: int) -> Found:
    kept: list[int] = []
    found = []
    for number, own in enumerate(sets):
        measured = [(-_jaccard(own, sets[other]), other) for other in kept]
        similarity, best = min(measured, default=(0.0, -1))
        if number >= num_earlier and -similarity >= threshold:
            found.append((number, best, -similarity))
        else:
            kept.append(number)
    return found


@given(SETS, THRESHOLDS, st.integers(0, 3))
def test_no_pair_over_the_threshold_is_lost(
    sets: list[frozenset[int]], threshold: float, num_earlier: int
) -> None:
    keys = [[1]] * len(sets)
    first, second = _place(sets, keys, [1], [threshold], num_earlier, copies=2)
    assert first == second == _by_rule(sets, threshold, num_earlier)


@settings(max_examples=25)
@given(SETS, st.sampled_from([0.3, 0.5, 2 / 3, 0.8, 0.95]), st.integers(0, 300))
def test_nor_in_large_components(
    sets: list[frozenset[int]], threshold: float, num_earlier: int
) -> None:
    apart = [
        frozenset(number + 1000 * copy * (copy % 3) for number in of_one)
        for copy in range(matching.LARGE // len(sets) + 2)
        for of_one in sets
    ]
    assert len(apart) > matching.LARGE
    (found,) = _place(apart, [[1]] * len(apart), [1], [threshold], num_earlier)
    assert found == _by_rule(apart, threshold, num_earlier)


def test_only_documents_that_share_a_key_are_compared() -> None:
    sets = [frozenset(range(50))] * 5
    keys = [[1, 7, 8], [2, 9, 10], [3, 7, 9], [2, 5, 6], [7, 1, 1]]
    (found,) = _place(sets, keys, [1, 3], [0.8, 0.8])
    # 4: a key of one column is none of another
    assert found == [(2, 0, 1.0), (3, 1, 1.0)]


@pytest.mark.parametrize(("leasts", "method"), [([1.0, 0.5], 1), ([0.5, 0.5], 0), ([0.9, 0.6], -1)])
def test_each_method_has_a_threshold_of_its_own(leasts: list[float], method: int) -> None:
    sets = [frozenset(range(30)), frozenset(range(10, 40))]
    together = np.concatenate([np.array(sorted(s), np.uint64) for s in sets])
    kept_for, found = np.full(2, -1, np.int64), np.zeros((2, 2))
    keys, none = np.ones((2, 2), np.uint64), np.empty((0, 0), np.float32)
    matching.match_components(
        np.array([0, 2]),
        np.array([0]),
        Shortlist(keys, together, np.array([0, 30]), np.array([30, 30]), none),
        Rules(np.array([1, 2]), np.full(2, matching.JACCARD), np.array(leasts)),
        kept_for,
        found,
    )
    assert kept_for.tolist() == [-1, 0 if method >= 0 else -1]
    if method >= 0:
        assert found[1].tolist() == [method, 0.5]
