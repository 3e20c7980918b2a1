"""Resuming equals never having stopped, and a torn file costs one snapshot and not the run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.optim import Optimizer

from storage.errors import RunError
from tasks.lm import snapshot as module
from tasks.lm.models.decoder import Decoder
from tasks.lm.optimizer import build_optimizers, set_rates
from tasks.lm.optimizers import Muon
from tasks.lm.snapshot import History, Snapshots
from tasks.progress import reporting_to
from tests.tasks.stopping import StopAfter

NUM_STEPS = 10
Run = tuple[Decoder, list[Optimizer]]


@pytest.fixture
def start(make_model: Callable[..., Decoder]) -> Callable[[], Run]:
    """A new process's objects; weights other than the trained ones, so that loading shows."""

    def begin(seed: int = 0) -> Run:
        model = make_model(seed=seed, num_layers=1)
        return model, build_optimizers(model, Muon(matrix_lr=0.01), torch.float32, model.head)

    return begin


def _train(run: Run, first: int, last: int, dtype: torch.dtype = torch.float32) -> list[float]:
    model, optimizers = run
    losses = []
    for step in range(first, last):
        set_rates(optimizers, 1 - step / NUM_STEPS)
        ids = torch.randint(280, (2, 17), generator=torch.Generator().manual_seed(step))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = model.summed_loss(ids[:, :-1], ids[:, 1:], dtype) / 32
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    return losses


def _history(*losses: float) -> History:
    history = History(("loss",))
    for loss in losses:
        history.add(loss=loss)
    return history


def _load(folder: Path, model: Decoder, optimizers: Sequence[Optimizer]) -> tuple[int, History]:
    """Go on from what there is; returns the step and the history."""
    history = History(("loss",))
    found = Snapshots(folder).load(model, history)
    if found is None:
        return 0, history
    found.restore(model, optimizers)
    return found.step, history


def _weights(run: Run) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in run[0].state_dict().items()}


def _equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resume_is_bit_exact(start: Callable[..., Run], tmp_path: Path, dtype: torch.dtype) -> None:
    unbroken = start()
    history = _train(unbroken, 0, NUM_STEPS, dtype)

    stopped = start()
    losses = _train(stopped, 0, 5, dtype)
    Snapshots(tmp_path / "s").save(5, *stopped, _history(*losses))

    resumed = start(seed=9)
    step, before = _load(tmp_path / "s", *resumed)
    assert (step, before) == (5, _history(*losses))
    assert _equal(_weights(resumed), _weights(stopped))
    assert losses + _train(resumed, step, NUM_STEPS, dtype) == history
    assert _equal(_weights(resumed), _weights(unbroken))
    assert not _equal(_weights(resumed), _weights(stopped))


def _save_two(start: Callable[..., Run], folder: Path) -> dict[str, torch.Tensor]:
    """Snapshots after 3 and 6 steps; returns the weights after 3."""
    run = start()
    _train(run, 0, 3)
    Snapshots(folder).save(3, *run, _history(1.5))
    older = _weights(run)
    _train(run, 3, 6)
    Snapshots(folder).save(6, *run, _history(1.5, 1.0))
    return older


def _torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _emptied(file: Path) -> None:
    file.write_bytes(b"")


def _flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-100] ^= 0x40
    file.write_bytes(data)


def _foreign(file: Path) -> None:
    save_file({"model.norm.weight": torch.ones(3)}, file)


def _of_another_model(file: Path) -> None:
    model = torch.nn.Linear(3, 3)
    Snapshots(file.parent / "other").save(6, model, [], _history(1.5))
    (file.parent / "other" / file.name).replace(file)


def _of_other_figures(file: Path) -> None:
    with safe_open(file, framework="pt") as snapshot:
        meta = json.loads(snapshot.metadata()["meta"]) | {"columns": ["loss", "norm"]}
    tensors = load_file(file)
    text = json.dumps(meta)
    save_file(tensors, file, {"meta": text, "digest": module._digest(text, tensors)})


