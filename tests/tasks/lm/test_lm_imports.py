"""Recipes are read without the heavy libraries, and training runs without Prefect."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest

CONFIGS = (
    "tasks.lm.config",
    "tasks.lm.models",
    "tasks.lm.tracking",
    "tasks.pretrain.config",
    "tasks.finetune.config",
)
TRAINING = (
    "tasks.pretrain.train",
    "tasks.finetune.train",
    "tasks.lm.distributed.rank",
    "tasks.lm.generate",
)
TRACKERS = ("tensorboard", "mlflow", "wandb", "tensorflow")


def _heavy_after(modules: tuple[str, ...], heavy: tuple[str, ...]) -> str:
    imports = "\n".join(f"import {module}" for module in modules)
    script = f"import sys\n{imports}\nprint([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("module", CONFIGS)
def test_configs_import_no_heavy_library(module: str) -> None:
    assert _heavy_after((module,), ("torch", "prefect", "transformers", "peft", *TRACKERS)) == "[]"


def test_training_imports_no_prefect_and_peft_only_where_it_trains() -> None:
    assert (
        _heavy_after(TRAINING, ("prefect", "transformers", "peft", "datasets", *TRACKERS)) == "[]"
    )


def test_event_files_are_written_without_tensorflow() -> None:
    script = """
import sys, tempfile, types
from pathlib import Path
sys.modules["tensorflow"] = None  # importing it would fail
from tasks.lm.tracking import TensorBoard
from tasks.lm.tracking.logbook import Entry, TrackedRun
sink = TensorBoard().open(TrackedRun("a", "b", Path(sys.argv[1]), Path(sys.argv[1])))
sink.log([Entry(1, {"loss": 1.0})])
sink.close(finished=True)
print([m for m in ("torch", "prefect", "tensorboard.compat") if m in sys.modules])
"""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", script, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['tensorboard.compat']"
