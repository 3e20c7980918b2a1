"""The funnel and the histograms of a cleaning as PNGs."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.clean.funnel import Drop, Funnel
from tasks.clean.histograms import Histogram, are_whole, cuts_of
from tasks.page import new_figure, png_of, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEPT, _DROPPED, _BOUND, _INK, _FAINT = "#2a9d8f", "#e76f51", "#b3261e", "#1f2937", "#6b7280"
_COLUMNS = 3
_PANEL = (3.6, 2.35)  # inches
_BAR = 0.66  # of the distance between two steps
_NAMED = 3  # reasons that are named beside a step


def draw_funnel(found: Funnel, title: str) -> bytes:
    """Draw a bar for what each step leaves, with what it drops and the reasons that drop most."""
    rows: list[tuple[str, int, int, Sequence[Drop]]]
    rows = [("pages" if found.language is None else "texts", found.pages, 0, ())]
    rows += [(step.name, step.pages_out, step.dropped, step.drops) for step in found.steps]
    figure = new_figure(10.8, 1.0 + 0.62 * len(rows))
    axes = figure.subplots()
    for place in range(1, len(rows)):
        _draw_slope(axes, place, *rows[place - 1][1:3], found.pages)
    for place, (name, left, dropped, drops) in enumerate(rows):
        _draw_step(axes, place, name, left, dropped, drops, found.pages)
    axes.set_xlim(-0.15, 1.7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.axis("off")
    figure.suptitle(
        f"{title}: {found.kept:,} of {found.pages:,} kept ({share(found.kept, found.pages)})",
        x=0.01, ha="left", color=_INK, fontsize=13, fontweight="bold",
    )  # fmt: skip
    return png_of(figure)


def _draw_slope(axes: Axes, place: int, left: int, dropped: int, pages: int) -> None:
    """Draw what a row leaves, from its bar down to the next one's."""
    whole = max(pages, 1)
    wide, gone = left / whole, dropped / whole
    start, below = (1 - wide - gone) / 2, (1 - wide) / 2
    ys = [place - 1 + _BAR / 2, place - _BAR / 2]
    sides = ([start, below], [start + wide, below + wide])
    axes.fill_betweenx(ys, *sides, color=_KEPT, alpha=0.15, linewidth=0)


def _draw_step(
    axes: Axes, place: int, name: str, left: int, dropped: int, drops: Sequence[Drop], pages: int
) -> None:
    whole = max(pages, 1)
    wide, gone = left / whole, dropped / whole
    start = (1 - wide - gone) / 2  # centred, as a funnel is
    axes.barh(place, wide, left=start, height=_BAR, color=_KEPT)
    axes.barh(place, gone, left=start + wide, height=_BAR, color=_DROPPED, alpha=0.85)
    axes.text(-0.02, place, name, ha="right", va="center", color=_INK, fontsize=10.5)
    middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10}
    says = f"{left:,}  ({share(left, pages)})"
    if wide > 0.2:
        axes.text(start + wide / 2, place, says, color="white", **middle)
    else:
        axes.text(start - 0.01, place, says, color=_INK, **{**middle, "ha": "right"})
    if not dropped:
        return
    axes.text(1.02, place, f"−{dropped:,}", ha="left", va="center", color=_DROPPED, fontsize=10.5)  # noqa: RUF001
    ranked = sorted((drop for drop in drops if drop.dropped), key=lambda d: -d.dropped)
    told = [f"{drop.reason} {drop.dropped:,}" for drop in ranked[:_NAMED]]
    told += [f"{len(ranked) - _NAMED} more"] if len(ranked) > _NAMED else []
    axes.text(1.2, place, "\n".join(told), ha="left", va="center", color=_FAINT, fontsize=8.5)


