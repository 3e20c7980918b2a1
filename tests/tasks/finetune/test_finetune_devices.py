"""Fine-tuning on two devices makes what one would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import plan_batches
from tasks.finetune.train import FinetuneData
from tasks.lm.loop import carry_out
from tests.conftest import ROOT
from tests.tasks.finetune.test_finetune_stop import job

pytestmark = pytest.mark.fleet  # minutes of whole runs


def test_two_devices_tune_as_one(
    tiny_finetuning: FinetuneConfig,
    finetune_data: FinetuneData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.lm.device.usable_cores", lambda: 2)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    curves, stats = [], []
    for devices in (1, 2):
        knobs: dict[str, Any] = tiny_finetuning.model_dump()
        knobs["compute"]["devices"] = devices
        # So small that some steps have one pair, and a rank has none.
        config = FinetuneConfig.model_validate({**knobs, "batch_tokens": 70, "epochs": 1})
        made = job(config, finetune_data, tmp_path / str(devices))
        stats.append(carry_out(made))
        curves.append(pq.read_table(made.work / "data" / "training.parquet").to_pydict())
    assert curves[1]["loss"] == pytest.approx(curves[0]["loss"], rel=1e-3)
    assert curves[1]["rate_factor"] == curves[0]["rate_factor"]
    for name in ("held_out_bits_per_byte_before", "held_out_bits_per_byte"):
        assert stats[1][name] == pytest.approx(stats[0][name], rel=1e-3)
    files = [
        sorted(p.relative_to(tmp_path / d).as_posix() for p in (tmp_path / d / "data").rglob("*"))
        for d in ("1", "2")
    ]
    assert files[0] == files[1]
    assert "data/merged/model.safetensors" in files[1]


def test_some_steps_of_the_test_above_have_one_pair(
    tiny_finetuning: FinetuneConfig, finetune_data: FinetuneData
) -> None:
    from tasks.finetune.instructions import encode_pairs
    from tasks.lm.tokens import TextEncoder

    pairs = pq.read_table(finetune_data.train).to_pylist()
    examples = encode_pairs(pairs, TextEncoder.load(finetune_data.base), 64)
    config = tiny_finetuning.model_copy(update={"batch_tokens": 70, "epochs": 1})
    assert {len(batch) for batch in plan_batches(examples, config)} >= {1, 2}
