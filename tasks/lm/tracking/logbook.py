"""The figures of a training on their way to the trackers: what a tracker is told, and has to offer.

Each tracker has a thread: a server that answers slowly, or not at all, never holds up a step. One
that fails is named once and left out.
"""

from __future__ import annotations

import contextvars
import queue
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from pydantic import JsonValue

from storage.errors import Fault, RequestError
from tasks.config import Config
from tasks.foresight import Known
from tasks.progress import note

if TYPE_CHECKING:
    from tasks.lm.tracking import Tracker

_BATCH = 200
_FINISH_WITHIN_S, _STOP_WITHIN_S = 60.0, 4.0
"""How long the last figures may take: at the end, and where training stops and has 10 s for all."""


@dataclass(frozen=True)
class TrackedRun:
    """One training, which may go on several times after it was stopped.

    `recipe` and `name` are what a person finds it by; `folder` is where files may be left, `state`
    a folder that lives as long as the training's snapshots; `first_step` is the number of steps
    that were done before; `config` are its knobs.
    """

    recipe: str
    name: str
    folder: Path | None
    state: Path
    first_step: int = 0
    config: Mapping[str, JsonValue] = field(default_factory=dict)

    @classmethod
    def of(
        cls, stage: str, work: Path, folder: Path | None, config: Mapping[str, Any]
    ) -> TrackedRun:
        """The training of a stage in its work folder, which is named by its fingerprint.

        `folder` is `…/RECIPE/NAME`, or None where no files may be left.
        """
        recipe = "phusa" if folder is None else folder.parent.name
        name = f"{stage}-{work.name[:8]}" if folder is None else folder.name
        return cls(recipe, name, folder, work / "scratch", config=_flat(config))

    @property
    def id(self) -> str:
        """The same for all attempts of one training, another if it is begun anew."""
        file = self.state / "tracking-id"
        if not file.exists():
            self.state.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{self.name}-{secrets.token_hex(4)}")
        return file.read_text()


@dataclass(frozen=True)
class Entry:
    """Figures after `step` steps; `final` ones are the scores of the whole training."""

    step: int
    values: Mapping[str, float]
    final: bool = False
    time: float = field(default_factory=time.time)


class Sink(Protocol):
    """An open tracker. It is used by one thread, which may wait for it."""

    def log(self, entries: Sequence[Entry]) -> None:
        """Show figures, in order. What it has from an earlier attempt is not shown twice."""

    def close(self, *, finished: bool) -> None:
        """End, with everything shown; `finished` is false where training only stopped."""


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, JsonValue]:
    """Knobs by dotted names, as `--set` takes them."""
    found: dict[str, JsonValue] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


class Installable(Config):
    """What every tracker's config says: its package, and what installs that."""

    package: ClassVar[str | None] = None

    def foreseen(self, known: Known) -> Iterator[Fault]:
        """A package that is not installed."""
        if self.package is not None and find_spec(self.package) is None:
            kind = dict(self)["kind"]
            remedy = f"pip install 'phusa[{kind}]', or take {kind} out of tracking."
            found = f"no package {self.package}"
            yield Fault("kind", found, "it to be installed", remedy, "not_installed")


def check_packages(trackers: Sequence[Tracker]) -> None:
    """Raise RequestError if a tracker's package is not installed."""
    faults = [
        replace(fault, where=f"tracking ({tracker.kind})")
        for tracker in trackers
        for fault in tracker.foreseen(Known({}))
    ]
    if faults:
        raise RequestError(faults)


class Logbook:
    """Takes figures and returns at once."""

    def __init__(self, trackers: Sequence[Tracker], run: TrackedRun | None) -> None:
        self._writers = [] if run is None else [_Writer(tracker, run) for tracker in trackers]

    def add(self, step: int, **values: float) -> None:
        """Figures after `step` steps."""
        self._give(Entry(step, values))

    def conclude(self, step: int, **scores: float) -> None:
        """The scores of the whole training, which took `step` steps."""
        self._give(Entry(step, scores, final=True))

    def _give(self, entry: Entry) -> None:
        for writer in self._writers:
            writer.put(entry)

    def __enter__(self) -> Self:
        for writer in self._writers:
            writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the last figures, but not for ever."""
        for writer in self._writers:
            writer.put(error is None)
        for writer in self._writers:
            writer.finish(_FINISH_WITHIN_S if error is None else _STOP_WITHIN_S)


class _Writer:
    """The thread of one tracker. Entries end with whether training finished."""

    def __init__(self, tracker: Tracker, run: TrackedRun) -> None:
        self._entries: queue.SimpleQueue[Entry | bool] = queue.SimpleQueue()
        self._failed = False
        self._tracker, self._run = tracker, run
        context = contextvars.copy_context()  # notes go where the training's go
        self._thread = threading.Thread(
            target=context.run,
            args=(self._write,),
            name=f"phusa-{tracker.kind}",
            daemon=True,
        )

    def put(self, entry: Entry | bool) -> None:
        if not self._failed:
            self._entries.put(entry)

    def start(self) -> None:
        self._thread.start()

    def finish(self, seconds: float) -> None:
        self._thread.join(seconds)
        if self._thread.is_alive():
            note(f"{self._tracker.kind} took no last figures within {seconds:.0f} s; left behind")

    def _write(self) -> None:
        try:
            self._show()
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            note(
                f"{self._tracker.kind} shows no more of {self._run.name}, training goes on without "
                f"it: {type(error).__name__}: {reason[0]}"
            )
            self._failed = True

    def _show(self) -> None:
        sink = self._tracker.open(self._run)
        finished: bool | None = None
        while finished is None:
            entries: list[Entry] = []
            finished = _take(self._entries, entries)
            if sink is not None and entries:
                sink.log(entries)
        if sink is not None:
            sink.close(finished=finished)


def _take(waiting: queue.SimpleQueue[Entry | bool], entries: list[Entry]) -> bool | None:
    """Move what waits into `entries`, at least one; returns whether training finished, if over."""
    item = waiting.get()
    while not isinstance(item, bool):
        entries.append(item)
        if len(entries) == _BATCH or waiting.empty():
            return None
        item = waiting.get()
    return item
