"""`phusa dedup curve`: the S-curve of a banding, how likely pairs of each similarity are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from rich.console import Console

from storage.errors import Fault, RequestError
from storage.store import Store
from tasks.dedup.config import DedupConfig
from tasks.dedup.methods import MinHash
from tasks.dedup.methods.minhash import Expected, expect
from tasks.page import new_figure, png_of
from tasks.similarity.minhash import recall

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEPS = 100
_WIDTH, _HEIGHT = 50, 10  # letters of the plot: two hundredths each, and a tenth
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_SAMPLE = 1_000
_TOLD = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_INK, _FOUND, _MISSED, _FAINT = "#1d4ed8", "#93c5fd", "#b3261e", "#9ca3af"


Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A banding, and the chance (0-1) that a pair of each similarity is measured.

    `points[n]` is that of n hundredths; `recall` that of the threshold. `expected` are the
    candidates in a corpus, if one was named.
    """

    threshold: float
    num_perm: int
    bands: int
    rows: int
    recall: float
    points: tuple[float, ...]
    expected: Expected | None = None


def banding_of(
    config: DedupConfig, threshold: float | None, given: Mapping[str, float | None]
) -> tuple[float, MinHash]:
    """Give the threshold and the MinHash of a configuration, with what was given in their place.

    `given` are knobs of MinHash; None: as it is. Raises RequestError for what they refuse.
    """
    method = next((m for m in config.methods if isinstance(m, MinHash)), None)
    if method is None:
        kinds = ", ".join(m.kind for m in config.methods)
        remedy = "Add {kind: minhash}: only its pairs are found by chance."
        raise RequestError(Fault("dedup.methods", kinds, "minhash among them", remedy))
    changed = {n: v for n, v in given.items() if v is not None or n in ("bands", "rows")}
    if all(value is None for value in given.values()):  # else bands are given, or chosen anew
        changed = {}
    faults = []
    try:
        method = MinHash.model_validate({**method.model_dump(), **changed})
    except ValidationError as error:
        faults += [_fault(each) for each in error.errors()]
    try:
        least = config.threshold if threshold is None else threshold
        config = DedupConfig.model_validate({"threshold": least})
    except ValidationError as error:
        faults += [_fault(each) for each in error.errors()]
    if faults:
        raise RequestError(faults)
    return config.threshold, method


def _fault(error: ErrorDetails) -> Fault:
    where, says = error["loc"], error["msg"].removeprefix("Value error, ")
    name = "--" + "-".join(map(str, where)).replace("_", "-") if where else "--bands, --rows"
    shown = repr(error["input"]) if where else "values that do not fit together"
    return Fault(name, shown, says, "`phusa dedup curve --help` has the options.")


def curve(threshold: float, method: MinHash, expected: Expected | None = None) -> Curve:
    """Compute the curve of a method's bands at a threshold (0-1)."""
    bands, rows = method.banding(threshold)
    points = tuple(recall(n / _STEPS, bands, rows) for n in range(_STEPS + 1))
    at_threshold = recall(threshold, bands, rows)
    return Curve(threshold, method.num_perm, bands, rows, at_threshold, points, expected)


def expect_in(
    store: Store, of: str, config: DedupConfig, threshold: float, method: MinHash
) -> Expected:
    """Expect the candidates among the documents of the artifact `of`, from a sample of them."""
    manifest = store.resolve(of)
    paths = store.files(manifest, "documents/")
    if not paths:
        remedy = "Such as clean, or clean@VERSION."
        raise RequestError(Fault("--of", manifest.label, "an artifact with documents", remedy))
    return expect(paths, config.shingles, threshold, method.banding(threshold), _SAMPLE)


def show_curve(console: Console, found: Curve) -> None:
    """Print the curve in letters, and what it means in numbers."""

    def say(text: str = "", style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    used = found.bands * found.rows
    say(f"{found.bands} bands of {found.rows} rows, {used} of {found.num_perm} functions", "bold")
    for line in plot(found):
        say(line)
    say()
    say(f"at the threshold, {found.threshold:g}: {found.recall:.1%} of the pairs are found")
    say("of a million pairs of each similarity are measured:")
    for similarity in _TOLD:
        share = recall(similarity, found.bands, found.rows)
        mark = "duplicates" if similarity >= found.threshold else "in vain"
        say(f"  {similarity:.2f}  {share * 1e6:>11,.0f}  {mark}")
    if found.expected is not None:
        for line in _tell(found.expected):
            say(line)


def _tell(found: Expected) -> list[str]:
    of = f"{found.documents:,} documents"
    basis = "all pairs" if found.sampled == found.documents else f"a sample of {found.sampled:,}"
    return [
        f"expected among {of}, from {basis}:",
        f"  {found.candidates:>13,.0f}  pairs measured, {found.in_vain:,.0f} of them in vain",
        f"  {found.duplicates:>13,.0f}  pairs of duplicates, {found.missed:,.1f} of them missed",
    ]


def plot(found: Curve) -> list[str]:
    """Draw an area of letters: similarity to the right, share of pairs that are found upwards."""
    shares = [recall((n + 0.5) / _WIDTH, found.bands, found.rows) for n in range(_WIDTH)]
    lines = []
    for row in range(_HEIGHT - 1, -1, -1):
        filled = (min(max(share * _HEIGHT - row, 0), 1) for share in shares)
        name = f"{(row + 1) * 100 // _HEIGHT:>4} % │" if row % 3 == 0 else "       │"
        lines.append(name + "".join(_EIGHTHS[round(8 * part)] for part in filled))
    place = min(round(found.threshold * _WIDTH), _WIDTH)
    lines.append("   0 % └" + "─" * place + "┴" + "─" * (_WIDTH - place - 1))
    marks = [" "] * (_WIDTH + 12)
    for at, name in ((0, "0"), (_WIDTH // 2, "0.5"), (_WIDTH, "1"), (place, "▲")):
        marks[at : at + len(name)] = name
    lines.append("        " + "".join(marks).rstrip() + f"  threshold {found.threshold:g}")
    return lines


def draw_curve(found: Curve) -> bytes:
    """Draw a PNG of the curve, its threshold, and the curves of fewer and of more rows."""
    figure = new_figure(7.2, 4.2)
    axes = figure.subplots()
    x = np.linspace(0, 1, 501)
    for rows, style in ((found.rows - 2, ":"), (found.rows + 2, "-.")):
        if 1 <= rows <= found.num_perm:
            _draw_other(axes, x, found.num_perm // rows, rows, style)
    y = 1 - (1 - x**found.rows) ** found.bands
    name = f"{found.bands} bands of {found.rows} rows"
    axes.plot(x, y, color=_INK, linewidth=2, label=name)
    below = x <= found.threshold
    axes.fill_between(x[below], 0, y[below], color=_FOUND, alpha=0.5, label="measured in vain")
    above = x >= found.threshold
    axes.fill_between(x[above], y[above], 1, color=_MISSED, alpha=0.6, label="missed")
    axes.axvline(found.threshold, color=_MISSED, linewidth=1, linestyle="--")
    axes.set_title(f"threshold {found.threshold:g}: {found.recall:.1%} of such pairs are found")
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="Jaccard similarity of two documents")
    axes.set_ylabel("share of such pairs that are measured")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False)
    return png_of(figure)


def _draw_other(axes: Axes, x: Shares, bands: int, rows: int, style: str) -> None:
    name = f"{bands} bands of {rows} rows"
    axes.plot(x, 1 - (1 - x**rows) ** bands, color=_FAINT, linestyle=style, label=name)
