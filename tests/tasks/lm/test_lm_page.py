"""The picture of a training."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.stages import open_artifact
from storage.store import Store
from tasks.lm.page import _smooth, draw_training, sections
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


def test_what_was_trained_shows_it(tmp_path: Path) -> None:
    version = "20261121-010101-000-aaaa"
    store = Store(tmp_path)
    made = seal(tmp_path, "pretrain", version, {"training.parquet": training(3)})
    (section,) = sections(open_artifact(store, made))
    (picture,) = section.pictures
    assert (section.title, picture.name) == ("Training", "loss")
    assert picture.png[:4] == b"\x89PNG"
    assert picture.url.startswith("data:image/png;base64,")
    without = seal(tmp_path, "finetune", version, {"model.safetensors": b""})
    assert list(sections(open_artifact(store, without))) == []


def test_the_bold_line_is_the_mean_of_the_steps_before() -> None:
    values = np.arange(100, dtype=float)
    smooth = _smooth(values)
    assert len(smooth) == 100
    assert smooth[0] == 0 and smooth[1] == 0.5 and smooth[99] == 98.5
    assert list(_smooth(np.array([3.0]))) == [3.0]
