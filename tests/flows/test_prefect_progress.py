"""Progress artifacts: what is sent when, by a clock of the test's own, and to a real server."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.runtime import flow_run, task_run
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

import flows.prefect_progress as module
from flows.prefect_progress import PrefectReporter, Timing
from storage.errors import Interrupted
from tasks.progress import note, reporting_to, track

RUN, TASK = str(uuid4()), str(uuid4())


class World:
    """A clock, a server and the thread that sends; nothing happens but by `tick`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, float, str]] = []
        self.created: list[Any] = []
        self.away = False
        self.retries: set[int] = set()
        self.meanwhile: Callable[[], object] = lambda: None
        self._turn = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self.is_watched = False

    # what the reporter is given

    def timing(self) -> Timing:
        return Timing(clock=lambda: self.now, wait=self._wait, spawn=self._spawn)

    def _spawn(self, run: Callable[[], None]) -> None:
        def whole() -> None:
            self._turn.acquire()
            run()
            self.is_watched = False
            self._done.release()

        self.is_watched = True
        threading.Thread(target=whole, daemon=True).start()

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        """Sleep until a tick finds the event set, or the time past."""
        until = self.now + seconds
        while not event.is_set() and self.now < until:
            self._done.release()
            self._turn.acquire()
        return event.is_set()

    # what a test does

    def tick(self, seconds: float = 0.0) -> None:
        """Let time pass, and the sending thread do what is due."""
        self.now += seconds
        if self.is_watched:
            self._turn.release()
            assert self._done.acquire(timeout=10)

    # what the server is asked

    def create_artifact(self, artifact: Any) -> Any:
        self._answer(artifact.data, artifact.description)
        self.created.append(artifact)
        return type("Made", (), {"id": uuid4()})

    def update_artifact(self, artifact_id: UUID, artifact: Any) -> None:
        self._answer(artifact.data, artifact.description)

    def _answer(self, percent: float, says: str) -> None:
        self.retries.add(PREFECT_CLIENT_MAX_RETRIES.value())
        if self.away:
            raise httpx.ConnectError("nobody there")
        self.meanwhile()
        self.sent.append((self.now, round(percent, 1), says))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()

    @contextmanager
    def client() -> Iterator[World]:
        yield made

    monkeypatch.setattr(module, "_client", client)
    monkeypatch.setattr(flow_run, "get_id", lambda: RUN)
    monkeypatch.setattr(task_run, "id", TASK, raising=False)
    return made


# --- when something is sent -----------------------------------------------------------------------


def test_a_bar_moves_every_two_seconds(world: World) -> None:
    with PrefectReporter(world.timing()).bar("pretrain", 100, "tokens", done=0) as bar:
        for _ in range(20):
            world.tick(0.25)
            bar.advance(2, loss=2.5)
        assert world.sent == [
            (2, 14, "14%, about 12 s left, loss 2.500: 14 of 100 tokens"),
            (4, 30, "30%, about 9 s left, loss 2.500: 30 of 100 tokens"),
        ]
        bar.advance(60)
    world.tick()  # at once, not at the next two seconds
    assert world.sent[-1][1:] == (100, "done after 5 s: 100 of 100 tokens")
    assert not world.is_watched and len(world.sent) == 3
    (artifact,) = world.created
    assert (artifact.key, artifact.type) == ("pretrain-progress", "progress")
    assert (str(artifact.flow_run_id), str(artifact.task_run_id)) == (RUN, TASK)
    assert world.retries == {0}  # Prefect's own would hold the thread for a minute


def test_short_work_is_not_shown(world: World) -> None:
    with PrefectReporter(world.timing()).bar("evaluate", 3, "sequences", done=0) as bar:
        world.tick(1.9)
        bar.advance(3)
    world.tick()
    assert world.sent == [] and not world.is_watched


def test_what_an_earlier_attempt_did_counts_as_done_but_not_as_speed(world: World) -> None:
    with PrefectReporter(world.timing()).bar("pretrain", 100, "steps", done=80) as bar:
        bar.advance(10)
        world.tick(2)
        assert world.sent == [(2, 90, "90%, about 2 s left: 90 of 100 steps")]


def test_a_total_that_changes(world: World) -> None:
    with PrefectReporter(world.timing()).bar("crawl", 10, "pages", done=0) as bar:
        bar.advance(5, waiting=9)
        bar.retarget(20)
        world.tick(2)
        assert world.sent[0][1:] == (25, "25%, about 6 s left, waiting 9: 5 of 20 pages")
        bar.retarget(0)
        world.tick(2)
        assert world.sent[1][1] == 0
        bar.retarget(2)
        world.tick(2)
        assert world.sent[2][1] == 100  # never more


def test_work_that_fails_says_how_far_it_came(world: World) -> None:
    with (
        pytest.raises(Interrupted),
        PrefectReporter(world.timing()).bar("pretrain", 10, "steps", done=0) as bar,
    ):
        bar.advance(4)
        world.tick(3)
        raise Interrupted("stop")
    world.tick()
    assert world.sent[-1][2] == "stopped after 3 s: 4 of 10 steps"
    assert not world.is_watched


def test_work_that_ends_while_an_update_is_on_its_way(world: World) -> None:
    with ExitStack() as work:
        bar = work.enter_context(PrefectReporter(world.timing()).bar("x", 2, "steps", done=0))
        bar.advance(1)
        world.meanwhile = work.close
        world.tick(2)
    world.tick()
    assert len(world.sent) == 2
    assert world.sent[-1][2].startswith("done") and not world.is_watched


