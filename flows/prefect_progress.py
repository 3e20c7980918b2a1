"""Progress in the Prefect UI: progress artifacts that move, and notes in the run's log.

A bar only counts, under a lock; a thread sends what was counted, every two seconds. A server that
is away costs that thread an attempt and the work nothing: the next attempt sends what is true then.
Bars of one mapped task (`clean shard 3 of 7`) are one artifact: two thousand of them would bury the
run's page, and the server's SQLite.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run, task_run
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tasks.page import escape
from tasks.progress import Bar, SilentReporter

_EVERY_S = 2.0  # also how long work must take to be shown at all
_REQUEST_S = 5.0
_LAST_ATTEMPTS = 30  # in a row, until work that has ended is left as it was last seen: a minute
_SHARD = re.compile(r"(?P<title>.+) \d+ of (?P<count>\d+)")


def log(text: str, level: int = logging.INFO) -> None:
    """Write into the log of the flow run in hand; called from plain Python, nowhere."""
    with suppress(MissingContextError):
        get_run_logger().log(level, "%s", text)


def _spawn(run: Callable[[], None]) -> None:
    """Run in a daemon thread, with the Prefect settings of the caller."""
    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()


@dataclass(frozen=True)
class Timing:
    """The clock, how an event is waited for, and where the sending runs; tests have their own."""

    clock: Callable[[], float] = monotonic
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait
    spawn: Callable[[Callable[[], None]], None] = _spawn


class PrefectReporter:
    """Shows bars on the Artifacts tab of the flow run in hand, and notes in its log."""

    def __init__(self, timing: Timing = Timing()) -> None:
        self._timing = timing
        self._lock = threading.Lock()
        self._mapped: dict[tuple[str, str], _ProgressArtifact] = {}

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        run_id = flow_run.get_id()
        if run_id is None:  # called from plain Python
            with SilentReporter().bar(label, total, unit, done) as silent:
                yield silent
            return
        work = self._work(label, unit, run_id)
        part = work.begin(total, done)
        failed = True
        try:
            yield part
            failed = False
        finally:
            work.end(part, failed=failed)

    def note(self, text: str) -> None:
        log(text)

    def _work(self, label: str, unit: str, run_id: str) -> _ProgressArtifact:
        shard = _SHARD.fullmatch(label)
        if shard is None:
            return _ProgressArtifact(_artifact(label, run_id, task_run.id), unit, 1, self._timing)
        key = run_id, shard["title"]
        with self._lock:
            if key not in self._mapped:
                count, artifact = int(shard["count"]), _artifact(shard["title"], run_id, None)
                self._mapped[key] = _ProgressArtifact(artifact, unit, count, self._timing)
            return self._mapped[key]


def _artifact(title: str, flow_run_id: str, task_run_id: str | None) -> ArtifactCreate:
    return ArtifactCreate(
        key=re.sub(r"[^a-z0-9]+", "-", f"{title} progress".lower()).strip("-"),
        type="progress",
        flow_run_id=UUID(flow_run_id),
        task_run_id=UUID(task_run_id) if task_run_id else None,
    )


class _CountingBar:
    """One bar: it counts, and its artifact is sent by a thread."""

    def __init__(self, work: _ProgressArtifact, total: int, done: int) -> None:
        self._work, self.total, self.done = work, total, done

    def advance(self, amount: int = 1, **facts: object) -> None:
        with self._work.lock:
            self.done += amount
            self._work.facts.update(facts)

    def retarget(self, total: int) -> None:
        with self._work.lock:
            self.total = total

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


class _ProgressArtifact:
    """All bars of one artifact: one, or the `count` of a mapped task."""

    def __init__(self, artifact: ArtifactCreate, unit: str, count: int, timing: Timing) -> None:
        self.lock = threading.Lock()
        self.facts: dict[str, object] = {}
        self._artifact, self._unit, self._count, self._timing = artifact, unit, count, timing
        self._artifact_id: UUID | None = None  # once it is shown
        self._open: list[_CountingBar] = []
        self._ended = 0
        self._units = 0  # counted by bars that are closed
        self._total = 0  # of these bars
        self._changes = 0  # bars opened and closed
        self._watched = False
        self._over = threading.Event()
        self._began = timing.clock()
        self._due = self._began + _EVERY_S
        self._first_share = 0.0

    def begin(self, total: int, done: int) -> _CountingBar:
        part = _CountingBar(self, total, done)
        with self.lock:
            self._open.append(part)
            self._changes += 1
            self._first_share += part.share / self._count
            self._over.clear()
            if not self._watched:
                self._watched = True
                self._timing.spawn(self._watch)
        return part

    def end(self, part: _CountingBar, *, failed: bool) -> None:
        with self.lock:
            self._open.remove(part)
            self._changes += 1
            self._units += part.done
            self._total += part.total
            self._ended += not failed
            if not self._open and (failed or self._ended >= self._count):
                self._over.set()

    def _watch(self) -> None:
        """Send what is counted until no bar is open and the last of it has arrived."""
        over = self._timing.wait(self._over, self._due - self._timing.clock())
        if over and self._artifact_id is None and self._leaves():
            return  # too short to be shown
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), _client() as client:
            missed = 0
            while True:
                sent = self._send(client)
                missed = 0 if sent is not None else missed + 1
                self._due = self._timing.clock() + _EVERY_S
                if not 0 < missed < _LAST_ATTEMPTS and self._leaves(sent):
                    return
                self._timing.wait(threading.Event() if missed else self._over, _EVERY_S)

    def _leaves(self, sent: int | None = None) -> bool:
        """Whether nothing is left to be sent; the next bar to open then starts a thread anew.

        A bar that was closed while the changes before were on their way is left to be sent.
        """
        with self.lock:
            self._watched = bool(self._open) or sent not in (None, self._changes)
            return not self._watched

    def _send(self, client: SyncPrefectClient) -> int | None:
        """Send the present state; how many changes that were, or None if it did not arrive."""
        with self.lock:
            changes = self._changes
            percent, says = self._state()
        try:
            if self._artifact_id is None:
                shown = {"data": percent, "description": says}
                made = client.create_artifact(self._artifact.model_copy(update=shown))
                self._artifact_id = made.id
            else:
                update = ArtifactUpdate(data=percent, description=says)
                client.update_artifact(self._artifact_id, update)
        except Exception:  # the next attempt sends what is true then
            return None
        return changes

    def _state(self) -> tuple[float, str]:
        """How much is done, in percent, and a line that begins with what a card has room for."""
        share = (self._ended + sum(part.share for part in self._open)) / self._count
        elapsed = self._timing.clock() - self._began
        units = self._units + sum(part.done for part in self._open)
        of = "" if self._count > 1 else f" of {self._total + sum(p.total for p in self._open):,}"
        counted = f"{units:,}{of} {self._unit}"
        shards = f", {self._ended:,} of {self._count:,} shards" if self._count > 1 else ""
        if self._over.is_set():
            how = "done" if self._ended >= self._count else "stopped"
            return 100 * share, f"{how} after {_time(elapsed)}: {counted}{shards}"
        gained = share - self._first_share
        left = f", about {_time(elapsed * (1 - share) / gained)} left" if gained > 0 else ""
        facts = "".join(f", {key} {_text(value)}" for key, value in self.facts.items())
        return 100 * share, escape(f"{share:.0%}{left}{facts}{shards}: {counted}")


def _client() -> SyncPrefectClient:
    """A client of the thread's own; a server that hangs does not hold it for long."""
    return get_client(sync_client=True, httpx_settings={"timeout": _REQUEST_S})


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
