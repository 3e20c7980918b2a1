"""What the stage makes of its ranks' words, and of their silence."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from storage.errors import Fault, Interrupted, NothingLeft, RunError, UnknownArtifact
from tasks.lm.config import ComputeConfig
from tasks.lm.distributed import launch as module
from tasks.lm.distributed.launch import launch
from tasks.lm.distributed.world import World
from tasks.progress import reporting_to
from tests.conftest import ROOT
from tests.tasks.stopping import StopAfter

Play = Callable[..., Any]


class Idle:
    """A job of which the actors only say the name."""

    def do_part(self, world: World) -> None: ...


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    """Launch ranks that play a part instead of torchrun's."""
    actors = Path(__file__).with_name("actors.py")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(module, "count_devices", lambda _: 2)

    def act(part: str, reporter: StopAfter | None = None) -> Any:
        def command(size: int, address: str) -> list[str]:
            return [sys.executable, str(actors), part, address]

        monkeypatch.setattr(module, "_command", command)
        before = set(psutil.Process().children(recursive=True))
        compute = ComputeConfig(device="cpu", devices=2)
        try:
            with reporting_to(reporter or StopAfter()):
                return launch(Idle(), compute, tmp_path / "ranks.log")
        finally:
            assert set(psutil.Process().children(recursive=True)) <= before

    return act


def test_what_the_ranks_say_is_shown(play: Play) -> None:
    reporter = StopAfter()
    result = play("finish", reporter)
    assert len(result["large"]) == 200_000
    assert reporter.notes == ["device cpu, job Idle"]
    assert reporter.bars == [("count", 9, "sheep", 1)]
    assert reporter.advances == {"count": [{"amount": 3, "loss": 2.5}, {"total": 7}]}
    assert reporter.closed == ["count"]


def test_the_error_of_a_rank_is_raised_here(play: Play) -> None:
    with pytest.raises(UnknownArtifact) as caught:
        play("refuse")
    assert caught.value.faults == (Fault("a knob", "3", "2", "Lower it."),) * 2
    with pytest.raises(NothingLeft, match=r"^first$"):
        play("refuse-twice")


def test_a_rank_that_breaks_ends_the_others(play: Play) -> None:
    with pytest.raises(RunError, match=r"one of 2 ranks failed: MemoryError: 3 GB; .*ranks\.log"):
        play("break")


def test_ranks_that_end_without_a_word(play: Play) -> None:
    with pytest.raises(RunError, match=r"(?s)2 of 2 ranks .*exit code -9.*the last words"):
        play("die")
    with pytest.raises(RunError, match="2 of 2 ranks ended without a word"):
        play("vanish")


def test_ranks_that_were_stopped_from_outside(play: Play) -> None:
    with pytest.raises(Interrupted, match="told by a signal"):
        play("stopped-from-outside")


def test_a_stop_reaches_the_ranks_and_waits_for_them(play: Play, tmp_path: Path) -> None:
    reporter = StopAfter("count", 1)
    with pytest.raises(Interrupted, match="enough"):
        play("work", reporter)
    assert len(reporter.advances["count"]) == 1
    assert reporter.closed == ["count"]
    assert (tmp_path / "ranks.log").read_text() == "saving a snapshot\n"


def test_ranks_that_do_not_stop_are_killed(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_WITHIN_S", 0.5)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        play("hang", StopAfter("count", 1))
    assert time.monotonic() - began < 8
