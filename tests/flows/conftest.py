"""Runs of the `phusa` command as a user starts them: in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Phusa = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def phusa(prefect_env: dict[str, str]) -> Phusa:
    """`phusa("run", recipe, "--store", store)`; `code` is the exit code that is expected."""

    def call(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "-m", "flows.cli", *map(str, words)]
        done = subprocess.run(
            command, cwd=ROOT, env=prefect_env, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture(scope="session")
def artifacts(phusa: Phusa) -> Callable[[Path], list[dict[str, Any]]]:
    """`artifacts(store)`: what `phusa artifacts --json` lists."""

    def call(store: Path) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(
            phusa("artifacts", "--json", "--store", store).stdout
        )
        return listed

    return call
