"""The curves of a training on the page of its run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tasks.artifacts.artifact import Artifact
from tasks.page import Picture, Section, new_figure, png_of

TRAINING = "training.parquet"
_SMOOTHING = 50  # the bold line is a mean over this part of the steps

Curve = npt.NDArray[np.float64]


def sections(artifact: Artifact) -> Iterator[Section]:
    """Show the curves of the artifact's training, if it has kept any."""
    if artifact.has(TRAINING):
        (path,) = artifact.files(TRAINING)
        picture = Picture("loss", "loss and learning rate by step", draw_training(path))
        yield Section("Training", pictures=(picture,))


def draw_training(path: Path) -> bytes:
    """Draw a PNG of the loss by step and, below, of the rate as a share of its peak."""
    columns = pq.read_table(path)
    step, loss = columns["step"].to_numpy(), columns["loss"].to_numpy()
    figure = new_figure(7.2, 4.0)
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
    return png_of(figure)


def _smooth(values: Curve) -> Curve:
    """Take the mean of the steps up to each, over a fiftieth of all of them."""
    width = max(1, len(values) // _SMOOTHING)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))