DAMAGES = [_torn, _emptied, _flipped, _foreign, _of_another_model, _of_other_figures]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_last_good_one_wins_and_that_is_told(
    start: Callable[..., Run], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    older = _save_two(start, tmp_path)
    damage(tmp_path / "step-000000006.safetensors")
    run, reporter = start(seed=9), StopAfter()
    with reporting_to(reporter):
        assert _load(tmp_path, *run) == (3, _history(1.5))
    assert _equal(_weights(run), older)
    (told,) = reporter.notes
    assert "step-000000006" in told and "goes on from step-000000003" in told

    _train(run, 3, 6)  # and what it goes on with is whole again
    Snapshots(tmp_path).load(run[0], history := _history())
    history.add(loss=1.25)
    snapshots = Snapshots(tmp_path)
    snapshots.load(run[0], _history())
    snapshots.save(6, *run, history)
    assert _load(tmp_path, *start(seed=8)) == (6, _history(1.5, 1.25))


def test_none_that_can_be_read_is_no_new_start(start: Callable[..., Run], tmp_path: Path) -> None:
    _save_two(start, tmp_path)
    _torn(tmp_path / "step-000000006.safetensors")
    _flipped(tmp_path / "step-000000003.safetensors")
    with pytest.raises(RunError) as error:
        _load(tmp_path, *start(seed=9))
    (fault,) = error.value.faults
    assert fault.code == "snapshots_unreadable"
    assert "step-000000006" in fault.found and "step-000000003" in fault.found


def test_a_damaged_history_is_noticed(start: Callable[..., Run], tmp_path: Path) -> None:
    older = _save_two(start, tmp_path)
    data = bytearray((tmp_path / "history").read_bytes())
    data[-1] ^= 1  # of the last step alone
    (tmp_path / "history").write_bytes(data)
    run = start(seed=9)
    assert _load(tmp_path, *run) == (3, _history(1.5))
    assert _equal(_weights(run), older)


def test_a_snapshot_costs_the_same_after_a_million_steps(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    run, snapshots = start(), Snapshots(tmp_path)
    _train(run, 0, 1)
    history = _history(*range(1_300_000))
    snapshots.save(1_300_000, *run, history)
    sizes, seconds = [], []
    for step in (1_300_001, 1_300_002):
        history.add(loss=0.5)
        began = time.process_time()
        snapshots.save(step, *run, history)
        seconds.append(time.process_time() - began)
        sizes.append((tmp_path / f"step-{step:09d}.safetensors").stat().st_size)
    assert (tmp_path / "history").stat().st_size == 8 * 1_300_002
    assert max(sizes) < 400_000 and min(seconds) < 0.1
    step, found = _load(tmp_path, *start(seed=9))
    assert (step, found == history) == (1_300_002, True)


def test_nothing_to_load_leaves_the_model_alone(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(seed=9)
    before = _weights(run)
    (tmp_path / "step-000000004.tmp").write_bytes(b"half a snapshot")  # it never was one
    assert _load(tmp_path, *run) == (0, _history())
    assert _equal(_weights(run), before)


def test_two_are_kept(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start()
    for step in (1, 2, 10, 100):
        Snapshots(tmp_path).save(step, *run, _history())
    names = sorted(file.name for file in tmp_path.glob("step-*"))
    assert names == ["step-000000010.safetensors", "step-000000100.safetensors"]


def test_only_what_is_trained_is_kept(start: Callable[..., Run], tmp_path: Path) -> None:
    def frozen(seed: int) -> tuple[Decoder, list[Optimizer]]:
        model, _ = start(seed=seed)
        model.requires_grad_(False)
        model.lm_head.weight.requires_grad_()
        return model, [torch.optim.AdamW([model.lm_head.weight], lr=0.1)]

    run = frozen(0)
    _train_head(*run, 0, 3)
    Snapshots(tmp_path).save(3, *run, _history(0.5))
    with safe_open(tmp_path / "step-000000003.safetensors", framework="pt") as snapshot:
        names = set(snapshot.keys())
    assert {name for name in names if name.startswith("model.")} == {"model.lm_head.weight"}
    assert {f"optimizer.0.0.{name}" for name in ("step", "exp_avg", "exp_avg_sq")} < names

    resumed = frozen(9)
    base = resumed[0].model.embed_tokens.weight.clone()
    assert _load(tmp_path, *resumed) == (3, _history(0.5))
    assert torch.equal(resumed[0].model.embed_tokens.weight, base)
    assert torch.equal(resumed[0].lm_head.weight, run[0].lm_head.weight)
    resumed[0].model.load_state_dict(run[0].model.state_dict())
    _train_head(*run, 3, 6)
    _train_head(*resumed, 3, 6)
    assert torch.equal(resumed[0].lm_head.weight, run[0].lm_head.weight)


def _train_head(model: Decoder, optimizers: Sequence[Optimizer], first: int, last: int) -> None:
    for step in range(first, last):
        ids = torch.randint(280, (2, 9), generator=torch.Generator().manual_seed(step))
        optimizers[0].zero_grad()
        model.summed_loss(ids[:, :-1], ids[:, 1:], torch.float32).backward()
        optimizers[0].step()


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
import torch
from storage.errors import StoreFull
from tasks.lm.snapshot import History, Snapshots

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    Snapshots(Path(sys.argv[1])).save(1, torch.nn.Linear(100, 100), [], History())
except StoreFull as error:
    print("StoreFull:", error.faults[0].code, error)
"""
    command: list[Any] = [sys.executable, "-c", script, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("StoreFull: no_space "), done.stdout
    assert not list(tmp_path.glob("*.safetensors"))
