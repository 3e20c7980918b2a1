from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import lease
from storage.backends import Backend, LocalBackend, MemoryBackend
from storage.errors import StoreUnreachable
from storage.lease import Lease

KEY = "leases/clean/f.json"
OTHER = Lease(
    token="other", work="elsewhere", host="far", pid=7, since=0.0, expires=0.0, uses=("crawl@1",)
)


@pytest.fixture(params=["memory", "local"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "local":
        return LocalBackend(tmp_path)
    return MemoryBackend(str(tmp_path))


def _put(backend: Backend, expires_in: float, **of_lease: object) -> None:
    fields = {**OTHER.__dict__, "expires": time.time() + expires_in, **of_lease}
    assert backend.swap(KEY, Lease(**fields).to_json(), backend.read(KEY))


def _present(backend: Backend) -> Lease | None:
    return lease.parse(backend.read(KEY))


def _until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def _never(waiting_for: Lease) -> None:
    raise AssertionError(f"waited for {waiting_for}")


def test_a_lease_is_there_for_the_block_and_says_who_and_what(backend: Backend) -> None:
    before = time.time()
    with lease.holding(backend, KEY, "here", ("crawl@1", "dedup@2"), seconds=30, waiting=_never):
        mine = _present(backend)
        assert mine is not None and mine.is_live
        assert (mine.work, mine.uses, mine.pid) == ("here", ("crawl@1", "dedup@2"), os.getpid())
        assert mine.host == socket.gethostname()
        assert before <= mine.since <= time.time()
        assert before + 30 <= mine.expires <= time.time() + 30
        assert lease.live(backend) == {KEY: mine}
    assert backend.read(KEY) == b""
    assert lease.live(backend) == {}


def test_it_is_released_when_the_block_fails(backend: Backend) -> None:
    with pytest.raises(RuntimeError), lease.holding(backend, KEY, "here"):
        raise RuntimeError
    assert backend.read(KEY) == b""


def test_who_holds_it_is_said_for_people() -> None:
    assert str(OTHER) == "far, process 7, since 1970-01-01 00:00:00 UTC"


def test_a_second_holder_waits_and_is_told_who_holds_it(backend: Backend) -> None:
    told: list[Lease] = []
    order: list[str] = []

    def second() -> None:
        with lease.holding(backend, KEY, "there", seconds=0.8, waiting=told.append):
            order.append("second")

    with lease.holding(backend, KEY, "here", seconds=0.8):
        thread = threading.Thread(target=second)
        thread.start()
        _until(lambda: len(told) > 5)  # for longer than a lease that is not renewed
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert {(one.work, one.pid) for one in told} == {("here", os.getpid())}


def test_one_that_expired_is_taken_over_at_once(backend: Backend) -> None:
    _put(backend, expires_in=-0.01)
    with lease.holding(backend, KEY, "here", waiting=_never):
        mine = _present(backend)
        assert mine is not None and mine.work == "here"


def test_one_that_runs_out_is_taken_over_then(backend: Backend) -> None:
    told: list[Lease] = []
    _put(backend, expires_in=0.3)
    started = time.monotonic()
    with lease.holding(backend, KEY, "here", seconds=0.4, waiting=told.append):
        assert time.monotonic() - started >= 0.29
    assert {one.host for one in told} == {"far"}


def test_that_of_the_same_work_folder_is_taken_over_at_once(backend: Backend) -> None:
    """Its lock is held, so whoever took the lease is dead."""
    _put(backend, expires_in=1000, work="here")
    with lease.holding(backend, KEY, "here", waiting=_never):
        mine = _present(backend)
        assert mine is not None and mine.token != "other"


LIVE = {**OTHER.__dict__, "expires": 1e12}
UNREADABLE = [
    b"",
    b"\0\0\0",
    b"\xff\xfe",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    json.dumps({**LIVE, "uses": None}).encode(),
    json.dumps({**LIVE, "more": 1}).encode(),
    json.dumps({**LIVE, "expires": "soon"}).encode(),
    json.dumps({**LIVE, "expires": None}).encode(),
    json.dumps({k: v for k, v in LIVE.items() if k != "token"}).encode(),
]


@pytest.mark.parametrize("data", UNREADABLE)
def test_one_that_cannot_be_read_is_taken_over(backend: Backend, data: bytes) -> None:
    assert backend.create(KEY, data)
    assert lease.live(backend) == {}
    with lease.holding(backend, KEY, "here", waiting=_never):
        assert _present(backend) is not None


def test_what_is_live(backend: Backend) -> None:
    for name, seconds in {"a/one": 100, "b/two": 100, "b/over": -1}.items():
        data = Lease(**{**OTHER.__dict__, "expires": time.time() + seconds}).to_json()
        assert backend.create(f"leases/{name}.json", data)
    assert backend.create("leases/b/broken.json", b"{")
    found = lease.live(backend)
    assert sorted(found) == ["leases/a/one.json", "leases/b/two.json"]
    assert found["leases/a/one.json"].uses == ("crawl@1",)


# --- the heartbeat ------------------------------------------------------------------------------


def test_it_is_renewed_while_it_is_held(backend: Backend) -> None:
    with lease.holding(backend, KEY, "here", seconds=0.2):
        first = _present(backend)
        assert first is not None
        _until(lambda: time.time() > first.expires + 0.2)
        now = _present(backend)
        assert now is not None and now.expires > first.expires
        assert (now.token, now.since) == (first.token, first.since)
    assert backend.read(KEY) == b""
    assert "phusa-lease" not in {thread.name for thread in threading.enumerate()}


class _Flaky(MemoryBackend):
    """Swaps fail as long as `failing` says how: before or after they were done."""

    failing: str | None = None
    failed = 0

    def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        if self.failing is None:
            return super().swap(key, data, expected)
        self.failed += 1
        if self.failing == "os":
            raise OSError("no route")
        if self.failing == "answer lost":
            super().swap(key, data, expected)
        raise StoreUnreachable("the store does not answer")


@pytest.mark.parametrize("how", ["os", "unreachable", "answer lost"])
def test_renewals_that_fail_are_tried_again(tmp_path: Path, how: str) -> None:
    backend = _Flaky(str(tmp_path))
    with lease.holding(backend, KEY, "here", seconds=0.4):
        backend.failing = how
        _until(lambda: backend.failed >= 2)
        backend.failing = None
        last = _present(backend)
        assert last is not None
        _until(lambda: time.time() > last.expires + 0.2)
        now = _present(backend)
        assert now is not None and now.expires > last.expires  # it was renewed after all
    assert backend.read(KEY) == b""


def test_a_release_that_fails_is_passed_over(tmp_path: Path) -> None:
    class Stubborn(MemoryBackend):
        def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
            if not data:
                raise StoreUnreachable("the store does not answer")
            return super().swap(key, data, expected)

    backend = Stubborn(str(tmp_path))
    with lease.holding(backend, KEY, "here"):
        pass
    assert _present(backend) is not None  # it ends by itself


def test_a_lease_that_was_taken_over_is_left_alone(backend: Backend) -> None:
    with lease.holding(backend, KEY, "here", seconds=0.1):
        _put(backend, expires_in=1000)
        time.sleep(0.3)  # several beats
        now = _present(backend)
        assert now is not None and now.token == "other"
    now = _present(backend)
    assert now is not None and now.token == "other"


def test_a_lease_that_somebody_removed_is_not_written_again(backend: Backend) -> None:
    with lease.holding(backend, KEY, "here", seconds=0.1):
        backend.delete(KEY)
        time.sleep(0.3)
        assert backend.read(KEY) is None
