"""The picture of a training."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.run_page.plots import _smooth, draw_training, plot_training
from storage.store import Store
from tests.flows.sealed import seal


def training(steps: int) -> pa.Table:
    step = np.arange(1, steps + 1)
    loss = 2 + np.random.default_rng(0).random(steps)
    return pa.table({"step": step, "loss": loss, "rate_factor": np.linspace(1, 0, steps)})


@pytest.mark.parametrize("steps", [1, 20_000])
def test_it_is_a_small_png(tmp_path: Path, steps: int) -> None:
    pq.write_table(training(steps), tmp_path / "training.parquet")
    png = draw_training(tmp_path / "training.parquet")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (720, 400)
    assert len(png) < 60_000


def test_it_comes_as_a_data_url_or_not_at_all(tmp_path: Path) -> None:
    version = "20261121-010101-000-aaaa"
    made = seal(tmp_path, "pretrain", version, {"training.parquet": training(3)})
    url = plot_training(Store(tmp_path), made)
    assert url is not None and url.startswith("data:image/png;base64,")
    assert base64.b64decode(url.partition(",")[2])[:4] == b"\x89PNG"
    without = seal(tmp_path, "finetune", version, {"model.safetensors": b""})
    assert plot_training(Store(tmp_path), without) is None


def test_the_bold_line_is_the_mean_of_the_steps_before() -> None:
    values = np.arange(100, dtype=float)
    smooth = _smooth(values)
    assert len(smooth) == 100
    assert smooth[0] == 0 and smooth[1] == 0.5 and smooth[99] == 98.5
    assert list(_smooth(np.array([3.0]))) == [3.0]