def draw_histograms(found: Sequence[Histogram], drops: Sequence[Drop], title: str) -> bytes:
    """Draw a panel for each of at least one signal: texts kept and dropped, bounds as dashed lines.

    `drops` are those of the funnel: how many texts break a bound stands beside its line.
    """
    columns = min(_COLUMNS, len(found))
    rows = ceil(len(found) / columns)
    width, height = _PANEL
    across, down = max(width * columns, 6.4), height * rows + 0.8
    # Margins in inches, and no layout engine: one would draw all panels three times over.
    figure = new_figure(across, down, layout=None)
    figure.subplots_adjust(
        left=0.45 / across, right=1 - 0.32 / across, top=1 - 0.8 / down, bottom=0.65 / down,
        wspace=0.16, hspace=0.46,
    )  # fmt: skip
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    told = {drop.reason: drop for drop in drops}
    for axes, one in zip(panels, found, strict=False):
        _draw_signal(axes, one, told)
    for axes in panels[len(found) :]:
        axes.axis("off")
    above = {"y": 1 - 0.12 / down, "va": "top", "fontsize": 12, "fontweight": "bold"}
    figure.suptitle(title, x=0.1 / across, ha="left", color=_INK, **above)
    handles = _legend()
    figure.legend(
        handles=handles, loc="lower left", ncols=len(handles), frameon=False, fontsize=8.5
    )
    return png_of(figure)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color=_KEPT, alpha=0.6, label="texts kept"),
        Patch(facecolor="#fbe3dc", edgecolor=_DROPPED, label="texts dropped, for any reason"),
        Line2D([], [], color=_BOUND, linestyle="--", label="bound (texts that break it)"),
    ]


def _draw_signal(axes: Axes, one: Histogram, drops: dict[str, Drop]) -> None:
    edges = np.array(one.edges)
    is_log = one.scale == "log"
    if is_log and edges[0] == 0:  # zeros: one more bin, as wide as the next
        edges[0] = edges[1] ** 2 / edges[2]
    axes.stairs(one.kept, edges, fill=True, color=_KEPT, alpha=0.6, linewidth=0, baseline=0.1)
    axes.stairs(one.dropped, edges, fill=True, color=_DROPPED, alpha=0.18, baseline=0.1)
    axes.stairs(one.dropped, edges, color=_DROPPED, linewidth=1.3, baseline=0.1)
    axes.set_yscale("log")  # few texts are near a bound, and all matter
    axes.set_ylim(0.7, max(*one.kept, *one.dropped, 1) * 3)
    if is_log:
        axes.set_xscale("log")
    for bound in one.bounds:
        for cut in cuts_of(bound, whole=are_whole(one.edges)):
            axes.axvline(cut, color=_BOUND, linestyle="--", linewidth=1.2)
    axes.set_title(_says(one, drops), fontsize=8.5, color=_INK, loc="left")
    outside = [(one.below, "◂ {:,}", "left", 0.01), (one.above, "{:,} ▸", "right", 0.99)]
    for count, text, side, at in outside:
        if count:
            where: dict[str, Any] = {"ha": side, "va": "top", "transform": axes.transAxes}
            where["bbox"] = {"facecolor": "white", "linewidth": 0, "pad": 0.8}
            axes.text(at, 0.97, text.format(count), fontsize=7.5, color=_FAINT, **where)
    _quiet(axes, one, edges)


def _says(one: Histogram, drops: dict[str, Drop]) -> str:
    """Write the signal's name and, below, each bound with the texts that break it."""
    bounds = []
    for bound in one.bounds:
        drop = drops.get(bound.reason)
        if drop is not None:
            bounds.append(f"{drop.bound} ({drop.broken_by:,})")
    return f"{one.signal}\n{',  '.join(bounds)}"


def _quiet(axes: Axes, one: Histogram, edges: np.ndarray[Any, Any]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.tick_params(labelsize=7.5, colors=_FAINT, which="both", length=2)
    axes.yaxis.set_major_locator(LogLocator(10, numticks=5))
    axes.yaxis.set_minor_locator(NullLocator())
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9ca3af")
    axes.set_xlim(edges[0], edges[-1])
    plain = FuncFormatter(lambda value, _: f"{value:,.6g}")
    axes.yaxis.set_major_formatter(plain)
    axes.xaxis.set_major_formatter(plain)
    if one.scale == "log" and one.edges[0] == 0:
        zero = float(np.sqrt(edges[0] * edges[1]))
        ticks = [t for t in 10.0 ** np.arange(-9, 13) if edges[1] <= t <= edges[-1]]
        axes.set_xticks([zero, *ticks], ["0", *(f"{t:,.6g}" for t in ticks)])
        axes.minorticks_off()
    elif one.scale == "log":
        axes.minorticks_off()
