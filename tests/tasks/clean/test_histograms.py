"""Every text is in one bin, or counted beside them; a bound is never inside of a bin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.clean.filters import Bound
from tasks.clean.histograms import Histogram, are_whole, cuts_of, histogram

WHOLE = st.lists(st.integers(0, 5000).map(float) | st.just(math.nan), max_size=60)
SHARES = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=60)
BOUNDS = st.sampled_from([(0.0, math.inf), (2.0, 40.0), (-math.inf, 0.0), (0.12, math.inf)])


def _of(values: list[float], low: float, high: float) -> Histogram:
    bounds = (Bound("low", "s", min=low), Bound("high", "s", max=high))
    bounds = tuple(b for b in bounds if math.isfinite(b.min) or math.isfinite(b.max))
    array = np.array(values, float)
    return histogram("f", "s", bounds, array, (array >= low) & (array <= high))


@given(WHOLE | SHARES, BOUNDS)
def test_counts_are_those_of_brute_force(values: list[float], bound: tuple[float, float]) -> None:
    low, high = bound
    found = _of(values, low, high)
    edges = found.edges
    assert list(edges) == sorted(set(edges)) and len(edges) >= 2
    for first, last, kept, dropped in zip(
        edges, edges[1:], found.kept, found.dropped, strict=False
    ):
        inside = [value for value in values if first <= value < last]
        assert kept == sum(low <= value <= high for value in inside)
        assert dropped == len(inside) - kept
        assert kept == 0 or dropped == 0  # the bound, the only reason here, is an edge
    assert found.below == sum(value < edges[0] for value in values)
    assert found.above == sum(value >= edges[-1] for value in values)
    assert found.undefined == sum(map(math.isnan, values))


@given(WHOLE | SHARES, BOUNDS)
@example([5e-324], (0.0, math.inf))
def test_a_bound_that_may_be_broken_lies_on_the_axis(
    values: list[float], bound: tuple[float, float]
) -> None:
    found = _of(values, *bound)
    whole = are_whole(found.edges)
    cuts = [cut for one in found.bounds for cut in cuts_of(one, whole=whole)]
    assert all(cut in found.edges for cut in cuts if found.scale == "linear" or cut > 0)


def test_heavy_tails_are_logarithmic_and_clipped() -> None:
    values = [float(n % 50 + 1) for n in range(5000)] + [5e3] * 10 + [1e9]
    found = _of(values, 2.0, math.inf)
    assert found.scale == "log" and found.edges[-1] < 1e4 and found.above == 1
    assert all(edge % 1 == 0.5 for edge in found.edges)


def test_zeros_have_a_bin_of_their_own_on_a_logarithmic_scale() -> None:
    found = _of([0.0] * 7 + [1.0] * 20 + [900.0] * 2, 0.0, math.inf)
    assert found.scale == "log" and found.edges[:2] == (0.0, 0.5) and found.kept[0] == 7


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [0.3]])
def test_few_values_have_an_axis(values: list[float]) -> None:
    found = _of(values, -math.inf, 0.3)
    assert sum(found.kept) == sum(not math.isnan(value) for value in values)
