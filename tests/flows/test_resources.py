"""What a build takes of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import flows.resources as module
from flows.resources import MemoryPeak, folder_bytes, free_disk, free_memory

SOME = 64 << 20


def test_memory_that_was_taken_and_given_back_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY_S", 0.01)
    # A server of the session's that ends meanwhile would be taken off.
    monkeypatch.setattr(psutil.Process, "children", lambda _, recursive: [])
    with MemoryPeak() as peak:
        block = bytearray(os.urandom(1 << 20)) * (SOME >> 20)
        time.sleep(0.2)
        del block
    # An allocator may have had some of it already.
    assert SOME * 0.8 < peak.num_bytes < SOME * 4
    assert peak.num_bytes == peak.num_bytes
    assert "phusa-memory" not in {thread.name for thread in threading.enumerate()}


def test_memory_of_children_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY_S", 0.01)
    code = f"block = bytearray(b'x') * {SOME}; print('ready', flush=True); input()"
    with MemoryPeak() as peak:
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        time.sleep(0.1)
        child.communicate(b"\n")
    assert peak.num_bytes > SOME


def test_memory_before_it_began_does_not_count() -> None:
    block = bytearray(b"x") * SOME
    with MemoryPeak() as peak:
        pass
    assert peak.num_bytes < SOME / 2 and len(block) == SOME


def test_processes_that_end_while_they_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: psutil.Process, *args: object, **kw: object) -> object:
        raise psutil.NoSuchProcess(self.pid)

    with MemoryPeak() as peak:
        monkeypatch.setattr(psutil.Process, "memory_info", gone)
        assert peak.num_bytes >= 0
        monkeypatch.undo()
        monkeypatch.setattr(psutil.Process, "children", gone)
        assert peak.num_bytes >= 0


def test_the_block_may_fail() -> None:
    with pytest.raises(RuntimeError), MemoryPeak():
        raise RuntimeError
    assert "phusa-memory" not in {thread.name for thread in threading.enumerate()}


def test_bytes_of_a_folder(tmp_path: Path) -> None:
    assert folder_bytes(tmp_path / "none") == folder_bytes(tmp_path) == 0
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/a").write_bytes(b"x" * 1000)
    (tmp_path / "b").write_bytes(b"x" * 234)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert folder_bytes(tmp_path) == 1234


def test_what_is_free(tmp_path: Path) -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total
    here = free_disk(tmp_path)
    assert 0 < here <= psutil.disk_usage(str(tmp_path)).total
    assert free_disk(tmp_path / "not/yet/there") == pytest.approx(here, rel=0.2)
