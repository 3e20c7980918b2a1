"""Builders, readers, gc, promotions, takedowns and killers, interleaved call by call.

    make test                      a few hundred interleavings, the same ones each time
    make torture                   2 000 in memory and 200 on a disk, new ones each time
    PHUSA_TORTURE=20000 make torture

hypothesis shrinks a failure to the shortest schedule and prints it: a list of rules to be called in
this order. Paste it into a test (`state = Torture(); state.start(...)`), or run again: failures are
kept in `.hypothesis/` and tried first. `Torture.world.trace` holds every call on the store.

Mostly an actor goes on until it is about to write: it has read then what it decides on. Between
two rules everything stands still. See `world.py` for the machinery, `actors.py` for what is done,
`judge.py` for what must hold.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from storage.backends import Backend, LocalBackend, MemoryBackend
from tests.storage.torture import actors
from tests.storage.torture.actors import ABOVE, Build
from tests.storage.torture.judge import Judge
from tests.storage.torture.world import FAULTS, WRITES, Actor, World, patched

pytestmark = pytest.mark.fleet  # minutes of whole runs

LONG = int(os.environ.get("PHUSA_TORTURE", "0"))
_AT_ONCE = 5
_FAR = 600  # calls of one rule at most
_DAYS_S = 2 * 86_400.0

HISTORIES: tuple[tuple[Any, ...], ...] = (
    (),
    (Build("base"), Build("base", 1)),
    (Build("base"), Build("mid"), Build("base", 1)),
    (Build("base"), Build("mid"), ("promote", "mid"), Build("base", 1)),
    (Build("base"), Build("mid"), Build("base", 1), Build("mid"), Build("top", old=True)),
    (Build("base"), ("promote", "base"), Build("base", 1), ("promote", "base"), Build("mid")),
    (Build("base"), Build("base", fails=True, forced=True), Build("mid", fails=True)),
)

names = st.sampled_from(["base"] * 4 + ["mid"] * 3 + ["top"])
seldom = st.sampled_from([False, False, False, True])
which = st.integers(0, _AT_ONCE - 1)
builds = st.builds(
    Build,
    names,
    st.sampled_from([0, 0, 0, 1]),
    forced=seldom,
    fails=seldom,
    odd=st.sampled_from([False] * 7 + [True]),
    old=st.booleans(),
    unheld=st.booleans(),
)
starts = st.one_of(
    st.tuples(st.just("build"), st.integers(0, 2), builds),
    st.tuples(st.just("build"), st.integers(0, 2), builds),
    st.tuples(st.just("gc"), st.integers(0, 2), st.sampled_from([1, 1, 2])),
    st.tuples(
        st.sampled_from(["promote"] * 4 + ["rollback"] * 2 + ["read", "verify", "bury"]),
        st.just(0),
        st.tuples(names, st.sampled_from([None, 0, 0, 1, -1])),
    ),
)
moves = st.tuples(
    which,
    st.sampled_from(["writes", "writes", "writes", "calls", "end"]),
    st.sampled_from([1, 1, 1, 1, 2, 2, 3, 6]),
)
"""One actor goes on to just before its next write, the one after, …; or by some calls; or to its
end: most bugs need few turns, at the right places."""


class Torture(RuleBasedStateMachine):
    """One interleaving."""

    num_played = 0
    num_calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="torture-", dir=_memory_disk()))
        self.world = World(self.backend(), self.folder)
        self.judge = Judge(self.world)
        self.odd, self.is_clean, self.to_rest = False, True, True

    def backend(self) -> Backend:
        return MemoryBackend(str(self.folder))

    # --- rules --------------------------------------------------------------------------------

    @initialize(
        history=st.sampled_from(HISTORIES),
        cast=st.lists(starts, min_size=4, max_size=_AT_ONCE),
        to_rest=seldom,
    )
    def there_are(self, history: Sequence[Any], cast: list[Any], to_rest: bool) -> None:
        self.to_rest = to_rest
        for one in history:
            if isinstance(one, Build):
                self._finish(self._start("build", 0, one))
            else:
                self._finish(self._start(one[0], 0, (one[1], None)))
        for one in cast:
            self._start(*one)

    @rule(turns=st.lists(st.one_of(starts, moves, moves, moves), min_size=16, max_size=32))
    def go(self, turns: list[Any]) -> None:
        """Actors come, and go on in turns."""
        for turn in turns:
            if isinstance(turn[0], str):
                self._start(*turn)
            else:
                self._go(*turn)

    @rule(move=moves, order=st.sampled_from(["kill", "kill after"]))
    def kill(self, move: tuple[int, str, int], order: str) -> None:
        self._go(*move, order)

    @rule(move=moves, order=st.sampled_from(FAULTS))
    def fail(self, move: tuple[int, str, int], order: str) -> None:
        """The store fails it there."""
        self._go(*move, order)

    @rule(
        seconds=st.sampled_from([20.0, 100.0, _DAYS_S]),
        asleep=st.sets(which),
        beat=st.sampled_from([None, None, "refuse", "lost"]),
    )
    def time_passes(self, seconds: float, asleep: set[int], beat: str | None) -> None:
        self.world.beat_fault = beat
        living = self.world.living
        self.world.advance(seconds, [living[n] for n in asleep if n < len(living)])

    @rule(number=st.integers(0, 15))
    def rot(self, number: int) -> None:
        """A file of a sealed artifact is cut short on its disk, seldom."""
        whole = [label for label in self.judge.sealed if self.judge._is_whole(label)]
        if number == 0 and whole:
            label = whole[-1]
            name, _, version = label.partition("@")
            half = self.folder / "rotten"
            half.write_bytes(b"x")
            self.world.raw.put_file(f"versions/{name}/{version}/data/part/a.txt", half)
            self.judge.removed.add(label)

    # --- how ----------------------------------------------------------------------------------

    def _start(self, kind: str, host: int, what: Any) -> Actor | None:
        if len(self.world.living) >= _AT_ONCE:
            return None
        make = {
            "build": actors.builder,
            "gc": actors.collector,
            "promote": lambda which: actors.promoter(*which),
            "rollback": lambda which: actors.roller(which[0]),
            "read": lambda which: actors.reader(which[0]),
            "verify": lambda which: actors.verifier,
            "bury": lambda which: actors.burier(*which),
        }[kind]
        if kind == "build":
            self.odd |= what.odd
        actor = self.world.start(kind, host, make(what))
        self.judge.after(actor, None)
        return actor

    def _chosen(self, number: int) -> Actor | None:
        living = self.world.living
        return living[number % len(living)] if living else None

    def _go(self, number: int, unit: str, count: int, order: str | None = None) -> None:
        actor = self._chosen(number)
        if unit == "end":
            self._finish(actor)
        while actor is not None and actor.pending is not None and count:
            self._step(actor)
            if actor.pending is not None and actor.pending.op in ("sleep", "lock"):
                break
            if unit == "calls" or (actor.pending is not None and actor.pending.op in WRITES):
                count -= 1
        if actor is not None and order is not None:
            self._step(actor, order)

    def _step(self, actor: Actor, order: str = "go") -> None:
        Torture.num_calls += 1
        self.is_clean &= order == "go"
        call = actor.step(order)
        self.judge.after(actor, call)

    def _finish(self, actor: Actor | None) -> None:
        """Let it go on to its end, or to where it waits for another."""
        for _ in range(_FAR):
            if actor is None or actor.done:
                return
            if actor.pending is not None and actor.pending.op in ("sleep", "lock"):
                return
            self._step(actor)
        raise AssertionError(f"{actor!r} does not end")

    # --- the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if not self.world.violations:
                self.judge.look()
                self._drain()
                if self.to_rest:  # it takes longer than all the rest
                    self._after_all()
        finally:
            Torture.num_played += 1
            self.world.end()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _drain(self) -> None:
        for _ in range(400):
            for actor in self.world.living:
                for _ in range(25):
                    self._step(actor)
            if not self.world.living:
                break
        assert not self.world.living, f"these do not end: {self.world.living}"
        self.judge.look()
        if self.is_clean:
            self.judge.check_references()

    def _after_all(self) -> None:
        """Whatever happened: one can build everything now, and gc clears up what was left."""
        self.world.advance(_DAYS_S)
        self._fresh("gc", 1)
        self.judge.check_references()
        for name in ABOVE:
            actor = self._fresh("build", Build(name))
            assert actor.error is None, actor.error
            self.judge.check_content(actor.result, self.odd)
        for _ in range(2):
            actor = self._fresh("gc", 1)
            assert actor.error is None, actor.error
        assert actor.result.candidates == (), "the second gc found more to take"
        self.judge.look()
        self.judge.rest()

    def _fresh(self, kind: str, what: Any) -> Actor:
        actor = self._start(kind, 1, what)
        assert actor is not None
        self._finish(actor)
        assert actor.done, actor
        return actor


class TortureOnDisk(Torture):
    """The same on a local disk."""

    def backend(self) -> Backend:
        return LocalBackend(self.folder / "store")


def _memory_disk() -> str | None:
    """tmpfs where there is one: the syncs are left out anyway."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.mark.timeout(0)
@pytest.mark.parametrize(("machine", "share"), [(Torture, 1.0), (TortureOnDisk, 0.1)])
def test_torture(
    machine: type[Torture], share: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Torture.num_played = Torture.num_calls = 0
    played = settings(
        max_examples=int((LONG or 300) * share),
        stateful_step_count=8,
        deadline=None,
        derandomize=not LONG,
        database=None if not LONG else settings.get_profile("default").database,
        suppress_health_check=list(HealthCheck),
        phases=[p for p in Phase if p is not Phase.explain],
    )
    with patched(tmp_path):
        run_state_machine_as_test(machine, settings=played)
    with capsys.disabled():
        print(
            f"\n{machine.__name__}: {Torture.num_played} interleavings, "
            f"{Torture.num_calls} calls on the store"
        )
