"""A stop keeps the last finished step: the next run goes on from there and ends the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from storage.errors import Interrupted
from tasks.pretrain.config import PretrainConfig
from tasks.pretrain.train import Pretraining, TrainingData
from tasks.progress import reporting_to
from tests.tasks.pretrain.conftest import pretrain
from tests.tasks.stopping import StopAfter

STEPS = 20


@pytest.fixture
def unbroken(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, tmp_path: Path
) -> Pretraining:
    return pretrain(tiny_pretraining, pretrain_data, tmp_path / "unbroken")


@pytest.mark.parametrize(
    ("label", "count", "done"),
    [("pretrain", n, n) for n in (1, 2, 3, 10, 19, STEPS)] + [("evaluate", 1, STEPS)],
)
def test_a_stopped_run_goes_on_from_the_step_it_was_stopped_at(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    unbroken: Pretraining,
    calls: list[int],
    scratch: Path,
    label: str,
    count: int,
    done: int,
) -> None:
    with pytest.raises(Interrupted, match="enough"), reporting_to(StopAfter(label, count)):
        pretrain(tiny_pretraining, pretrain_data, scratch)
    assert len(calls) == done
    reporter = StopAfter()
    with reporting_to(reporter):
        resumed = pretrain(tiny_pretraining, pretrain_data, scratch)
    assert len(calls) == STEPS
    assert reporter.bars[0] == ("pretrain", STEPS * 96, "tokens", done * 96)
    assert any(f"goes on from step {done} of {STEPS}" in text for text in reporter.notes)
    assert resumed.history == unbroken.history
    score = "validation_bits_per_byte"
    assert resumed.stats[score] == unbroken.stats[score]
    expected = unbroken.model.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in resumed.model.state_dict().items())


def test_stopped_again_and_again(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    unbroken: Pretraining,
    calls: list[int],
    scratch: Path,
) -> None:
    for _ in range(STEPS):  # the last time it is stopped before its evaluation
        with pytest.raises(Interrupted), reporting_to(StopAfter("pretrain", 1)):
            pretrain(tiny_pretraining, pretrain_data, scratch)
    resumed = pretrain(tiny_pretraining, pretrain_data, scratch)
    assert len(calls) == STEPS
    assert resumed.history == unbroken.history


def test_any_other_end_that_the_bar_brings_keeps_the_step_too(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, scratch: Path
) -> None:
    class Cancelled(BaseException):
        """As Prefect ends a run: no Exception."""

    class Cancelling(StopAfter):
        def heard(self, label: str, facts: dict[str, Any]) -> None:
            raise Cancelled

    with pytest.raises(Cancelled), reporting_to(Cancelling()):
        pretrain(tiny_pretraining, pretrain_data, scratch)
    assert [file.name for file in scratch.glob("step-*")] == ["step-000000001.safetensors"]
