"""Pretraining on two devices: what one device would make, stopped and gone on with at will."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from storage.errors import Interrupted, RequestError
from tasks.lm.loop import carry_out
from tasks.pretrain.config import PretrainConfig
from tasks.pretrain.train import PretrainJob, TrainingData
from tasks.progress import reporting_to
from tests.conftest import ROOT
from tests.tasks.pretrain.conftest import pretrain
from tests.tasks.stopping import StopAfter

# A process that trains on two devices for ever, and says when steps are taken.
PARENT = """
import sys
from tasks.lm.loop import carry_out
from tasks.pretrain.train import PretrainJob
from tasks.progress import report_to
from tests.tasks.pretrain.conftest import pretrain
from tests.tasks.stopping import StopAfter

class Telling(StopAfter):
    def heard(self, label, facts):
        print(label, flush=True)

report_to(Telling())
carry_out(PretrainJob.model_validate_json(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.lm.device.usable_cores", lambda: 2)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def _on(config: PretrainConfig, devices: int, **knobs: Any) -> PretrainConfig:
    compute = {"device": "cpu", "precision": "fp32", "devices": devices, "threads": 1}
    return PretrainConfig.model_validate({**config.model_dump(), "compute": compute, **knobs})


def _carry_out(job: PretrainJob, reporter: StopAfter) -> dict[str, Any]:
    with reporting_to(reporter):
        return carry_out(job)


def test_two_devices_train_and_one_goes_on(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, tmp_path: Path
) -> None:
    unbroken = pretrain(_on(tiny_pretraining, 1), pretrain_data, tmp_path / "unbroken")
    work = tmp_path / "0123456789abcdef"

    # Snapshots only where it is stopped.
    two = _on(tiny_pretraining, 2, checkpoint_steps=1000)
    stop = StopAfter("pretrain", 4)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(Interrupted, match="enough"):
        _carry_out(PretrainJob(config=two, data=pretrain_data, work=work), stop)
    assert set(psutil.Process().children(recursive=True)) <= before
    (snapshot,) = (work / "scratch" / "snapshots").glob("step-*")
    done = int(snapshot.stem.removeprefix("step-"))
    assert 4 <= done <= 20
    losses = [advance["loss"] for advance in stop.advances["pretrain"]]
    expected = [row["loss"] for row in unbroken.history]
    assert losses == pytest.approx(expected[:4], rel=1e-4)

    rest = StopAfter()
    one = _on(tiny_pretraining, 1)
    stats = _carry_out(PretrainJob(config=one, data=pretrain_data, work=work), rest)
    assert rest.bars[0] == ("pretrain", 20 * 96, "tokens", done * 96)
    rows = pq.read_table(work / "data" / "training.parquet").to_pylist()
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert [row["loss"] for row in rows] == pytest.approx(expected, rel=1e-3)
    score = "validation_bits_per_byte"
    assert stats[score] == pytest.approx(unbroken.stats[score], rel=1e-3)


def test_one_device_trains_and_two_finish(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, tmp_path: Path
) -> None:
    one, two = (
        PretrainJob(
            config=_on(tiny_pretraining, devices),
            data=pretrain_data,
            work=tmp_path / "work",
            tracking=tmp_path / "tensorboard" / "tiny" / "pretrain-01234567",
        )
        for devices in (1, 2)
    )
    alone = one.model_copy(update={"work": tmp_path / "alone", "tracking": None})
    expected = carry_out(alone)
    with pytest.raises(Interrupted):
        _carry_out(one, StopAfter("pretrain", 7))
    reporter = StopAfter()
    stats = _carry_out(two, reporter)
    score = "validation_bits_per_byte"
    assert stats[score] == pytest.approx(expected[score], rel=1e-3)
    assert stats["compute"].startswith("2 x cpu, fp32")
    bars = [("pretrain", 20 * 96, "tokens", 7 * 96), ("evaluate", 8, "sequences", 0)]
    assert reporter.bars == bars
    assert any("10,400 parameters, 20 steps" in text for text in reporter.notes)
    assert not [text for text in reporter.notes if "tensorboard" in text]
    curves = [pq.read_table(j.work / "data" / "training.parquet") for j in (two, alone)]
    assert curves[0].schema == curves[1].schema
    files = [sorted(p.name for p in (j.work / "data").iterdir()) for j in (two, alone)]
    assert files[0] == files[1]

    assert two.tracking is not None
    shown = EventAccumulator(str(two.tracking)).Reload()
    assert [event.step for event in shown.Scalars("loss")] == list(range(1, 21))
    losses = [event.value for event in shown.Scalars("loss")]
    assert losses == pytest.approx(curves[0]["loss"].to_pylist(), rel=1e-6)
    assert [event.step for event in shown.Scalars(score)] == [20]


@pytest.fixture
def short_folder() -> Iterator[str]:
    """Where a killed process may leave its socket: one in `tmp_path` has too long a name."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        yield folder


def test_ranks_outlive_their_stage_by_a_checkpoint_only(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    tmp_path: Path,
    short_folder: str,
) -> None:
    config = _on(tiny_pretraining, 2, tokens=10_000_000, checkpoint_steps=10**9)
    job = PretrainJob(config=config, data=pretrain_data, work=tmp_path / "work")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, job.model_dump_json()],
        env={**os.environ, "TMPDIR": short_folder},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    for _ in range(3):
        assert parent.stdout.readline() == "pretrain\n"
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) == 3  # torchrun and two ranks
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=30)
    for process in alive:
        process.kill()
    assert not alive
    assert len(list((job.work / "scratch" / "snapshots").glob("step-*"))) == 1


def test_a_request_for_more_than_there_is_is_refused_at_once(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, tmp_path: Path
) -> None:
    config = _on(tiny_pretraining, 3)
    with pytest.raises(RequestError, match=r"compute\.devices: found 3; .*at most 2: this machine"):
        carry_out(PretrainJob(config=config, data=pretrain_data, work=tmp_path / "a"))


def test_a_batch_has_a_sequence_for_each_device(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, tmp_path: Path
) -> None:
    config = _on(tiny_pretraining, 2, batch_sequences=1)
    with pytest.raises(RequestError, match=r"2 devices for batches of 1 seq.*devices to 1 or less"):
        carry_out(PretrainJob(config=config, data=pretrain_data, work=tmp_path / "b"))
