from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings

from storage.manifest import CodeRef, InputRef, Manifest, RunRef
from storage.store import Draft, Store

ROOT = Path(__file__).parents[2]

# The first example pays for imports, and the machine is shared: time says nothing here.
settings.register_profile("phusa", deadline=None, max_examples=40)
settings.load_profile("phusa")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _draft(
    name: str = "clean",
    fingerprint: str = "f" * 64,
    *,
    recipe: str = "demo",
    inputs: tuple[Manifest, ...] = (),
) -> Draft:
    return Draft(
        name=name,
        fingerprint=fingerprint,
        config={"min_words": 5},
        inputs={m.name: InputRef(name=m.name, version=m.version, digest=m.digest) for m in inputs},
        rows_in=3,
        rows_out=2,
        stats={"dropped": 1},
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
        with store.building(name, fingerprint) as workspace:
            with workspace.writing("part/a.txt") as path:
                path.write_text(text)
            with workspace.writing("log.txt", volatile=True) as path:
                path.write_text("when")
            return store.commit(workspace, _draft(name, fingerprint, **of_draft), replace=replace)

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
