"""The loss and the learning rate of a training run, as a small PNG in a data URL.

A data URL, because the server keeps no files and the UI must show the picture to whoever reads it.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from storage.manifest import Manifest
from storage.store import Store

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
