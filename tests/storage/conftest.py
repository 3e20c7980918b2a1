from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from storage.manifest import CheckResult, CodeRef, InputRef, Manifest, RunRef
from storage.sealing import Draft, commit
from storage.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that is not on this machine's disk, with a cache of its own."""
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    return Store(f"memory://{tmp_path}")


def _draft(
    name: str = "clean",
    fingerprint: str = "f" * 64,
    *,
    stage: str = "",
    recipe: str = "demo",
    inputs: tuple[Manifest, ...] = (),
    checks: tuple[CheckResult, ...] = (),
    stats: Mapping[str, Any] = MappingProxyType({"dropped": 1}),
) -> Draft:
    return Draft(
        name=name,
        stage=stage or name,
        type="plain",
        fingerprint=fingerprint,
        config={"min_words": 5},
        inputs={m.name: InputRef(name=m.name, version=m.version, digest=m.digest) for m in inputs},
        rows_in=3,
        rows_out=2,
        stats=stats,
        checks=checks,
        code=CodeRef(stage_version=1, source_sha256="0" * 64),
        run=RunRef(recipe=recipe, host="test"),
    )


@pytest.fixture
def draft() -> Callable[..., Draft]:
    return _draft


@pytest.fixture
def seal() -> Callable[..., Manifest]:
    """Build and commit an artifact: `seal(store, "clean", "fingerprint", text="...")`."""

    def seal(
        store: Store,
        name: str = "clean",
        fingerprint: str = "f" * 64,
        *,
        text: str = "hello",
        replace: bool = False,
        **of_draft: Any,
    ) -> Manifest:
        with store.building(of_draft.get("stage", name), fingerprint) as workspace:
            with workspace.writing("part/a.txt") as stream:
                stream.write(text.encode())
            with workspace.writing("log.txt", volatile=True) as stream:
                stream.write(b"when")
            made = commit(store, workspace, _draft(name, fingerprint, **of_draft), replace=replace)
        time.sleep(0.002)  # versions are sorted by their millisecond
        return made

    return seal


@pytest.fixture
def python() -> Callable[..., SimpleNamespace]:
    """Start a real Python process in the project; `.wait()` gives its exit status and output."""

    def start(code: str, *args: object) -> SimpleNamespace:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, args)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        def wait() -> SimpleNamespace:
            out, err = process.communicate(timeout=60)
            return SimpleNamespace(status=process.returncode, out=out, err=err)

        return SimpleNamespace(wait=wait)

    return start
