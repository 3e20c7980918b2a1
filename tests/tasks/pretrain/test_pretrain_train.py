"""The pretraining loop: it learns, it repeats itself to the bit, and a kill -9 changes nothing."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter

from storage.errors import CorpusTooSmall, Interrupted, TrainingDiverged
from storage.parquet import write_rows
from storage.records import sequence_schema
from storage.workspace import Workspace
from tasks.config import identity
from tasks.lm import loop
from tasks.lm.device import DTYPES
from tasks.lm.models.decoder import Decoder
from tasks.pretrain import train
from tasks.pretrain.config import PretrainConfig
from tasks.pretrain.train import Pretraining, TrainingData, batch_of
from tasks.progress import reporting_to
from tasks.tokenizer.config import SMALLEST_VOCABULARY
from tests.tasks.pretrain.conftest import pretrain
from tests.tasks.stopping import StopAfter

# A process that ends itself, without a word, where its Nth step would begin.
KILLED = """
import os, signal, sys
from pathlib import Path
from pydantic import TypeAdapter
from tasks.lm import loop
from tasks.pretrain.config import PretrainConfig
from tasks.pretrain.train import Pretraining, TrainingData

config, data, scratch, left = sys.argv[1:]
left = int(left)
step = loop.take_step

def counted(*args, **knobs):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*args, **knobs)

