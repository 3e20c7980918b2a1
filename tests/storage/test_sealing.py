from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage import layout
from storage.errors import DamagedArtifact, RequestError, StoreUnreachable, UnknownArtifact
from storage.manifest import CheckResult, Manifest
from storage.sealing import (
    Draft,
    bury,
    commit,
    find_quarantined,
    new_version,
    quarantine,
    quarantined,
    release,
    withdraw,
)
from storage.store import Store
from storage.verify import verify
from storage.workspace import Workspace

Seal = Callable[..., Manifest]
KEY = "f" * 64
FAILED = CheckResult(
    measure="drop_rate",
    value=0.5,
    last=None,
    bounds={"max": 0.1},
    severity="block",
    passed=False,
    says="drop_rate 0.5 is above max 0.1. Loosen clean.filters.",
)
HOLDS = FAILED.model_copy(update={"passed": True, "bounds": {"max": 0.6}, "says": "it holds"})


@pytest.fixture(params=["local", "remote"])
def place(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue({"local": "store", "remote": "remote"}[request.param])
    return found


@pytest.fixture
def hold(draft: Callable[..., Draft]) -> Callable[..., Manifest]:
    """Build something and put it into quarantine."""

    def hold(store: Store, name: str = "clean", key: str = KEY, text: str = "held") -> Manifest:
        with store.building(name, key) as workspace:
            workspace.write_json("a.json", text)
            made = quarantine(store, workspace, draft(name, key, checks=(FAILED,)))
        assert not workspace.root.exists()
        time.sleep(0.002)
        return made

    return hold


def _write(store: Store, key: str, data: bytes) -> None:
    assert store.backend.swap(key, data, store.backend.read(key))


class _Killed(BaseException):
    pass


# --- commit -------------------------------------------------------------------------------------


def test_versions_are_unique_and_sorted_by_time() -> None:
    moment = datetime(2026, 11, 21, 2, 15, 30, 123_456, UTC)
    version = new_version(moment)
    assert re.fullmatch(r"20261121-021530-123-[0-9a-f]{4}", version)
    assert len({new_version(moment) for _ in range(20)}) > 10
    later = new_version(moment.replace(microsecond=124_000))
    assert max(version, later) == later


def test_data_manifest_and_reference_in_this_order(
    place: Store, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader's view: nothing until the manifest, and then everything."""
    steps: list[str] = []
    for name in ("put_file", "create", "swap"):
        call = getattr(place.backend, name)

        def noted(key: str, *rest: Any, _call: Any = call) -> Any:
            steps.append(key.split("/", maxsplit=1)[0])
            shown = [m for m in Store(place.address).manifests() if m.name == "clean"]
            if key.startswith("versions/"):
                assert not shown
            elif key.startswith("refs/"):
                assert len(shown) == 1 and not place.damage(shown[0])
            return _call(key, *rest)

        monkeypatch.setattr(place.backend, name, noted)
    seal(place)
    assert [step for step in steps if step != "leases"] == ["versions"] * 3 + ["refs"]


def test_a_store_that_keeps_half_of_what_it_is_given(
    place: Store, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workspace stays, and the same command goes on from it."""
    put_file = place.backend.put_file
    monkeypatch.setattr(
        place.backend,
        "put_file",
        lambda key, source: None if key.endswith("a.txt") else put_file(key, source),
    )
    with pytest.raises(StoreUnreachable, match="did not keep what it was given") as caught:
        seal(place)
    assert "part/a.txt: missing" in str(caught.value) and place.address in str(caught.value)
    assert "expected 2 whole files" in str(caught.value)
    assert place.versions("clean") == []
    assert place.backend.sizes("versions") == {}
    monkeypatch.undo()
    with place.building("clean", KEY) as workspace:
        assert len(workspace.entries()) == 2
    assert place.find("clean", KEY) is None
    made = seal(place)
    assert place.find("clean", KEY) == made and verify(place, deep=True) == []


def _seal_it_later(store: Store, winner: Manifest) -> None:
    """Let the winner's reference appear just before that of the next build would."""
    key, swap = layout.recipe_key(winner.name, winner.fingerprint), store.backend.swap
    store.backend.delete(key)

    def race(key_: str, data: bytes, expected: bytes | None) -> bool:
        if key_ == key and expected is None:
            store.backend.create(key, winner.version.encode())
        return swap(key_, data, expected)

    store.backend.swap = race  # type: ignore[method-assign]


def test_the_loser_with_other_content_is_kept_to_be_looked_at(place: Store, seal: Seal) -> None:
    winner = seal(place, text="one")
    _seal_it_later(place, winner)
    assert seal(place, text="two") == winner
    assert len(place.versions("clean")) == 2
    assert place.find("clean", KEY) == winner


def test_the_loser_with_the_same_content_is_buried(place: Store, seal: Seal) -> None:
    winner = seal(place)
    _seal_it_later(place, winner)
    assert seal(place) == winner
    assert place.versions("clean") == [winner.version]
    (stone,) = place.backend.children("tombstones/clean")
    why = json.loads(place.backend.read(f"tombstones/clean/{stone}") or b"")["why"]
    assert why == f"the same content as {winner.label}, which was sealed first"
    assert len(place.backend.sizes(f"versions/clean/{stone[:-5]}/data")) == 0


# --- quarantine ---------------------------------------------------------------------------------


def test_what_is_in_quarantine_is_no_artifact(place: Store, hold: Callable[..., Manifest]) -> None:
    held = hold(place)
    assert quarantined(place) == quarantined(place, "clean") == [held]
    assert quarantined(place, "dedup") == []
    assert held.checks == (FAILED,)
    assert (place.folder(held) / "a.json").read_text() == '"held"\n'
    assert place.damage(held) == []
    assert place.find("clean", KEY) is None and place.latest("clean") is None
    assert place.versions("clean") == list(place.manifests()) == list(place.scan()) == []
    for reference in ("clean", held.label, f"clean@{held.version[:9]}"):
        with pytest.raises(UnknownArtifact):
            place.resolve(reference)
    assert verify(place, deep=True) == []


def test_builds_in_quarantine_by_name_then_oldest_first(
    place: Store, hold: Callable[..., Manifest]
) -> None:
    dedup, clean, again = hold(place, "dedup", "0"), hold(place), hold(place, text="again")
    assert quarantined(place) == [clean, again, dedup]
    assert find_quarantined(place, KEY) == again
    equal = hold(place, "a-clean")  # another instance of the same stage
    assert find_quarantined(place, KEY) == equal
    assert find_quarantined(place, "other") is None


def test_what_cannot_be_read_in_quarantine_is_left_out(
    place: Store, hold: Callable[..., Manifest]
) -> None:
    one, two = hold(place), hold(place)
    _write(place, layout.quarantine_key("clean", two.version), b"{")
    assert quarantined(place) == [one]
    newer = one.model_copy(update={"schema_version": 99}).to_json()
    _write(place, layout.quarantine_key("clean", one.version), newer)
    with pytest.raises(RequestError, match="newer phusa"):  # not to be built over
        quarantined(place)


def test_a_damaged_build_in_quarantine_is_not_found(
    place: Store, hold: Callable[..., Manifest]
) -> None:
    one, two = hold(place), hold(place)
    place.backend.delete(layout.data_key("clean", two.version))
    assert find_quarantined(place, KEY) == one


def test_a_release_seals_the_same_version(place: Store, hold: Callable[..., Manifest]) -> None:
    held = hold(place)
    made = release(place, held, [HOLDS])
    assert made == held.model_copy(update={"checks": (HOLDS,)})
    assert place.find("clean", KEY) == place.resolve("clean") == made
    assert quarantined(place) == []
    assert verify(place, deep=True) == []


def test_a_release_that_was_killed_is_ended_by_the_next(
    place: Store, hold: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the checks are others by then."""
    held = hold(place)
    create = place.backend.create

    def killed(key: str, data: bytes) -> bool:
        create(key, data)
        raise _Killed

    monkeypatch.setattr(place.backend, "create", killed)
    with pytest.raises(_Killed):
        release(place, held, [HOLDS])
    monkeypatch.undo()
    assert place.find("clean", KEY) is None and find_quarantined(place, KEY) == held
    made = release(place, held, [])
    assert made.checks == (HOLDS,) and made.version == held.version
    assert place.find("clean", KEY) == made and quarantined(place) == []


def test_a_release_adopts_what_was_built_meanwhile(
    place: Store, hold: Callable[..., Manifest], seal: Seal
) -> None:
    held = hold(place)
    made = seal(place)
    assert release(place, held, [HOLDS]) == made
    assert place.find("clean", KEY) == made


# --- taking away --------------------------------------------------------------------------------


def test_a_version_that_is_withdrawn_is_never_sealed(
    place: Store, hold: Callable[..., Manifest]
) -> None:
    held = hold(place)
    assert withdraw(place, "clean", held.version, "too old")
    assert withdraw(place, "clean", held.version, "too old")  # again is fine
    assert place.unsealed("clean") == [] and quarantined(place) == []
    assert place.backend.sizes(layout.data_key("clean", held.version)) == {}
    with pytest.raises(UnknownArtifact, match="was collected by gc or taken down"):
        place.manifest("clean", held.version)
    with pytest.raises(DamagedArtifact, match="was taken by gc at this moment"):
        release(place, held, [HOLDS])


def test_what_is_sealed_is_not_withdrawn(place: Store, seal: Seal) -> None:
    made = seal(place)
    assert not withdraw(place, "clean", made.version, "too old")
    assert place.resolve(made.label) == made and verify(place, deep=True) == []


def test_a_burial_empties_only_its_own_reference(place: Store, seal: Seal) -> None:
    old = seal(place, text="old")
    new = seal(place, text="new", replace=True)
    bury(place, "clean", old.version, "by hand")
    assert place.find("clean", KEY) == new
    bury(place, "clean", new.version, "by hand")
    assert place.backend.read(layout.recipe_key("clean", KEY)) == b""
    assert place.find("clean", KEY) is None
    stone = json.loads(place.backend.read(layout.tombstone_key("clean", old.version)) or b"")
    assert stone["why"] == "by hand" and datetime.fromisoformat(stone["at"]).tzinfo is not None
    bury(place, "clean", old.version, "once more")
    again = json.loads(place.backend.read(layout.tombstone_key("clean", old.version)) or b"")
    assert again == stone  # the first reason stays


def test_a_version_with_an_unreadable_manifest_can_be_buried(place: Store, seal: Seal) -> None:
    made = seal(place)
    _write(place, layout.manifest_key("clean", made.version), b"{")
    bury(place, "clean", made.version, "by hand")
    assert place.backend.sizes(layout.data_key("clean", made.version)) == {}
    assert place.names() == ["clean"] and place.versions("clean") == []


def test_where_everything_lies(store: Store, seal: Seal, hold: Callable[..., Manifest]) -> None:
    """docs/storage.md and storage/layout.py say the same."""
    made, held = seal(store), hold(store, key="other")
    store.aliases.promote("clean", made.version, "prod", "", set)
    with store.building("clean", KEY):
        found = store.backend.sizes("").items()
        paths = {p for p, size in found if size and not p.startswith("work/")}
    assert paths == {
        f"versions/clean/{made.version}/data/part/a.txt",
        f"versions/clean/{made.version}/data/log.txt",
        f"versions/clean/{made.version}/manifest.json",
        f"versions/clean/{held.version}/data/a.json",
        f"quarantine/clean/{held.version}.json",
        f"refs/recipes/clean/{KEY}",
        "refs/aliases.json",
        f"leases/clean/{KEY}.json",
    }
    assert all(path.split("/")[0] in (layout.__doc__ or "") for path in paths)


def test_a_workspace_elsewhere_commits_too(
    place: Store, tmp_path: Path, draft: Callable[..., Draft]
) -> None:
    workspace = Workspace(tmp_path / "somewhere")
    workspace.write_json("a.json", 1)
    made = commit(place, workspace, draft())
    assert place.find("clean", KEY) == made and not workspace.root.exists()
