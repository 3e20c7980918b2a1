"""Runs of the `phusa` command as a user starts them: in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from flows.cli import main
from storage.store import Store
from tests.conftest import recipe_of
from tests.site import TinySite

Phusa = Callable[..., subprocess.CompletedProcess[str]]
Cli = Callable[..., SimpleNamespace]
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


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("gc", "--store", store)`: a command that runs no stage, in this process, in 0.1 s.

    Gives its exit `code`, and what it printed: `out` and `err`.
    """

    def call(*words: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["phusa", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code, out=said.out, err=said.err)

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


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("river")


@pytest.fixture(scope="session")
def recipe(home: Path, tiny_site: TinySite) -> Path:
    path = home / "tiny.yaml"
    path.write_text(yaml.safe_dump({**recipe_of(tiny_site), "prompts": []}))
    return path


@pytest.fixture(scope="session")
def first_run(phusa: Phusa, recipe: Path, home: Path) -> str:
    prompt = "prompts=['What is silt.mod1.fold?']"
    return phusa("run", recipe, "--store", home / "store", "--set", prompt).stdout


@pytest.fixture(scope="session")
def store(first_run: str, home: Path) -> Store:
    return Store(home / "store")
