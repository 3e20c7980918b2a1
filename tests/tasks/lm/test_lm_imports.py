"""Recipes are read without the heavy libraries, and training runs without Prefect."""

from __future__ import annotations

import subprocess
import sys

import pytest

CONFIGS = ("tasks.lm.config", "tasks.lm.models", "tasks.pretrain.config", "tasks.finetune.config")
TRAINING = ("tasks.pretrain.train", "tasks.finetune.train", "tasks.lm.generate")


def _heavy_after(modules: tuple[str, ...], heavy: tuple[str, ...]) -> str:
    imports = "\n".join(f"import {module}" for module in modules)
    script = f"import sys\n{imports}\nprint([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("module", CONFIGS)
def test_configs_import_no_heavy_library(module: str) -> None:
    assert _heavy_after((module,), ("torch", "prefect", "transformers", "peft")) == "[]"


def test_training_imports_no_prefect_and_peft_only_where_it_trains() -> None:
    assert _heavy_after(TRAINING, ("prefect", "transformers", "peft", "datasets")) == "[]"
