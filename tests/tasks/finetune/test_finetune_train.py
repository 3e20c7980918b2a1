"""Fine-tuning end to end: it learns, PEFT opens what it writes, and it repeats to the bit."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from storage.errors import NothingLeft, RequestError, TrainingDiverged
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.train import FinetuneData, Finetuning
from tasks.lm import loop
from tasks.lm.checkpoint import load_model, save_model

# A process of its own that ends itself, without a word, where its Nth step would begin (or never).
ALONE = """
import os, signal, sys
from pathlib import Path
from pydantic import TypeAdapter
from tasks.finetune import train as stage
from tasks.finetune.config import FinetuneConfig
from tasks.lm import loop
from tasks.lm.checkpoint import save_model

config, data, root, left = sys.argv[1:]
root, left = Path(root), int(left)
step = loop.take_step

def counted(*args, **knobs):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return step(*args, **knobs)

loop.take_step = counted
data = TypeAdapter(stage.FinetuneData).validate_json(data)
(root / "adapter").mkdir(parents=True)
(root / "merged").mkdir()
config = FinetuneConfig.model_validate_json(config)
tuning = stage.Finetuning(config, data)
tuning.run(root / "snapshots")
tuning.save(root / "adapter")
save_model(tuning.merge(), data.base, root / "merged")
"""


# peft 0.21 still reads a property that transformers 5.23 has renamed.
DEPRECATED_IN_PEFT = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


def _changed(config: FinetuneConfig, **knobs: Any) -> FinetuneConfig:
    return FinetuneConfig.model_validate({**config.model_dump(), **knobs})


def _targets(config: FinetuneConfig, *targets: str) -> FinetuneConfig:
    return _changed(config, adapter={**config.adapter.model_dump(), "targets": targets})


def _tune(config: FinetuneConfig, data: FinetuneData, root: Path) -> dict[str, Any]:
    for name in ("adapter", "merged"):
        (root / name).mkdir(parents=True, exist_ok=True)
    tuning = Finetuning(config, data)
    tuning.run(root / "snapshots")
    tuning.save(root / "adapter")
    save_model(tuning.merge(), data.base, root / "merged")
    return tuning.stats


def _tune_alone(
    config: FinetuneConfig, data: FinetuneData, root: Path, hash_seed: int, steps: int = -1
) -> subprocess.CompletedProcess[bytes]:
    plain = TypeAdapter(FinetuneData).dump_json(data).decode()
    arguments = [config.model_dump_json(), plain, str(root), str(steps)]
    return subprocess.run(
        [sys.executable, "-c", ALONE, *arguments],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        check=False,
    )


def _bytes(root: Path) -> dict[str, bytes]:
    files = [file for name in ("adapter", "merged") for file in (root / name).iterdir()]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


@torch.no_grad()
def _logits(root: Path, base: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the base with the adapter opened by PEFT, of the merged model, and of the base alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    ids = torch.randint(292, (3, 50), generator=torch.Generator().manual_seed(0))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    alone = model(ids).logits.clone()
    adapted = PeftModel.from_pretrained(model, root / "adapter").eval()(ids).logits
    merged = AutoModelForCausalLM.from_pretrained(root / "merged", dtype=torch.float32).eval()
    torch.testing.assert_close(load_model(root / "merged")(ids), merged(ids).logits)
    return adapted, merged(ids).logits, alone


@pytest.fixture(scope="module")
def tuned(
    finetune_data: FinetuneData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """One run that the tests of what it left share."""
    config = FinetuneConfig.model_validate(
        {
            "adapter": {"kind": "lora", "rank": 4, "alpha": 8},
            "epochs": 6,
            "batch_tokens": 256,
            "learning_rate": 0.02,
            "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
        }
    )
    root = tmp_path_factory.mktemp("tuned")
    return root, _tune(config, finetune_data, root)


def test_held_out_answers_get_likelier(tuned: tuple[Path, dict[str, Any]]) -> None:
    root, stats = tuned
    assert stats["held_out_bits_per_byte"] < 0.5 * stats["held_out_bits_per_byte_before"]
    assert (stats["pairs"], stats["held_out_pairs"]) == (48, 8)
    sizes = (24, 16), (24, 8), (24, 8), (16, 24), *[(24, 32)] * 3, *[(24, 292)] * 2
    assert stats["trainable_parameters"] == sum(4 * (a + b) for a, b in sizes)
    assert stats["compute"].startswith("cpu, fp32")
    assert sorted(_bytes(root)) == [
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "merged/config.json",
        "merged/generation_config.json",
        "merged/model.safetensors",
        "merged/tokenizer.json",
        "merged/tokenizer_config.json",
    ]


@DEPRECATED_IN_PEFT
def test_peft_opens_the_adapter(
    tuned: tuple[Path, dict[str, Any]], finetune_data: FinetuneData
) -> None:
    adapted, merged, alone = _logits(tuned[0], finetune_data.base)
    torch.testing.assert_close(adapted, merged, atol=1e-4, rtol=0)
    assert (merged - alone).abs().max() > 0.1


def test_the_adapters_config_is_portable(tuned: tuple[Path, dict[str, Any]]) -> None:
    text = (tuned[0] / "adapter" / "adapter_config.json").read_text()
    config = json.loads(text)
    assert config["target_modules"] == sorted(FinetuneConfig().adapter.targets)
    assert (config["r"], config["lora_alpha"], config["task_type"]) == (4, 8, "CAUSAL_LM")
    assert config["inference_mode"] is True
    for found in (os.sep, "tasks.", "Decoder"):  # no path of this machine, no class of ours
        assert found not in text


def test_figures_are_those_of_transformers(
    tuned: tuple[Path, dict[str, Any]], finetune_data: FinetuneData
) -> None:
    import pyarrow.parquet as pq
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tuned[0] / "merged", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tuned[0] / "merged")
    nats, num_bytes = 0.0, 0
    for pair in pq.read_table(finetune_data.validation).to_pylist():
        turn = [{"role": "user", "content": pair["prompt"]}]
        chat = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        start = len(tokenizer.encode(chat, add_special_tokens=False))
        text = f"{chat}{pair['answer']}<|end|>"
        ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
        with torch.no_grad():
            shares = model(ids).logits[0].log_softmax(-1)
        nats -= sum(float(shares[i - 1, ids[0, i]]) for i in range(start, ids.shape[1]))
        num_bytes += len(pair["answer"].encode())
    expected = nats / math.log(2) / num_bytes
    assert tuned[1]["held_out_bits_per_byte"] == pytest.approx(expected, rel=1e-4)


def test_another_process_writes_the_same_bytes(
    tiny_finetuning: FinetuneConfig, finetune_data: FinetuneData, tmp_path: Path
) -> None:
    _tune(tiny_finetuning, finetune_data, tmp_path / "here")
    there = _tune_alone(tiny_finetuning, finetune_data, tmp_path / "there", hash_seed=12345)
    assert there.returncode == 0, there.stderr.decode()
    assert _bytes(tmp_path / "here") == _bytes(tmp_path / "there")

    _tune(_changed(tiny_finetuning, seed=1), finetune_data, tmp_path / "seed")
    changed = _bytes(tmp_path / "seed")["adapter/adapter_model.safetensors"]
    assert changed != _bytes(tmp_path / "here")["adapter/adapter_model.safetensors"]


def test_a_killed_run_ends_like_one_that_was_not(
    tiny_finetuning: FinetuneConfig,
    finetune_data: FinetuneData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compute = {"device": "cpu", "precision": "bf16", "threads": 1}
    config = _changed(tiny_finetuning, compute=compute)
    calls = 0
    step = loop.take_step

    def counted(*args: Any, **knobs: Any) -> tuple[float, float]:
        nonlocal calls
        calls += 1
        return step(*args, **knobs)

    monkeypatch.setattr(loop, "take_step", counted)
    unbroken = _tune(config, finetune_data, tmp_path / "unbroken")
    num_steps, calls = calls, 0
    done = random.randrange(4, num_steps)
    killed = _tune_alone(config, finetune_data, tmp_path / "killed", hash_seed=7, steps=done)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    resumed = _tune(config, finetune_data, tmp_path / "killed")
    assert calls == num_steps - done // 3 * 3, f"killed after {done} steps, snapshots every 3"
    assert resumed == unbroken, f"killed after {done} steps"
    assert _bytes(tmp_path / "killed") == _bytes(tmp_path / "unbroken"), f"after {done} steps"


@pytest.mark.parametrize(
    ("targets", "listed"),
    [
        (("q_proj", "wq", "c_attn"), "found c_attn, wq; expected some of .*q_proj"),
        (("input_layernorm", "mlp"), "found input_layernorm, mlp;"),  # no adapter fits these
        (("proj",), "found proj;"),  # not the end of a name but all of it
    ],
)
def test_targets_that_the_model_has_not_are_a_wrong_request(
    tiny_finetuning: FinetuneConfig,
    finetune_data: FinetuneData,
    tmp_path: Path,
    targets: tuple[str, ...],
    listed: str,
) -> None:
    with pytest.raises(RequestError, match=rf"finetune\.adapter\.targets: {listed}"):
        _tune(_targets(tiny_finetuning, *targets), finetune_data, tmp_path)


@DEPRECATED_IN_PEFT
@pytest.mark.filterwarnings("ignore:Model (with|has) `tie_word_embeddings=True`:UserWarning")
@pytest.mark.parametrize("targets", [("q_proj", "embed_tokens"), ("q_proj", "up_proj")])
def test_a_tied_model_is_tuned(
    make_base: Callable[..., FinetuneData],
    tiny_finetuning: FinetuneConfig,
    tmp_path: Path,
    targets: tuple[str, ...],
) -> None:
    data = make_base(tie_embeddings=True)
    with pytest.raises(RequestError, match=r"found lm_head; .*a tied model has no lm_head"):
        _tune(tiny_finetuning, data, tmp_path)
    stats = _tune(_targets(tiny_finetuning, *targets), data, tmp_path)
    assert stats["held_out_bits_per_byte"] < stats["held_out_bits_per_byte_before"]
    adapted, merged, alone = _logits(tmp_path, data.base)
    torch.testing.assert_close(adapted, merged, atol=1e-4, rtol=0)
    assert (merged - alone).abs().max() > 1e-2
    tied = json.loads((tmp_path / "merged" / "config.json").read_text())["tie_word_embeddings"]
    assert tied == ("embed_tokens" not in targets)


def test_pairs_that_do_not_fit_the_context_are_named(
    make_base: Callable[..., FinetuneData],
    tiny_finetuning: FinetuneConfig,
    tmp_path: Path,
) -> None:
    data = make_base()
    config = json.loads((data.base / "config.json").read_text())
    (data.base / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8}))
    with pytest.raises(NothingLeft, match=r"none of the 48 pairs of train\.parquet .* of 8 tokens"):
        _tune(tiny_finetuning, data, tmp_path)


def test_a_last_step_that_breaks_the_adapter_stops_the_run(
    tiny_finetuning: FinetuneConfig,
    finetune_data: FinetuneData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaking(batch: Any, model: torch.nn.Module, *_: Any, **__: Any) -> tuple[float, float]:
        trained = (p for p in model.parameters() if p.requires_grad)
        torch.nn.init.constant_(next(trained), math.nan)
        return 3.0, 1.0

    monkeypatch.setattr(loop, "take_step", breaking)
    with pytest.raises(TrainingDiverged, match="after the last step the held-out bits per byte"):
        _tune(tiny_finetuning, finetune_data, tmp_path)
    assert not _bytes(tmp_path)


@pytest.mark.parametrize("broken_step", [0, 4])
def test_a_loss_that_is_no_number_stops_the_run(
    tiny_finetuning: FinetuneConfig,
    finetune_data: FinetuneData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken_step: int,
) -> None:
    losses = iter([3.0] * broken_step + [math.nan])
    monkeypatch.setattr(loop, "take_step", lambda *_, **__: (next(losses), 1.0))
    with pytest.raises(TrainingDiverged, match=f"the loss is nan at step {broken_step + 1} of"):
        _tune(tiny_finetuning, finetune_data, tmp_path)
    assert not _bytes(tmp_path)
