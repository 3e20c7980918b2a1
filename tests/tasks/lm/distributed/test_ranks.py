"""Ranks under a real torchrun: the mathematics of one device, and errors that travel."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from storage.errors import TrainingDiverged
from tasks.lm.config import ComputeConfig
from tasks.lm.distributed import launch as module
from tasks.lm.distributed.launch import launch
from tasks.lm.distributed.world import ALONE, World
from tasks.progress import reporting_to
from tests.conftest import ROOT
from tests.tasks.lm.distributed.rehearsal import Rehearsal, small_model, take_steps
from tests.tasks.stopping import StopAfter


def _launch(tmp_path: Path, part: str, reporter: StopAfter, device: str = "cpu") -> Any:
    compute = ComputeConfig.model_validate({"device": device, "devices": 2, "threads": 2})
    with reporting_to(reporter):
        return launch(Rehearsal(part, tmp_path), compute, tmp_path / "ranks.log")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("tasks.lm.device.usable_cores", lambda: 2)


def _expect_one_device(tmp_path: Path, device: str) -> None:
    reporter = StopAfter()
    told = _launch(tmp_path, "steps", reporter, device)
    alone = small_model()
    losses = take_steps(alone, ALONE)
    assert told["losses"] == pytest.approx(losses, rel=1e-5)
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in (0, 1))
    for name, expected in alone.state_dict().items():
        torch.testing.assert_close(first[name], expected, atol=1e-5, rtol=1e-4)
        assert torch.equal(first[name], second[name]), name
    assert told["gradient"] == [[2.0, 2.0, 2.0]]
    assert (told["threads"], told["shares"]) == (1, 5)
    assert reporter.notes == ["begun"]
    assert reporter.advances["steps"] == [{"amount": 2, "loss": told["losses"][-1]}]


def test_two_ranks_take_the_steps_of_one_device(tmp_path: Path) -> None:
    _expect_one_device(tmp_path, "cpu")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA GPUs")
def test_two_gpus_take_the_steps_of_one_device(tmp_path: Path) -> None:
    _expect_one_device(tmp_path, "cuda")


def test_an_error_of_one_rank_ends_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_WITHIN_S", 4.0)
    before = set(psutil.Process().children(recursive=True))
    began = time.monotonic()
    with pytest.raises(TrainingDiverged, match=r"^seen by rank 1 alone$"):
        _launch(tmp_path, "diverge", StopAfter())
    assert time.monotonic() - began < 60
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_are_all_rows_once_and_even(count: int, size: int) -> None:
    rows = list(range(count))
    shares = [rows[World(rank, size).share(count)] for rank in range(size)]
    assert [row for share in shares for row in share] == rows
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1
