from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.live.known import KnownUrls

KEYS = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 3).map(lambda number: number << 14),  # of one bucket
)


@given(st.lists(st.tuples(KEYS, st.integers(1, 1 << 31), st.integers(0, 1000))), st.lists(KEYS))
def test_it_is_a_dictionary(given_: list[tuple[int, int, int]], others: list[int]) -> None:
    known, expected = KnownUrls(), {}
    for key, seq, depth in given_:
        known.set(key, seq, depth)
        expected[key] = (seq, depth)
    for key in [*expected, *others]:
        assert known.find(key) == expected.get(key)
