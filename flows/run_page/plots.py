"""Small pictures as PNGs in data URLs: a training's loss and rate, documents by their score.

A data URL, because the server keeps no files and the UI must show the picture to whoever reads it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from storage.manifest import Manifest
from storage.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINING = "training.parquet"
_INCHES, _DPI = (7.2, 4.0), 100
_SMOOTHING = 50  # the bold line is a mean over this part of the steps


@dataclass(frozen=True)
class Picture:
    """One that is shown on a page and as an artifact of its own, `STAGE-NAME`."""

    name: str
    says: str
    url: str

    @property
    def markdown(self) -> str:
        return f"![{self.says}]({self.url})"


Curve = npt.NDArray[np.float64]


def plot_training(store: Store, manifest: Manifest) -> str | None:
    """A data URL with the curves of the artifact's training, or None if it has kept none."""
    if all(entry.path != TRAINING for entry in manifest.files):
        return None
    (path,) = store.files(manifest, TRAINING)
    return data_url(draw_training(path))


def data_url(png: bytes) -> str:
    """A PNG as the address of an image."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def draw_training(path: Path) -> bytes:
    """A PNG of the loss by step and, below, of the rate as a share of its peak."""
    from matplotlib.figure import Figure  # 0.4 s, and only wanted where something was trained

    columns = pq.read_table(path)
    step, loss = columns["step"].to_numpy(), columns["loss"].to_numpy()
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")  # Agg: no pyplot, no state
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot(step, loss, color="#93c5fd", linewidth=0.8)
    upper.plot(step, _smooth(loss), color="#1d4ed8", linewidth=1.6)
    upper.set_ylabel("loss (nats)")
    lower.plot(step, columns["rate_factor"].to_numpy(), color="#b45309")
    lower.set_ylabel("rate / peak")
    lower.set_ylim(0, 1.05)
    lower.set_xlabel("step")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return _png(figure)


def plot_scores(histogram: Sequence[int], threshold: float | None) -> str:
    """A data URL with how many documents have which score, and where the threshold is."""
    return data_url(draw_scores(histogram, threshold))


def draw_scores(histogram: Sequence[int], threshold: float | None) -> bytes:
    """A PNG of documents by score, in bins of equal width over 0-1."""
    from matplotlib.figure import Figure

    width = 1 / len(histogram)
    figure = Figure(figsize=(_INCHES[0], _INCHES[1] / 1.6), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    lefts = [number * width for number in range(len(histogram))]
    axes.bar(lefts, histogram, width, align="edge", color="#93c5fd", edgecolor="#1d4ed8")
    if threshold is not None:
        axes.axvline(threshold, color="#b45309", linewidth=2)
    axes.set_xlim(0, 1)
    axes.set_xlabel("score")
    axes.set_ylabel("documents")
    axes.grid(alpha=0.3)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _smooth(values: Curve) -> Curve:
    """The mean of the steps up to each, over a fiftieth of all of them."""
    width = max(1, len(values) // _SMOOTHING)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))
