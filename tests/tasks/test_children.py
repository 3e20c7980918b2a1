"""Work in a process of its own: what it gives, what it raises, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from storage.errors import CorpusTooSmall, RunError
from tasks.children import call_in_child
from tests.conftest import ROOT


def count(numbers: int, advance: Callable[[], None]) -> tuple[int, int]:
    for _ in range(numbers):
        advance()
    return numbers, os.getpid()


class NeedsTwo(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def fail(how: str, advance: Callable[[], None]) -> None:
    advance()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "unpicklable":
        raise NeedsTwo("a", "b")
    raise CorpusTooSmall(f"found {how}; expected more. Take more.")


def for_ever(told: Path, advance: Callable[[], None]) -> None:
    told.write_text(str(os.getpid()))
    while True:
        time.sleep(0.02)
        advance()


def stand_signals(advance: Callable[[], None]) -> str:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    return "whole"


def test_a_signal_to_the_group_is_the_parents() -> None:
    assert call_in_child(stand_signals, advance=int) == "whole"


def test_it_is_another_process_and_every_step_is_told() -> None:
    advanced: list[int] = []
    number, pid = call_in_child(count, 1000, advance=advanced.append)
    assert number == sum(advanced) == 1000
    assert len(advanced) < 100, "each was told alone"
    assert pid != os.getpid()
    assert not psutil.pid_exists(pid)


def test_errors_come_back_as_they_are() -> None:
    with pytest.raises(CorpusTooSmall, match=r"^found 3; expected more\. Take more\.") as caught:
        call_in_child(fail, "3", advance=int)
    assert "in fail\n" in "".join(caught.value.__notes__)
    with pytest.raises(RunError, match="NeedsTwo: a b"):
        call_in_child(fail, "unpicklable", advance=int)
    with pytest.raises(RunError, match=r"ran fail: found exit code -9; .* same command again"):
        call_in_child(fail, "kill", advance=int)


def test_an_error_of_the_caller_ends_it(tmp_path: Path) -> None:
    told = tmp_path / "pid"

    def refuse(_: int) -> None:
        raise RuntimeError("of the caller")

    with pytest.raises(RuntimeError, match="of the caller"):
        call_in_child(for_ever, told, advance=refuse)
    assert not psutil.pid_exists(int(told.read_text()))


_ORPHANING = """
import os, signal, sys
from pathlib import Path
from tasks.children import call_in_child
from tests.tasks.test_children import for_ever
call_in_child(for_ever, Path(sys.argv[1]), advance=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    done = subprocess.run([sys.executable, "-c", _ORPHANING, str(told)], cwd=ROOT, timeout=60)
    assert done.returncode == -9
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in [int(told.read_text())] if psutil.pid_exists(pid)], 30
    )
    assert not alive
