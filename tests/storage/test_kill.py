"""kill -9 at every step of everything that changes a store, on a disk and on S3; and sleepers.

One process after the other is killed one step later, until one comes to its end. Nothing is mocked:
what is left is what the operating system and the server hold.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.collecting import collect
from storage.manifest import Manifest
from storage.sealing import find_quarantined, quarantined
from storage.store import Store
from storage.verifying import verify
from tests.storage.zygote import FILES, KEY, Zygote, zygote

NOW = timedelta(0)


@pytest.fixture(scope="module")
def processes(s3_env: dict[str, str]) -> Iterator[Zygote]:
    with zygote(s3_env) as started:
        yield started


@dataclass
class Places:
    """Fresh stores of one kind; the machine's own folder of each is `home`."""

    root: str
    folder: Path
    number: int = field(default=0)

    def fresh(self) -> tuple[str, Path]:
        self.number += 1
        home = self.folder / f"home-{self.number}"
        home.mkdir()
        return f"{self.root}/{self.number}", home


@pytest.fixture(params=["local", "s3"])
def places(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> Places:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    if request.param == "local":
        return Places(str(tmp_path / "stores"), tmp_path)
    return Places(request.getfixturevalue("s3_bucket"), tmp_path)


@dataclass(frozen=True)
class Act:
    """What is killed; what was there before it; and what an artifact's text begins with after."""

    operation: str
    how: dict[str, Any] = field(default_factory=dict)
    before: tuple[dict[str, Any], ...] = ()
    again: dict[str, Any] | None = None
    """The second attempt, if it is not the same."""


ACTS = {
    "commit": Act("commit"),
    "forced commit": Act("commit", {"forced": True, "text": "new"}, ({"text": "old"},)),
    "loser of a race": Act("commit unheld", {"late": True}, ({},)),
    "quarantine": Act("commit", {"fails": True}, again={}),
    "release": Act("commit", {}, ({"fails": True},)),
    "gc": Act("gc", {}, ({"key": "0"}, {"key": "1"}, {"fails": True}, {"key": "2"})),
    "promote": Act("promote", {}, ({},)),
}


def _seal(processes: Zygote, address: str, home: Path, orders: Any) -> dict[str, dict[str, str]]:
    """Seal what was there before; gives the sha256 of each file of each artifact."""
    for order in orders:
        status, said = processes.run("commit", address, home, **order)
        assert status == 0, said["text"]
        time.sleep(0.002)  # versions are sorted by their millisecond
    store = Store(address)
    return {m.label: {e.path: e.sha256 for e in m.files} for m in store.manifests()}


def _sha256(store: Store, manifest: Manifest) -> dict[str, str]:
    found = {}
    for entry in manifest.files:
        key = f"versions/{manifest.name}/{manifest.version}/data/{entry.path}"
        found[entry.path] = hashlib.sha256(b"".join(store.backend.chunks(key))).hexdigest()
    return found


def _check(store: Store, before: dict[str, dict[str, str]], may_go: set[str]) -> None:
    """Nothing that is sealed was lost or changed; nothing is visible that is not whole."""
    assert verify(store, deep=True) == []
    shown = {manifest.label: _sha256(store, manifest) for manifest in store.manifests()}
    for label, files in before.items():
        assert label in may_go or shown.get(label) == files
    held = store.aliases.read().held()
    assert held <= shown.keys()
    for path in store.backend.sizes("refs/recipes"):
        version = (store.backend.read(f"refs/recipes/{path}") or b"").decode()
        name, _, key = path.partition("/")
        found = store.find(name, key)
        assert found is None or (found.version == version and found.label in shown)
        assert found is not None or not version or f"{name}@{version}" in may_go


def _check_rest(store: Store) -> None:
    """After a gc that takes what is dead at once, nothing is left over."""
    collect(store, 1, NOW)
    assert collect(store, 1, NOW).candidates == ()
    assert store.aliases.read().going() == set()
    assert verify(store, deep=True) == []
    kept = {m.version for m in (*store.manifests(), *quarantined(store))}
    for path in store.backend.sizes("versions/clean"):
        version, _, file = path.partition("/")
        assert version in kept or file == "manifest.json", path
    stones = {file.removesuffix(".json") for file in store.backend.children("tombstones/clean")}
    for path in store.backend.sizes("refs/recipes"):
        assert (store.backend.read(f"refs/recipes/{path}") or b"").decode() not in stones


@pytest.mark.parametrize("name", ACTS)
def test_kill_at_every_step(places: Places, processes: Zygote, name: str) -> None:
    act = ACTS[name]
    for step in itertools.count():
        address, home = places.fresh()
        before = _seal(processes, address, home, act.before)
        status, said = processes.run(act.operation, address, home, **act.how, at=step)
        if status != -signal.SIGKILL:
            break

        store = Store(address)
        newest = max(before, default="")
        may_go = before.keys() - {newest} if act.operation == "gc" else set[str]()
        _check(store, before, may_go)

        how = act.how if act.again is None else act.again
        status, said = processes.run(act.operation, address, home, **how)
        assert status == 0, said["text"]
        _check(store, before, may_go)
        _check_result(store, act, said["answer"], newest)
        _check_rest(store)
    assert status == 0, said["text"]
    assert step >= 2


def _check_result(store: Store, act: Act, answer: Any, newest: str) -> None:
    if act.operation == "promote":
        assert store.resolve("clean@prod").label == newest
    elif act.operation == "gc":
        assert [m.label for m in store.manifests()] == [newest]
    else:
        found = store.find("clean", KEY)
        assert found is not None and found.version == answer
        expected = {p: (act.how.get("text", "") + t).encode() for p, t in FILES.items()}
        assert _sha256(store, found) == {
            path: hashlib.sha256(data).hexdigest() for path, data in expected.items()
        }
        if not act.how.get("forced"):
            sealed = [m for m in store.manifests() if store.find("clean", KEY) == m]
            assert [m.version for m in sealed] == [answer]


# --- several at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["commit", "commit unheld"])
def test_two_processes_on_one_fingerprint_end_with_one_artifact(
    places: Places, processes: Zygote, operation: str
) -> None:
    for _ in range(4):
        address, home = places.fresh()
        homes = [home / str(number) for number in range(3)]
        for each in homes:
            each.mkdir()
        racing = [processes.start(operation, address, each) for each in homes]
        ended = [processes.wait(pid) for pid in racing]
        assert [status for status, _ in ended] == [0, 0, 0], ended
        versions = {said["answer"] for _, said in ended}
        store = Store(address)
        assert len(versions) == 1 and store.versions("clean") == list(versions)
        _check(store, {}, set())
        _check_rest(store)


def test_gc_in_a_loop_never_breaks_a_build(places: Places, processes: Zygote) -> None:
    address, home = places.fresh()
    sweeper = places.folder / "sweeper"
    sweeper.mkdir()
    _seal(processes, address, home, [{"key": "0"}])
    store = Store(address)
    (old,) = store.manifests()
    build = processes.start("read and build", address, home, input=old.label)
    _until((home / "begun").exists)
    gc = processes.start("gc loop", address, sweeper)
    _seal(processes, address, places.fresh()[1], [{"key": "1"}, {"key": "2"}])
    (home / "stop").touch()
    status, said = processes.wait(build)
    assert status == 0, said["text"]
    (sweeper / "stop").touch()
    status, rounds = processes.wait(gc)
    assert status == 0, rounds["text"]
    assert rounds["answer"] > 0
    assert store.find("clean", KEY) is not None and store.is_whole(old)
    _check(store, {}, set(store.versions("clean")))


@pytest.mark.parametrize("fails", [False, True], ids=["commit", "quarantine"])
@pytest.mark.parametrize("meanwhile", ["gc", "another build"])
def test_a_builder_that_sleeps_past_its_lease_ends_well(
    places: Places, processes: Zygote, meanwhile: str, fails: bool
) -> None:
    """It is stopped at one step; gc takes what it can, or another builds the same; it goes on."""
    address, home = places.fresh()
    _, said = processes.run("commit", address, home, fails=fails)
    sleepers = []
    for step in range(said["changes"]):
        address, home = places.fresh()
        how = {"at": step, "signal": "SIGSTOP", "lease_s": 0.2, "fails": fails}
        pid = processes.start("commit", address, home, **how)
        assert processes.await_stop(pid)
        sleepers.append((pid, address, home))
    time.sleep(0.3)
    for pid, address, home in sleepers:
        store = Store(address)
        other = home / "other"
        if meanwhile == "gc":
            collect(store, 1, NOW)
        elif address.startswith("s3://"):  # on one disk it waits for the lock
            other.mkdir()
            status, said = processes.run("commit", address, other)
            assert status == 0, said["text"]
        before = _seal(processes, address, home, [])
        os.kill(pid, signal.SIGCONT)
        status, said = processes.wait(pid)
        assert status == 0, said["text"]
        _check(store, before, set())
        if fails:
            assert find_quarantined(store, "clean", KEY) is not None
        else:
            found = store.find("clean", KEY)
            assert found is not None and store.is_whole(found)
            assert said["answer"] == found.version
        _check_rest(store)


def _until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
