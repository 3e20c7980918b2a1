"""A command's own server: how it is waited for, that it comes back, and when it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import psutil
import pytest

from flows import temporary_server
from flows.temporary_server import TemporaryServer
from storage.errors import RunError
from tests.flows import fake_servers


@contextmanager
def started(serve: Callable[[Connection], None], said: list[str]) -> Iterator[TemporaryServer]:
    server = TemporaryServer(said.append, serve)
    try:
        yield server
    finally:
        server.close()


def child_of(server: TemporaryServer) -> psutil.Process:
    return psutil.Process(server._child.pid)


def test_one_that_dies_is_an_error_with_its_last_words() -> None:
    with started(fake_servers.dies, []) as server, pytest.raises(RunError) as caught:
        server.wait()
    (fault,) = caught.value.faults
    assert fault.code == "prefect_server_ended"
    assert "exit code 7" in fault.found and "no room for a database" in fault.found


def test_one_that_does_nothing_is_not_waited_for_and_a_slow_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(temporary_server, "_END_S", 0.1)
    monkeypatch.setattr(temporary_server, "_STUCK_S", 1.2)
    monkeypatch.setattr(temporary_server, "_SAY_EVERY_S", 0.5)
    with started(fake_servers.hangs, []) as server, pytest.raises(RunError) as caught:
        server.wait()
    assert caught.value.faults[0].code == "prefect_server_stuck"
    said: list[str] = []
    with started(fake_servers.is_slow, said) as server:
        server.wait()
    assert said, "nothing was said while it was waited for"


def test_it_stands_signals_comes_back_when_killed_and_ends_with_the_block() -> None:
    said: list[str] = []
    with started(fake_servers.serves, said) as server:
        server.wait()
        first, url = child_of(server), server.api_url
        assert os.getpgid(first.pid) != os.getpgid(0)  # a signal to our group does not reach it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            first.send_signal(number)
        time.sleep(0.2)
        assert first.is_running() and not said
        first.kill()
        until = time.monotonic() + 20
        while server._child.pid == first.pid and time.monotonic() < until:
            time.sleep(0.05)
        second = child_of(server)
        assert second.pid != first.pid and server.api_url == url and len(said) == 1
    assert not second.is_running()


def test_one_that_dies_again_and_again_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_server, "_STARTS", 2)
    said: list[str] = []
    with started(fake_servers.serves, said) as server:
        server.wait()
        server._serve = fake_servers.dies
        child_of(server).kill()
        server._watcher.join(20)
        assert len(said) == 2 and "stays away" in said[1]
