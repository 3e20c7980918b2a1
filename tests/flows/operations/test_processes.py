"""Processes of `phusa up`: the signals they obey, and what is left of one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.operations import processes
from flows.operations.processes import Service, UpNote, only_one, started_at, write_note

PYTHON = sys.executable


def test_children_of_a_killed_one_are_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen([PYTHON, "-c", "import signal; signal.pause()"])
    (tmp_path / "phusa-up").mkdir()
    services = {"server": started_at(child.pid), "worker": (os.getpid(), 0.0)}
    write_note(tmp_path, UpNote(2**22, "http://127.0.0.1:1", services))
    monkeypatch.setattr(processes, "_DYING_S", 0.1)
    try:
        with only_one(tmp_path):
            assert child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
    assert psutil.pid_exists(os.getpid())  # a pid alone says nothing: the times differ


def test_a_service_obeys_although_its_parent_ignores_the_signals(tmp_path: Path) -> None:
    """As after `nohup`, and in a script's background: Python then installs no handler of SIGINT."""
    code = "import signal; print(signal.getsignal(signal.SIGINT).__name__, flush=True)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        service = Service("x", [PYTHON, "-c", code], os.environ, tmp_path / "x.log", tmp_path)
        service.start()
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 30
    while service.is_running and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "default_int_handler" in service.tail()[-1]