def test_the_bars_of_a_mapped_task_are_one_artifact(world: World) -> None:
    reporter = PrefectReporter(world.timing())
    for number in (1, 2, 3):  # each too short to be shown, one after the other
        with reporter.bar(f"clean shard {number} of 4", 10, "pages", done=0) as bar:
            world.tick(0.9)
            bar.advance(10)
    assert [percent for _, percent, _ in world.sent] == [50]
    with (
        reporter.bar("clean shard 4 of 4", 10, "pages", done=0) as bar,
        reporter.bar("other shard 1 of 2", 10, "pages", done=0),
    ):
        bar.advance(5)
    assert len(world.created) == 1
    assert (world.created[0].key, world.created[0].task_run_id) == ("clean-shard-progress", None)
    assert world.sent[-1][2].startswith("50%, about 3 s left, 2 of 4 shards: 20 pages")


def test_quiet_moments_between_shards_end_no_artifact(world: World) -> None:
    reporter = PrefectReporter(world.timing())
    for number, says in ((1, "50%"), (2, "done after 8 s: 20 pages, 2 of 2 shards")):
        with reporter.bar(f"clean shard {number} of 2", 10, "pages", done=0) as bar:
            world.tick(2)
            bar.advance(10)
        world.tick(2)
        assert world.sent[-1][2].startswith(says), world.sent
        assert not world.is_watched
    assert len(world.created) == 1


# --- a server that is away ------------------------------------------------------------------------


def test_a_server_that_is_away_gets_the_newest_when_it_is_back(world: World) -> None:
    with PrefectReporter(world.timing()).bar("pretrain", 100, "steps", done=0) as bar:
        bar.advance(10)
        world.tick(2)
        world.away = True
        for _ in range(10):
            bar.advance(5)
            world.tick(2)
        world.away = False
        world.tick(2)
    assert [percent for _, percent, _ in world.sent] == [10, 60]  # nothing stale in between
    assert len(world.created) == 1


def test_the_end_is_told_to_a_server_that_comes_back(world: World) -> None:
    world.away = True
    with PrefectReporter(world.timing()).bar("pretrain", 100, "steps", done=0) as bar:
        bar.advance(100)
        world.tick(2)
    for _ in range(5):
        world.tick(2)
    world.away = False
    world.tick(2)
    assert [says for _, _, says in world.sent] == ["done after 14 s: 100 of 100 steps"]
    assert not world.is_watched


def test_a_server_that_stays_away_is_given_up(world: World) -> None:
    world.away = True
    with PrefectReporter(world.timing()).bar("pretrain", 100, "steps", done=0):
        world.tick(2)
    for _ in range(module._LAST_ATTEMPTS - 1):
        assert world.is_watched
        world.tick(2)
    assert not world.is_watched and world.sent == []


def test_no_work_waits_for_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real clock, thread and client, and a server that takes connections and is silent."""
    monkeypatch.setattr(flow_run, "get_id", lambda: RUN)
    monkeypatch.setattr(module, "_EVERY_S", 0.0)
    asked = threading.Event()

    def answer() -> None:
        connection, _ = silent.accept()
        connection.recv(1)
        asked.set()
        held.append(connection)

    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            began = time.monotonic()
            with PrefectReporter().bar("pretrain", 3, "steps", done=0) as bar:
                assert asked.wait(20)  # the sending thread hangs now
                waited = time.monotonic() - began
                bar.advance(3)
            assert time.monotonic() - began - waited < 1
        for connection in held:
            connection.close()


# --- beside the bars ------------------------------------------------------------------------------


def test_outside_a_run_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_run, "get_id", lambda: None)
    monkeypatch.setattr(module, "_ProgressArtifact", None)
    reporter = PrefectReporter()
    with reporter.bar("x", 1, "y", done=0) as bar:
        bar.advance(1)
    reporter.note("nobody hears it")


# --- a real server --------------------------------------------------------------------------------


def test_a_real_run_shows_bars_and_notes(
    prefect_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_EVERY_S", 0.05)
    told: dict[str, str] = {}

    @task
    def train() -> None:
        told["task"] = str(task_run.get_id())
        note("half way")
        with track("pretrain", 4, "steps") as bar:
            bar.advance(2, loss=1.5)
            told["halfway"] = _until(lambda: _progress(told["flow"], 50))
            bar.advance(2)

    @flow
    def river() -> None:
        told["flow"] = str(flow_run.get_id())
        with reporting_to(PrefectReporter()):
            train.submit().result()

    settings = {
        PREFECT_API_URL: prefect_env["PREFECT_API_URL"],
        PREFECT_HOME: prefect_env["PREFECT_HOME"],
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(settings), caplog.at_level(logging.INFO, "prefect.task_runs"):
        river()
        assert "loss 1.500: 2 of 4 steps" in told["halfway"]
        assert _until(lambda: _progress(told["flow"], 100)).startswith("done after ")
        (artifact,) = _artifacts(told["flow"])
        assert str(artifact.task_run_id) == told["task"]
    assert "half way" in caplog.text


def _artifacts(run_id: str) -> list[Any]:
    asked = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run_id)]))
    with get_client(sync_client=True) as client:
        return list(client.read_artifacts(flow_run_filter=asked))


def _progress(run_id: str, percent: float) -> str:
    """What the run's artifact says once it has come so far."""
    return next((str(a.description) for a in _artifacts(run_id) if a.data == percent), "")


def _until(found: Callable[[], str]) -> str:
    deadline = time.monotonic() + 30
    while not (says := found()):
        assert time.monotonic() < deadline, "the artifact did not come so far"
    return says
