"""How each signal is spread over the texts of a cleaning, kept and dropped told apart.

Axes are robust: a text in a thousand at either end is counted beside the bins instead of
stretching them. Each bound is an edge, so that what it drops and what it keeps share no bin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from storage.parquet import read_columns
from tasks.clean.config import CleanConfig
from tasks.clean.filters import Bound
from tasks.clean.judging import Verdicts

_BINS = 40
_TAIL = 0.001  # share of the texts that may lie outside of the bins, at either end
_HEAVY = 20  # times the median that an end must be for the axis to be logarithmic
_MOST_WHOLE = 60  # whole numbers that get a bin each

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """One signal: `kept[i]` and `dropped[i]` texts have edges[i] <= value < edges[i + 1].

    On a logarithmic scale the first bin may be of zeros, and begins with 0.
    """

    filter: str
    signal: str
    bounds: tuple[Bound, ...]
    scale: Literal["linear", "log"]
    edges: tuple[float, ...]
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    below: int
    """Texts with less than the first edge."""
    above: int
    """Texts with the last edge or more."""
    undefined: int
    """Texts of which it was not asked, as the length of words where there are no spaces."""


def histograms(
    signals: Sequence[Path], config: CleanConfig, *, language: str | None = None
) -> Iterator[Histogram]:
    """Those of all signals that have a bound, in the filters' order; `signals` is not empty.

    One signal of all texts is in memory at a time, 8 bytes for each.
    """
    facts = read_columns(signals, ["reason", "language"])
    kept = pc.equal(facts["reason"], "").to_numpy()
    chosen = None if language is None else pc.equal(facts["language"], language).to_numpy()
    for kind, bounds in Verdicts(config).bounds.items():
        for name in dict.fromkeys(bound.signal for bound in bounds):
            values = read_columns(signals, [name])[name].to_numpy()
            of = tuple(bound for bound in bounds if bound.signal == name)
            if chosen is None:
                yield histogram(kind, name, of, values, kept)
            else:
                yield histogram(kind, name, of, values[chosen], kept[chosen])


def histogram(
    kind: str, signal: str, bounds: tuple[Bound, ...], values: Numbers, kept: npt.NDArray[np.bool_]
) -> Histogram:
    """The histogram of a signal's values, one for each text."""
    defined = ~np.isnan(values)
    values, kept = values[defined], kept[defined]
    scale, edges = _axis(values, bounds)
    inside = values < edges[-1]  # numpy's last bin has its end
    counts = [np.histogram(values[inside & which], edges)[0] for which in (kept, ~kept)]
    return Histogram(
        kind,
        signal,
        bounds,
        scale,
        tuple(edges.tolist()),
        tuple(counts[0].tolist()),
        tuple(counts[1].tolist()),
        below=int((values < edges[0]).sum()),
        above=int((values >= edges[-1]).sum()),
        undefined=int((~defined).sum()),
    )


def cuts_of(bound: Bound, *, whole: bool) -> list[float]:
    """The least value on the upper side of each end of a bound: where an edge must lie.

    Of `whole` numbers it is half-way to the next, where a line is seen to part them.
    """
    ends = []
    if np.isfinite(bound.min):
        ends.append(np.ceil(bound.min) - 0.5 if whole else bound.min)
    if np.isfinite(bound.max):
        # What equals the bound is kept.
        ends.append(np.floor(bound.max) + 0.5 if whole else np.nextafter(bound.max, np.inf))
    return [float(end) for end in ends]


def are_whole(edges: Sequence[float]) -> bool:
    """Whether bins with these edges are of whole numbers."""
    return all(edge == 0 or edge % 1 == 0.5 for edge in edges)


def _axis(values: Numbers, bounds: Sequence[Bound]) -> tuple[Literal["linear", "log"], Numbers]:
    ends_of = np.array([[bound.min, bound.max] for bound in bounds])
    whole = bool((values % 1 == 0).all() and (ends_of[np.isfinite(ends_of)] % 1 == 0).all())
    cuts = [cut for bound in bounds for cut in cuts_of(bound, whole=whole)]
    ends = [*np.quantile(values, [_TAIL, 1 - _TAIL]), *cuts] if len(values) else cuts
    low, high = float(min(ends)), float(max(ends))
    positive = values[values > 0]
    if len(positive) and values.min() >= 0 and high > max(2, _HEAVY * np.median(positive)):
        within = [cut for cut in cuts if cut > 0]  # nothing there is below 0
        edges = _log_edges(values, max(low, 0.0), high, whole=whole)
        return "log", _with_cuts(edges, within, np.log)
    return "linear", _with_cuts(_linear_edges(low, high, cuts[0], whole=whole), cuts, np.array)


def _linear_edges(low: float, high: float, anchor: float, *, whole: bool) -> Numbers:
    """Even steps, to both sides of one bound."""
    if whole:
        first, last = np.floor(low + 0.5) - 0.5, np.floor(high + 0.5) + 0.5
        step = max(1.0, np.ceil((last - first) / _MOST_WHOLE))
    else:
        # Of one value, or of some nearer than numbers can be told apart, it is any.
        first, last = low, high + ((high - low) / _BINS or 1.0 / _BINS)
        step = (last - first) / _BINS
    before = np.arange(np.ceil((anchor - first) / step), 0, -1)
    after = np.arange(0, np.ceil((last - anchor) / step) + 1)
    edges = np.concatenate([anchor - step * before, anchor + step * after])
    if low >= 0 > edges[0] and not whole:
        edges = np.concatenate([[0.0], edges[edges > step / 2]])  # zeros are many: no sliver
    return edges


def _log_edges(values: Numbers, low: float, high: float, *, whole: bool) -> Numbers:
    """Even steps of the logarithm; zeros have a bin of their own before them."""
    first = max(low, float(values[values > 0].min()))
    edges = np.geomspace(first, max(high, first * 2), _BINS)
    if whole:
        edges = np.append(np.unique(np.round(edges)) - 0.5, np.floor(high) + 1.5)
    else:
        edges = np.append(edges, edges[-1] ** 2 / edges[-2])
    return np.concatenate([[0.0], edges]) if low == 0 else edges


def _with_cuts(
    edges: Numbers, cuts: Sequence[float], place: Callable[[Numbers], Numbers]
) -> Numbers:
    """The edges with the cuts among them; one that would lie close beside a cut gives way to it.

    `place` is where a value lies on the axis.
    """
    if not cuts:
        return edges
    placed = place(np.maximum(edges, np.finfo(float).tiny)) if place is np.log else place(edges)
    near = np.abs(placed[:, None] - place(np.array(cuts))).min(axis=1)
    inner = near < np.median(np.diff(placed)) / 2
    inner[[0, -1]] = False
    return np.unique(np.concatenate([edges[~inner], cuts]))
