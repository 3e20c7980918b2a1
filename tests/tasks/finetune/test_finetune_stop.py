"""A stop keeps the last finished step of a fine-tuning, whose files end up the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from storage.errors import Interrupted
from storage.workspace import Workspace
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import TRAIN, VALIDATION
from tasks.finetune.train import FinetuneData, FinetuneJob
from tasks.lm.loop import carry_out
from tasks.progress import reporting_to
from tests.tasks.stopping import StopAfter


def job(config: FinetuneConfig, data: FinetuneData, work: Path) -> FinetuneJob:
    """A job in a work folder where the pairs are written already."""
    for path, source in ((TRAIN, data.train), (VALIDATION, data.validation)):
        target = work / "data" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return FinetuneJob(config=config, base=data.base, work=work)


def run(job: FinetuneJob, reporter: StopAfter) -> dict[str, str]:
    """Carry out a job; returns each file's digest."""
    with reporting_to(reporter):
        carry_out(job)
    return {entry.path: entry.sha256 for entry in Workspace(job.work).entries()}


@pytest.fixture
def unbroken(
    tiny_finetuning: FinetuneConfig, finetune_data: FinetuneData, tmp_path: Path
) -> tuple[dict[str, str], int]:
    reporter = StopAfter()
    files = run(job(tiny_finetuning, finetune_data, tmp_path / "unbroken"), reporter)
    return files, len(reporter.advances["finetune"])


@pytest.mark.parametrize("done", [1, 3, 8, -1, 0])
def test_a_stopped_run_ends_with_the_same_files(
    tiny_finetuning: FinetuneConfig,
    finetune_data: FinetuneData,
    unbroken: tuple[dict[str, str], int],
    tmp_path: Path,
    done: int,
) -> None:
    files, num_steps = unbroken
    assert num_steps > 8
    made = job(tiny_finetuning, finetune_data, tmp_path / "stopped")
    count = done if done > 0 else num_steps + done
    # The second evaluation is the one after the last step.
    stop = StopAfter("finetune", count) if done else StopAfter("evaluate", 2)
    with pytest.raises(Interrupted):
        run(made, stop)
    rest = StopAfter()
    assert run(made, rest) == files
    assert ("finetune", num_steps, "steps", count) in rest.bars
    assert len(rest.advances.get("finetune", [])) == num_steps - count


def test_the_curve_has_loss_and_rate_of_every_step(
    tiny_finetuning: FinetuneConfig, finetune_data: FinetuneData, tmp_path: Path
) -> None:
    made = job(tiny_finetuning, finetune_data, tmp_path / "curve")
    reporter = StopAfter()
    run(made, reporter)
    rows = pq.read_table(made.work / "data" / "training.parquet").to_pylist()
    assert [row["loss"] for row in rows] == [a["loss"] for a in reporter.advances["finetune"]]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    factors = [row["rate_factor"] for row in rows]
    assert max(factors) == 1 and 0 < factors[-1] < factors[-2] < 1
    entry = Workspace(made.work).entry("training.parquet")
    assert entry is not None and entry.volatile  # the content digest is as it was
