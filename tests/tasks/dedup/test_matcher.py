"""The matcher against its rule, spelt out: no pair is lost to the filter before measuring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dedup.config import DedupConfig
from tasks.dedup.matcher import Matcher, Signed
from tasks.dedup.methods import Exact, MinHash

SETS = st.lists(
    st.one_of(
        st.frozensets(st.integers(0, 14), min_size=1, max_size=12),
        st.sets(st.integers(0, 9), max_size=2).map(lambda gone: frozenset(range(100)) - gone),
        st.integers(1, 300).map(lambda size: frozenset(range(size))),
        st.integers(1, 40).map(lambda start: frozenset(range(start, start + 66))),
    ),
    max_size=25,
)
THRESHOLDS = st.sampled_from([0.05, 0.07, 0.3, 0.5, 2 / 3, 0.8, 0.9, 0.95, 1.0]) | st.floats(
    0.01, 1
)


def _signed(number: int, shingles: frozenset[int], **keys: frozenset[int]) -> Signed:
    hashes = np.array(sorted(shingles), dtype=np.uint64)
    return Signed(f"{number:03}", f"http://a/{number}", keys, hashes)


def _jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    return len(a & b) / len(a | b)


@given(SETS, THRESHOLDS)
def test_no_pair_over_the_threshold_is_lost(sets: list[frozenset[int]], threshold: float) -> None:
    one_key = {"exact": frozenset({1})}
    documents = [_signed(number, shingles, **one_key) for number, shingles in enumerate(sets)]
    matcher = Matcher(documents, DedupConfig(threshold=threshold, methods=(Exact(),)))
    kept: list[int] = []
    for number, document in enumerate(documents):
        measured = [(-_jaccard(sets[number], sets[other]), other) for other in kept]
        similarity, best = min(measured, default=(0.0, -1))
        found = matcher.place(document)
        if -similarity >= threshold:
            assert found is not None
            assert (found.similarity, found.kept) == (-similarity, documents[best])
        else:
            assert found is None
            kept.append(number)


def test_only_documents_that_share_a_key_are_compared() -> None:
    shingles = frozenset(range(50))
    documents = [
        _signed(0, shingles, exact=frozenset({1}), minhash=frozenset({7, 8})),
        _signed(1, shingles, exact=frozenset({2}), minhash=frozenset({9})),
        _signed(2, shingles, exact=frozenset({3}), minhash=frozenset({8, 9})),
        _signed(3, shingles, exact=frozenset({2}), minhash=frozenset({5})),
        _signed(4, shingles, exact=frozenset({7}), minhash=frozenset({1})),
    ]
    matcher = Matcher(documents, DedupConfig(methods=(MinHash(), Exact())))
    found = [matcher.place(document) for document in documents]
    assert [f and (f.kept.document_id, f.method) for f in found] == [
        None,
        None,
        ("000", "minhash"),
        ("001", "exact"),
        None,  # a key of one method is none of another
    ]


@pytest.mark.parametrize("threshold", [0.01, 0.8, 1.0])
def test_no_documents(threshold: float) -> None:
    Matcher([], DedupConfig(threshold=threshold))
