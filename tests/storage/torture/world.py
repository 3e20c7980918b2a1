"""A world in which every call on the store happens when the schedule says so, and only then.

Each actor is a thread with a store of its own. It stops before every call on the back end until
`Actor.step` lets it do that one call, so exactly one thread runs at any time and a schedule is
played again to the letter. Time stands still until `World.advance`; locks and leases are those of
this world, so that "slept past its lease" and "another host" are steps like any other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import pytest

from storage import aliases, gc, lease, manifest, sealing, store, takedown
from storage.backends import Backend
from storage.errors import PhusaError, StoreFull, StoreUnreachable
from storage.store import Store

WRITES = frozenset({"create", "swap", "put_file", "delete"})
FAULTS = ("refuse", "lost", "full", "torn", "lie")
"""No answer and not done; done, but the answer lost; no space; half a file, and an error or a
"yes". What does not fit a call is `refuse`."""

_BEGIN = 1_800_000_000.0
_PATIENCE_S = 60.0
_SKEW_S = 7.0


class Killed(BaseException):
    """The actor was killed: it does nothing more, also in no `finally`."""


@dataclass(frozen=True)
class Call:
    """What an actor is about to do. `key` is empty for a wait."""

    op: str
    key: str = ""

    @property
    def point(self) -> str:
        """The kind of step: `create manifest`, `swap aliases`, `delete data`, `sleep`."""
        top = self.key.partition("/")[0]
        if self.key == "refs/aliases.json":
            top = "aliases"
        elif top == "versions" and "/data" in self.key:
            top = "data"
        elif self.key.endswith("/manifest.json"):
            top = "manifest"
        return f"{self.op} {top}".strip()


class Actor:
    """One process of the world."""

    def __init__(self, world: World, name: str, host: int, work: Callable[[Actor], Any]) -> None:
        self.world, self.name, self.host = world, name, host
        self.kind = name.partition("-")[0]
        self.pending: Call | None = None
        self.done = self.dead = self.slept = self.failed = False
        self.heart: Any = None
        self.reads: tuple[str, ...] = ()
        """The versions that it may lean on now: gc must leave them alone."""
        self.result: Any = None
        self.error: BaseException | None = None
        self._order = "go"
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self.store = Store("", backend=Gate(self, world.raw))
        self.store.work = world.folder / f"host-{host}"
        self.store.cache = SimpleNamespace(keep=lambda entry, source: None)  # type: ignore[assignment]
        self._work = work
        self.thread = threading.Thread(target=self._live, name=name, daemon=True)
        self.thread.actor = self  # type: ignore[attr-defined]
        self.thread.start()
        self._await()

    def __repr__(self) -> str:
        state = "killed" if self.dead else "done" if self.done else f"before {self.pending}"
        return f"<{self.name} {state}>"

    def step(self, order: str = "go") -> Call | None:
        """Let it do the call that it waits before: `go`, `kill`, `kill after`, or a fault."""
        if self.done:
            return None
        call, self._order = self.pending, order
        self.failed |= order in FAULTS
        self.world.trace.append(f"{self.name}: {call.op} {call.key} {order}" if call else "")
        self._turn.release()
        self._await()
        if self.done:
            self.world.release_locks(self)
        return call

    def _await(self) -> None:
        assert self._back.acquire(timeout=_PATIENCE_S), f"{self!r} does not come back"

    def wait(self, call: Call, apply: Callable[[str], Any]) -> Any:
        """Called by its own thread: wait for the turn, then `apply` with the order given."""
        if self.dead:
            raise Killed
        self.pending = call
        self._back.release()
        self._turn.acquire()
        self.pending = None
        if self._order.startswith("kill"):
            self.dead = True
            if self._order == "kill after":
                apply("go")
            raise Killed
        return apply(self._order)

    def _live(self) -> None:
        try:
            self.result = self._work(self)
        except Killed:
            pass
        except (PhusaError, OSError) as error:
            self.error = error
        except BaseException as error:  # a bug: of the store's or of this test's
            self.error = error
            self.world.violate(f"{self.name} ended with {type(error).__name__}: {error}")
        finally:
            self.done, self.reads, self.heart = True, (), None
            self._back.release()


class Gate:
    """A back end that asks the world before each call, and may fail it.

    A folder is deleted file by file, and several files are read one by one, as on a real store.
    """

    def __init__(self, actor: Actor, raw: Backend) -> None:
        self.actor, self.raw, self.address = actor, raw, raw.address

    def create(self, key: str, data: bytes) -> bool:
        return bool(self._ask("create", key, lambda: self.raw.create(key, data)))

    def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        return bool(self._ask("swap", key, lambda: self.raw.swap(key, data, expected)))

    def read(self, key: str) -> bytes | None:
        found: bytes | None = self._ask("read", key, lambda: self.raw.read(key))
        return found

    def read_all(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.read(key) for key in keys]

    def sizes(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = self._ask("sizes", prefix, lambda: self.raw.sizes(prefix))
        return found

    def children(self, prefix: str) -> list[str]:
        found: list[str] = self._ask("children", prefix, lambda: self.raw.children(prefix))
        return found

    def put_file(self, key: str, source: Path) -> None:
        self._ask("put_file", key, lambda: self.raw.put_file(key, source), source)

    def chunks(self, key: str) -> Iterator[bytes]:
        yield from self._ask("chunks", key, lambda: list(self.raw.chunks(key)))

    def local_path(self, key: str) -> Path | None:
        return self.raw.local_path(key)

    def delete(self, prefix: str) -> None:
        for path in sorted(self.sizes(prefix)):
            self._ask("delete", f"{prefix}/{path}", self._deleting(f"{prefix}/{path}"))
        self._ask("delete", prefix, self._deleting(prefix))

    def _deleting(self, key: str) -> Callable[[], None]:
        return lambda: self.raw.delete(key)

    def _ask(self, op: str, key: str, do: Callable[[], Any], source: Path | None = None) -> Any:
        if threading.current_thread() is not self.actor.thread:  # the heart of its lease beats
            return self._beating(op, do)
        return self.actor.wait(Call(op, key), lambda order: self._apply(order, op, key, do, source))

    def _apply(
        self, order: str, op: str, key: str, do: Callable[[], Any], source: Path | None
    ) -> Any:
        if order == "go":
            return do()
        if order == "full" and op in ("create", "swap", "put_file"):
            raise StoreFull(f"{key}: full")
        if order in ("torn", "lie") and source is not None:
            half = self.actor.world.folder / "half"
            half.write_bytes(source.read_bytes()[:-1])
            self.raw.put_file(key, half)
            if order == "lie":
                return None
        if order == "lost":
            do()
        raise StoreUnreachable(f"{op} {key}: {order}")

    def _beating(self, op: str, do: Callable[[], Any]) -> Any:
        fault = self.actor.world.beat_fault if op == "swap" else None
        if fault == "refuse":
            raise StoreUnreachable(fault)
        answer = do()
        if fault == "lost":
            raise StoreUnreachable(fault)
        return answer


class World:
    """One store, those who work with it, their clock and their locks."""

    def __init__(self, raw: Backend, folder: Path) -> None:
        self.raw, self.folder = raw, folder
        self.now = _BEGIN
        self.actors: list[Actor] = []
        self.violations: list[str] = []
        self.trace: list[str] = []
        self.gone: list[tuple[str, str]] = []
        """(actor, label): what was found and could not be read, to be judged."""
        self.seen: list[tuple[str, Any, dict[str, bytes]]] = []
        """(actor, manifest, files): what was read, to be judged."""
        self.beat_fault: str | None = None
        self._locks: dict[str, Actor] = {}
        Current.world = self

    def start(self, kind: str, host: int, work: Callable[[Actor], Any]) -> Actor:
        actor = Actor(self, f"{kind}-{len(self.actors)}", host, work)
        self.actors.append(actor)
        return actor

    @property
    def living(self) -> list[Actor]:
        return [actor for actor in self.actors if not actor.done]

    def violate(self, what: str) -> None:
        self.violations.append(what)

    def advance(self, seconds: float, asleep: Sequence[Actor] = ()) -> None:
        """Let time pass; the leases of all but those `asleep` are renewed meanwhile."""
        self.now += seconds
        for actor in self.living:
            if actor.heart is not None and actor not in asleep:
                self._beat(actor)
        self.beat_fault = None
        for actor in self.living:
            if actor.heart is not None and actor in asleep:
                actor.slept |= actor.heart._mine.expires <= self.now + _SKEW_S * 3
        for actor in self.living:
            if actor.slept:
                actor.reads = ()

    def _beat(self, actor: Actor) -> None:
        for fault in (self.beat_fault, None):
            self.beat_fault = fault
            heart, beats = actor.heart, iter((False, True))
            heart._stopped = SimpleNamespace(wait=lambda s, b=beats: next(b), set=lambda: None)
            heart._beat()
            if next(beats, None) is not None:  # it gave up
                actor.heart = None
                return

    def lock(self, path: str, actor: Actor) -> bool:
        return self._locks.setdefault(path, actor) is actor

    def unlock(self, path: str, actor: Actor) -> None:
        if self._locks.get(path) is actor:
            del self._locks[path]

    def release_locks(self, actor: Actor) -> None:
        """As the operating system does for a process that ends."""
        self._locks = {path: owner for path, owner in self._locks.items() if owner is not actor}

    def end(self) -> None:
        """Kill who is left, so that no thread stays."""
        for actor in self.actors:
            while not actor.done:
                actor.step("kill")
            actor.thread.join(_PATIENCE_S)


class Current:
    """What the patched modules ask: whose thread this is."""

    world: World

    @classmethod
    def actor(cls) -> Actor | None:
        return getattr(threading.current_thread(), "actor", None)

    @classmethod
    def time(cls) -> float:
        """The clocks of the hosts differ by some seconds."""
        actor = cls.actor()
        return cls.world.now + (_SKEW_S * actor.host if actor else 0.0)

    @classmethod
    def utc_now(cls) -> datetime:
        cls.world.now += 0.001
        return datetime.fromtimestamp(cls.time(), UTC)

    @classmethod
    def sleep(cls, seconds: float) -> None:
        actor = cls.actor()
        assert actor is not None
        actor.wait(Call("sleep"), lambda order: actor.world.advance(seconds))


class _Lock:
    """The lock of a work folder: `filelock.FileLock`, as far as the store uses it."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def acquire(self, timeout: float = -1) -> None:
        actor = Current.actor()
        assert actor is not None
        while not actor.world.lock(self._path, actor):
            if timeout == 0:
                raise filelock.Timeout(self._path)
            actor.wait(Call("lock"), lambda order: None)

    def release(self) -> None:
        actor = Current.actor()
        assert actor is not None
        actor.world.unlock(self._path, actor)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *failure: object) -> None:
        self.release()


def _start_heart(heart: Any) -> None:
    actor = Current.actor()
    assert actor is not None
    heart._thread = SimpleNamespace(join=lambda: None)
    actor.heart = heart


_stop_heart = lease._Heart.stop


def _stopping(heart: Any) -> None:
    actor = Current.actor()
    if actor is not None:
        actor.heart, actor.reads = None, ()
    _stop_heart(heart)


@contextmanager
def patched(cache: Path) -> Iterator[None]:
    """Time, locks, heartbeats and syncs of the storage modules are those of the current world."""
    clock = SimpleNamespace(
        time=Current.time, sleep=Current.sleep, strftime=time.strftime, gmtime=time.gmtime
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHUSA_CACHE", str(cache))
        patch.setattr(lease, "time", clock)
        for module in (aliases, gc, manifest, sealing, takedown):
            patch.setattr(module, "utc_now", Current.utc_now)
        patch.setattr(store, "FileLock", _Lock)
        patch.setattr(lease._Heart, "start", _start_heart)
        patch.setattr(lease._Heart, "stop", _stopping)
        patch.setattr("os.fsync", lambda descriptor: None)  # a power cut is not played here
        yield