loop.take_step = counted
data = TypeAdapter(TrainingData).validate_json(data)
Pretraining(PretrainConfig.model_validate_json(config), data).run(Path(scratch))
"""


def _weights_equal(a: Pretraining, b: Pretraining) -> bool:
    first, second = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def _changed(config: PretrainConfig, **knobs: Any) -> PretrainConfig:
    return PretrainConfig.model_validate({**config.model_dump(), **knobs})


# fmt: off
LOSSES = [
    5.572154, 5.416683, 5.321887, 4.981632, 4.826897, 4.529805, 4.462065, 4.347507,
    3.975423, 3.843037, 3.758207, 3.538537, 3.43444, 3.452851, 3.422175, 3.426373,
    3.14372, 3.096709, 3.220155, 3.054874,
]
# fmt: on
"""Of the loop as it was in version 2 of the stage: whatever is added to it leaves them alone."""


def test_losses_are_those_of_before(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, scratch: Path
) -> None:
    trained = pretrain(tiny_pretraining, pretrain_data, scratch)
    assert list(trained.history.column("loss")) == pytest.approx(LOSSES, rel=1e-5)


def test_it_learns_what_unigrams_cannot(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, scratch: Path
) -> None:
    config = _changed(tiny_pretraining, tokens=120 * 4 * 24, checkpoint_steps=1000)
    trained = pretrain(config, pretrain_data, scratch)
    unigram_bits = math.log2(30)
    assert trained.history[0]["loss"] == pytest.approx(
        math.log(SMALLEST_VOCABULARY), rel=1e-4
    )  # the zero head
    assert trained.history[-1]["loss"] < 0.6 * unigram_bits * math.log(2)
    assert trained.stats["validation_bits_per_byte"] < 0.6 * unigram_bits
    assert trained.history.table()["step"].to_pylist() == list(range(1, 121))
    assert trained.stats["last_loss"] == trained.history[-1]["loss"]
    assert trained.stats["tokens"] == 120 * 4 * 24
    num_targets = 2 * (29 * 24 + 11)  # two shards, the last sequence of each is short
    assert trained.stats["epochs"] == pytest.approx(120 * 4 * 24 / num_targets, abs=1e-3)
    assert trained.stats["parameters"] == trained.model.num_parameters
    assert trained.stats["tokens_per_second"] > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_runs_are_one(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, tmp_path: Path, precision: str
) -> None:
    config = _changed(tiny_pretraining, compute={"device": "cpu", "precision": precision})
    first = pretrain(config, pretrain_data, tmp_path / "a")
    torch.manual_seed(99)  # nothing may come from the global generator
    second = pretrain(config, pretrain_data, tmp_path / "b")
    assert first.history == second.history
    assert _weights_equal(first, second)
    other = pretrain(_changed(config, seed=1), pretrain_data, tmp_path / "c")
    assert not _weights_equal(first, other)


def test_a_killed_run_ends_like_one_that_was_not(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    tmp_path: Path,
    calls: list[int],
) -> None:
    compute = {"device": "cpu", "precision": "bf16", "threads": 1}
    config = _changed(tiny_pretraining, compute=compute)
    unbroken = pretrain(config, pretrain_data, tmp_path / "unbroken")

    done = random.randrange(4, 20)
    data = TypeAdapter(TrainingData).dump_json(pretrain_data).decode()
    scratch = tmp_path / "killed"
    command: list[Any] = [
        sys.executable,
        "-c",
        KILLED,
        config.model_dump_json(),
        data,
        scratch,
        done,
    ]
    killed = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()

    calls.clear()
    resumed = pretrain(config, pretrain_data, scratch)
    assert len(calls) == 20 - done // 3 * 3, f"killed after {done} steps, snapshots every 3"
    assert resumed.history == unbroken.history, f"killed after {done} steps"
    assert _weights_equal(resumed, unbroken), f"killed after {done} steps"
    score = "validation_bits_per_byte"
    assert resumed.stats[score] == unbroken.stats[score]


def test_a_budget_below_one_step_is_too_small(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, scratch: Path
) -> None:
    step = 4 * 24
    with pytest.raises(CorpusTooSmall, match=f"tokens={step - 1} is less than one step of {step}"):
        pretrain(_changed(tiny_pretraining, tokens=step - 1), pretrain_data, scratch)
    smallest = pretrain(_changed(tiny_pretraining, tokens=2 * step - 1), pretrain_data, scratch)
    assert len(smallest.history) == 1
    assert smallest.stats["tokens"] == step


def test_weights_that_are_no_numbers_stop_the_run(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def poisoned(model: Decoder, seed: int) -> None:
        torch.nn.init.constant_(model.model.norm.weight, math.inf)

    monkeypatch.setattr(train, "init_weights", poisoned)
    with pytest.raises(TrainingDiverged, match="the loss is nan at step 1 of 20; expected"):
        pretrain(tiny_pretraining, pretrain_data, scratch)
    assert not list(scratch.iterdir())


def test_a_loss_that_grows_beyond_numbers_stops_the_run(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = iter([5.0, 4.0, 9.0, 80.0, math.inf])
    monkeypatch.setattr(loop, "take_step", lambda *_, **__: (next(losses), 1.0))
    with pytest.raises(TrainingDiverged, match="the loss is inf at step 5 of 20"):
        pretrain(tiny_pretraining, pretrain_data, scratch)
    assert [file.name for file in scratch.glob("step-*")] == ["step-000000003.safetensors"]


def test_a_last_step_that_breaks_the_model_stops_the_run(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaking(batch: Any, model: Decoder, *_: Any, **__: Any) -> tuple[float, float]:
        torch.nn.init.constant_(model.model.norm.weight, math.nan)
        return 5.0, 1.0

    monkeypatch.setattr(loop, "take_step", breaking)
    with pytest.raises(TrainingDiverged, match="validation bits per byte are nan"):
        pretrain(_changed(tiny_pretraining, tokens=4 * 24), pretrain_data, scratch)


@pytest.fixture
def fresh(tiny_pretraining: PretrainConfig) -> Callable[[], Decoder]:
    def build() -> Decoder:
        torch.manual_seed(0)
        return Decoder(tiny_pretraining.model, 261, 24)

    return build


def _stepped(model: Decoder, ids: list[list[int]], targets: list[list[int]]) -> float:
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.5)]
    batch = batch_of(model, torch.tensor(ids), torch.tensor(targets), torch.float32)
    return loop.take_step(batch, model, optimizers)[0]


def test_padding_changes_nothing(fresh: Callable[[], Decoder]) -> None:
    ids, targets = [[4, 5, 6], [7, 8, 9]], [[5, 6, 7], [8, -100, -100]]
    plain, padded = fresh(), fresh()
    with torch.no_grad():
        logits = plain(torch.tensor(ids)).flatten(0, 1)
        expected = F.cross_entropy(logits, torch.tensor(targets).flatten())  # 4 true targets
    loss = _stepped(plain, ids, targets)
    assert loss == pytest.approx(expected.item(), rel=1e-5)

    wide = [[*row, 0, 0, 0] for row in [*ids, [0, 0, 0]]]
    gap = [-100] * 3
    more = _stepped(padded, wide, [[*row, *gap] for row in [*targets, gap]])
    assert more == pytest.approx(loss, rel=1e-5)
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(padded.state_dict()[name], weight, atol=1e-6, rtol=1e-5)
    assert not torch.equal(plain.lm_head.weight, fresh().lm_head.weight)


def test_a_batch_of_padding_alone_moves_nothing(fresh: Callable[[], Decoder]) -> None:
    model = fresh()
    assert _stepped(model, [[0, 0]], [[-100, -100]]) == 0
    before = fresh().state_dict()
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_it_learns_on_a_gpu(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, scratch: Path
) -> None:
    config = _changed(tiny_pretraining, tokens=120 * 4 * 24, compute={"device": "cuda"})
    trained = pretrain(config, pretrain_data, scratch)
    assert trained.stats["validation_bits_per_byte"] < 0.6 * math.log2(30)


@pytest.mark.parametrize("isolated", [True, False])
def test_documents_are_isolated_as_the_knob_says(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    scratch: Path,
    tmp_path: Path,
    isolated: bool,
) -> None:
    """Of two equal documents in a row, the second one can be copied only where they are not."""
    workspace, random = Workspace(tmp_path), torch.Generator().manual_seed(0)
    documents = torch.randint(10, 40, (60, 1, 11), generator=random).expand(-1, 2, -1)
    marked = F.pad(documents, (1, 0), value=0).flatten(1)  # each behind an end of text
    rows = [{"input_ids": row, "spans": []} for row in F.pad(marked, (0, 1)).tolist()]
    write_rows(workspace, "rows.parquet", rows, sequence_schema(SMALLEST_VOCABULARY))
    data = replace(pretrain_data, validation=[workspace.data / "rows.parquet"])
    config = _changed(tiny_pretraining, isolate_documents=isolated)
    trained = pretrain(config, data, scratch)
    with torch.no_grad():
        ids = marked.unflatten(1, (2, 12))
        alone = trained.model(ids.flatten(0, 1) if isolated else marked)
        targets = torch.cat((marked[:, 1:], torch.zeros(60, 1, dtype=torch.long)), dim=1)
        nats = F.cross_entropy(alone.flatten(0, 1), targets.flatten(), reduction="sum").item()
    bits = nats / math.log(2) / data.validation_bytes
    assert trained.stats["validation_bits_per_byte"] == pytest.approx(bits, rel=1e-4)


def test_what_is_faster_is_measured_and_kept(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.lm.device.has_bf16_products", lambda: True)
    config = _changed(tiny_pretraining, compute={"device": "cpu", "threads": 1})
    seconds = {torch.float32: 2.0, torch.bfloat16: 1.0}
    monkeypatch.setattr(Pretraining, "_probe", lambda _, dtype: seconds[dtype])
    with pytest.raises(Interrupted), reporting_to(StopAfter("pretrain", 7)):
        pretrain(config, pretrain_data, scratch)

    monkeypatch.setattr("tasks.lm.device.has_bf16_products", lambda: False)  # a slower machine
    reporter = StopAfter()
    with reporting_to(reporter):
        resumed = pretrain(config, pretrain_data, scratch)
    assert resumed.stats["precision"] == "bf16"
    assert any("goes on in bf16" in text for text in reporter.notes)
    compute = {"device": "cpu", "precision": "bf16", "threads": 1}
    said = pretrain(_changed(config, compute=compute), pretrain_data, scratch.parent / "said")
    assert resumed.history == said.history
    assert _weights_equal(resumed, said)


@pytest.mark.parametrize("faster", ["fp32", "bf16"])
def test_a_probe_leaves_no_trace(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faster: str,
) -> None:
    """The real probe; whatever it finds, training is what it would be with that in the recipe."""
    monkeypatch.setattr("tasks.lm.device.has_bf16_products", lambda: True)
    probe, probed = Pretraining._probe, []

    def decided(training: Pretraining, dtype: torch.dtype) -> float:
        probed.append(probe(training, dtype))
        return float(dtype != DTYPES[faster])

    monkeypatch.setattr(Pretraining, "_probe", decided)
    auto = _changed(tiny_pretraining, compute={"device": "cpu", "threads": 1})
    said = _changed(auto, compute={"device": "cpu", "precision": faster, "threads": 1})
    runs = [
        pretrain(config, pretrain_data, tmp_path / str(config is auto)) for config in (auto, said)
    ]
    assert [run.stats["precision"] for run in runs] == [faster, faster]
    assert runs[0].history == runs[1].history
    assert _weights_equal(*runs)
    assert len(probed) == 2 and min(probed) > 0


def test_validation_goes_on_as_it_began_and_keeps_the_best(
    tiny_pretraining: PretrainConfig,
    pretrain_data: TrainingData,
    tmp_path: Path,
) -> None:
    # So fast that it is best in between.
    knobs: dict[str, Any] = {
        "optimizer": {"matrix_lr": 0.3, "embedding_lr": 0.5, "clip": 5.0, "cooldown": 0},
        "validation": {"steps": 3, "rows": 8, "keep": "best"},
        "tracking": [],
    }
    config = _changed(tiny_pretraining, **knobs)
    unbroken = pretrain(config, pretrain_data, tmp_path / "unbroken")
    losses = unbroken.history.column("validation_loss")
    told = {step: loss for step, loss in enumerate(losses, 1) if not math.isnan(loss)}
    assert list(told) == [3, 6, 9, 12, 15, 18, 20]
    best = min(told, key=lambda step: told[step])
    bits = told[best] / math.log(2)  # the tokens are as if each were a byte
    assert unbroken.stats["validation_bits_per_byte"] == pytest.approx(bits, rel=1e-5)
    table = unbroken.history.table()
    assert table["validation_loss"].null_count == 20 - len(told)
    assert min(table["gradient_norm"].to_pylist()) > 0

    scratch = tmp_path / "stopped"
    for _ in range(2):
        with pytest.raises(Interrupted), reporting_to(StopAfter("pretrain", 7)):
            pretrain(config, pretrain_data, scratch)
    resumed = pretrain(config, pretrain_data, scratch)
    assert resumed.history == unbroken.history
    assert _weights_equal(resumed, unbroken)

    last = pretrain(
        _changed(config, validation={"steps": 3, "rows": 8}), pretrain_data, tmp_path / "last"
    )
    assert last.history == unbroken.history
    assert best == 20 or not _weights_equal(last, unbroken)


def test_accumulated_and_checkpointed_it_is_the_same_training(
    tiny_pretraining: PretrainConfig, pretrain_data: TrainingData, tmp_path: Path
) -> None:
    plain = pretrain(tiny_pretraining, pretrain_data, tmp_path / "plain")
    compute = tiny_pretraining.compute
    again = {**compute.model_dump(), "activation_checkpointing": "full"}
    same = pretrain(_changed(tiny_pretraining, compute=again), pretrain_data, tmp_path / "again")
    assert _weights_equal(plain, same)
    parts = {**again, "accumulate": 3}
    parted = pretrain(_changed(tiny_pretraining, compute=parts), pretrain_data, tmp_path / "parts")
    losses = list(plain.history.column("loss"))
    assert list(parted.history.column("loss")) == pytest.approx(losses, rel=1e-3)
    identities = [identity(t._config) for t in (plain, same, parted)]
    assert identities[0] == identities[1] == identities[2]
