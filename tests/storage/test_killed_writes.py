"""Kill -9 before every single write to the store, on a disk and on S3; see killing.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.storage.killing import OPERATIONS


@pytest.mark.parametrize("operation", OPERATIONS)
# On S3 a minute and a half: `make fleet` has it.
@pytest.mark.parametrize("place", ["local", pytest.param("s3", marks=pytest.mark.fleet)])
def test_killed_before_every_write(
    place: str,
    operation: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    address = tmp_path if place == "local" else request.getfixturevalue("s3_bucket")
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.killing", str(address), tmp_path, operation],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1  # so many writes the operation makes
