from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.gc import Work, abandoned, drop
from storage.manifest import Manifest
from storage.store import Store

Seal = Callable[..., Manifest]
DAY = 86_400.0


@pytest.fixture(params=["local", "remote"])
def place(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue({"local": "store", "remote": "remote"}[request.param])
    return found


def _leave(store: Store, key: str, age_days: float) -> Path:
    """The work folder of a build that died so many days ago."""
    with store.building("clean", key) as workspace:
        workspace.write_json("a.json", "half")
    then = time.time() - age_days * DAY
    for path in (workspace.root, *workspace.root.rglob("*")):
        os.utime(path, (then, then))
    return workspace.root


def test_work_that_nobody_goes_on_with(place: Store, seal: Seal) -> None:
    seal(place)  # leaves a lock file, and no folder
    old, young = _leave(place, "old", 8), _leave(place, "young", 6)
    busy = _leave(place, "busy", 8)
    os.utime(busy / "notes")  # something happened in it
    size = sum(path.stat().st_size for path in old.rglob("*") if path.is_file())
    found = abandoned(place, 7 * DAY)
    assert found == [Work(old, size)]
    drop(place, found, 7 * DAY)
    assert not old.exists() and young.exists() and busy.exists()
    assert abandoned(place, 7 * DAY) == []
    with place.building("clean", "old") as workspace:  # it begins anew
        assert workspace.entries() == []


def test_work_that_someone_has_taken_up_stays(place: Store) -> None:
    old = _leave(place, "old", 8)
    found = abandoned(place, 7 * DAY)
    with Store(place.address).building("clean", "old") as workspace:
        drop(place, found, 7 * DAY)
        assert workspace.root == old
        assert [entry.path for entry in workspace.entries()] == ["a.json"]


def test_a_build_that_is_slow_to_write_is_not_dropped(place: Store) -> None:
    with place.building("clean", "slow") as workspace:
        workspace.write_json("a.json", "half")
        then = time.time() - 8 * DAY
        for path in (workspace.root, *workspace.root.rglob("*")):
            os.utime(path, (then, then))
        other = Store(place.address)
        drop(other, abandoned(other, 7 * DAY), 7 * DAY)
        assert workspace.entry("a.json") is not None


def test_of_a_store_that_is_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert abandoned(store, 0) == []
    drop(store, [], 0)
    assert not (tmp_path / "none").exists()


def test_unused_copies_go_too(remote: Store, seal: Seal) -> None:
    made = seal(remote)
    view = remote.folder(made)
    drop(remote, [], DAY)
    assert (view / "log.txt").exists()
    drop(remote, [], -1.0)
    assert not view.exists() and remote.cache.size() == 0
