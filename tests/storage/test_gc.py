from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage import layout, lease
from storage.errors import DamagedArtifact, PhusaError, RequestError, UnknownArtifact
from storage.gc import Candidate, Collection, collect, plan_collection
from storage.lease import Lease
from storage.lineage import ancestors
from storage.manifest import CheckResult, Manifest
from storage.sealing import Draft, bury, commit, quarantine, release
from storage.store import Store
from storage.verify import verify
from storage.workspace import Workspace

Seal = Callable[..., Manifest]
NOW = timedelta(0)


@pytest.fixture(params=["local", "remote"])
def place(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue({"local": "store", "remote": "remote"}[request.param])
    return found


def _promote(store: Store, manifest: Manifest, alias: str = "prod") -> None:
    store.aliases.promote(manifest.name, manifest.version, alias, "", set)


def _labels(collection: Collection) -> list[str]:
    return [candidate.label for candidate in collection.candidates]


def _several(store: Store, seal: Seal, count: int, name: str = "clean", **of: Any) -> list[Any]:
    prefix = of.get("recipe", "demo")
    return [seal(store, name, f"{prefix}-{number}", **of) for number in range(count)]


def _data_bytes(store: Store) -> int:
    files = store.backend.sizes("versions").items()
    return sum(size for path, size in files if "/data/" in path)


@pytest.fixture
def hold(draft: Callable[..., Draft]) -> Callable[..., Manifest]:
    """Put a build into quarantine."""

    def hold(store: Store, fingerprint: str, text: str = "held", recipe: str = "demo") -> Manifest:
        with store.building("clean", fingerprint) as workspace:
            workspace.write_json("held.json", text)
            check = CheckResult(
                measure="growth",
                value=1,
                last=None,
                bounds={"max": 0},
                severity="block",
                passed=False,
                says="growth 1 is above max 0. Look.",
            )
            of_draft = dataclasses.replace(
                draft("clean", fingerprint, recipe=recipe), checks=(check,)
            )
            made = quarantine(store, workspace, of_draft)
        time.sleep(0.002)
        return made

    return hold


# --- what stays ---------------------------------------------------------------------------------


def test_the_last_of_each_name_and_recipe_stay(place: Store, seal: Seal) -> None:
    demo = _several(place, seal, 4)
    web = _several(place, seal, 2, recipe="web")
    crawls = _several(place, seal, 3, "crawl")
    planned = plan_collection(place, keep=2)
    assert _labels(planned) == [demo[0].label, demo[1].label, crawls[0].label]
    assert planned.kept == {"alias": 0, "last 2": 6, "live build": 0, "ancestor": 0}
    assert {candidate.why for candidate in planned.candidates} == {"older than the last 2"}
    assert _labels(plan_collection(place, keep=4)) == []
    assert _labels(plan_collection(place, keep=1)) == sorted(
        m.label for m in [*demo[:3], web[0], *crawls[:2]]
    )


def test_what_an_alias_means_stays_and_what_it_meant_goes(place: Store, seal: Seal) -> None:
    one, two, three, last = _several(place, seal, 4)
    _promote(place, one)
    _promote(place, two)
    _promote(place, three, "best")
    planned = plan_collection(place, keep=1)
    assert _labels(planned) == [one.label]
    assert planned.kept == {"alias": 2, "last 1": 1, "live build": 0, "ancestor": 0}
    _promote(place, last)
    assert _labels(plan_collection(place, keep=1)) == [one.label, two.label]


def test_all_ancestors_of_what_stays_stay(place: Store, seal: Seal) -> None:
    crawl, unused, newer = _several(place, seal, 3, "crawl")
    clean = seal(place, inputs=(crawl,))
    dedup = seal(place, "dedup", inputs=(clean,))
    seal(place, fingerprint="newer", inputs=(newer,))
    planned = plan_collection(place, keep=1)
    assert _labels(planned) == [unused.label]
    assert planned.kept["ancestor"] == 2  # clean and crawl, for the sake of dedup
    assert collect(place, keep=1).candidates == planned.candidates
    assert verify(place, deep=True) == []
    tree = [node.label for _, node in ancestors(place, dedup).walk()]
    assert tree == [dedup.label, clean.label, crawl.label]


def test_ancestors_stay_through_versions_that_are_gone(place: Store, seal: Seal) -> None:
    crawl, _ = _several(place, seal, 2, "crawl")
    clean = seal(place, inputs=(crawl,))
    seal(place, "dedup", inputs=(clean,))
    bury(place, "clean", clean.version, "by hand")
    seal(place, fingerprint="newer")
    assert _labels(plan_collection(place, keep=1)) == []
    place.backend.delete(layout.manifest_key("clean", clean.version))
    assert _labels(plan_collection(place, keep=1)) == [crawl.label]


def test_what_a_live_build_reads_stays_with_its_ancestors(place: Store, seal: Seal) -> None:
    crawl, other, _ = _several(place, seal, 3, "crawl")
    clean = seal(place, inputs=(crawl,))
    seal(place, fingerprint="newer")
    with place.building("dedup", "key", [clean.label]):
        planned = plan_collection(place, keep=1)
        assert _labels(planned) == [other.label]
        assert (planned.kept["live build"], planned.kept["ancestor"]) == (1, 1)
        assert collect(place, keep=1).candidates == planned.candidates
    assert _labels(plan_collection(place, keep=1)) == [clean.label, crawl.label]


def test_what_a_dead_build_read_goes(place: Store, seal: Seal) -> None:
    old, _ = _several(place, seal, 2)
    dead = Lease("t", "w", "h", 1, since=0, expires=time.time() - 1, uses=(old.label,))
    place.backend.create(layout.lease_key("dedup", "key"), dead.to_json())
    assert _labels(plan_collection(place, keep=1)) == [old.label]


def test_damaged_versions_do_not_count_among_the_last(place: Store, seal: Seal) -> None:
    whole, torn, newest = _several(place, seal, 3)
    place.backend.delete(f"{layout.data_key('clean', torn.version)}/part/a.txt")
    assert _labels(plan_collection(place, keep=2)) == [torn.label]
    (candidate,) = collect(place, keep=2).candidates
    assert (candidate.label, candidate.why) == (torn.label, "damaged")
    assert place.versions("clean") == [whole.version, newest.version]


# --- taking -------------------------------------------------------------------------------------


def test_data_goes_and_the_manifest_stays(place: Store, seal: Seal) -> None:
    old, new = _several(place, seal, 2)
    key = "demo-0"
    assert place.find("clean", key) == old
    before = _data_bytes(place)
    taken = collect(place, keep=1)
    assert taken.candidates == (
        Candidate("clean", old.version, "older than the last 1", old.num_bytes, sealed=True),
    )
    assert taken.num_bytes == old.num_bytes == before - _data_bytes(place)
    assert place.versions("clean") == [new.version]
    assert place.find("clean", key) is None
    assert place.manifest("clean", old.version) == old
    with pytest.raises(UnknownArtifact, match=f"{old.label} was collected by gc"):
        place.resolve(old.label)
    assert place.aliases.read().condemned == {}
    again = seal(place, fingerprint=key)  # the same recipe, built again
    assert place.find("clean", key) == again
    assert _labels(collect(place, keep=3)) == []


def test_looking_changes_nothing(place: Store, seal: Seal, hold: Callable[..., Manifest]) -> None:
    _several(place, seal, 3)
    hold(place, "one"), hold(place, "two")

    def everything() -> dict[str, bytes | None]:
        paths = [p for p in place.backend.sizes("") if not p.startswith("work/")]
        return dict(zip(paths, place.backend.read_all(paths), strict=True))

    before = everything()
    planned = plan_collection(place, keep=1, grace=NOW)
    assert len(planned.candidates) == 3
    assert everything() == before


def test_a_rebuilt_reference_is_left_alone(place: Store, seal: Seal) -> None:
    """gc takes a version whose fingerprint has been built again by force."""
    old = seal(place, text="old")
    new = seal(place, text="new", replace=True)
    assert _labels(collect(place, keep=1)) == [old.label]
    assert place.find("clean", "f" * 64) == new


def test_the_reference_to_another_instance_is_emptied(place: Store, seal: Seal) -> None:
    old = seal(place, "lora", "one", stage="finetune")
    new = seal(place, "lora", "two", stage="finetune")
    assert _labels(collect(place, keep=1)) == [old.label]
    assert place.backend.read(layout.recipe_key("finetune", "one")) == b""
    assert place.find("finetune", "one") is None and place.find("finetune", "two") == new
    place.backend.swap(layout.recipe_key("finetune", "one"), old.label.encode(), b"")
    collect(place, keep=1)  # as if whoever published it had been killed before it looked again
    assert place.backend.read(layout.recipe_key("finetune", "one")) == b""
    assert place.find("finetune", "two") == new


# --- what was never sealed ----------------------------------------------------------------------


def _attempt(store: Store, version: str, name: str = "clean") -> str:
    store.backend.create(f"{layout.data_key(name, version)}/a.txt", b"half")
    return f"{name}@{version}"


def _version(age: timedelta) -> str:
    return f"{datetime.now(UTC) - age:%Y%m%d-%H%M%S}-123-abcd"


def test_dead_attempts_go_after_their_grace(place: Store, seal: Seal) -> None:
    sealed = seal(place)
    young = _attempt(place, _version(timedelta(hours=23)))
    old = _attempt(place, _version(timedelta(hours=25)))
    odd = _attempt(place, "no-version", "pretrain")
    planned = plan_collection(place, keep=1)
    assert planned.candidates == (
        Candidate("clean", old[6:], "never sealed", 4, sealed=False),
        Candidate("pretrain", "no-version", "never sealed", 4, sealed=False),
    )
    assert collect(place, keep=1).num_bytes == 8
    assert plan_collection(place, keep=1).candidates == ()
    assert _labels(plan_collection(place, keep=1, grace=timedelta(hours=22))) == [young]
    assert place.versions("clean") == [sealed.version]
    assert place.unsealed("clean") == [young[6:]] and place.unsealed("pretrain") == []
    assert odd.startswith("pretrain@")


def test_an_attempt_that_was_taken_can_never_be_sealed(
    place: Store, tmp_path: Path, draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process slept for longer than the grace: it goes on under another version."""
    workspace = Workspace(tmp_path / "slow")
    workspace.write_json("a.json", "slept")
    put_file, taken = place.backend.put_file, list[str]()

    def sleep_once(key: str, source: Path) -> None:
        put_file(key, source)
        if not taken:
            taken.extend(_labels(collect(Store(place.address), keep=1, grace=NOW)))

    monkeypatch.setattr(place.backend, "put_file", sleep_once)
    made = commit(place, workspace, draft())
    assert len(taken) == 1 and taken[0] != made.label
    assert place.versions("clean") == [made.version]
    assert verify(place, deep=True) == []
    (left,) = place.backend.children("tombstones/clean")
    assert left == f"{taken[0][6:]}.json"


def test_one_that_is_sealed_at_that_moment_stays(
    place: Store,
    tmp_path: Path,
    draft: Callable[..., Draft],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    label = _attempt(place, _version(timedelta(days=2)))
    workspace = Workspace(tmp_path / "slow")
    workspace.write_json("a.json", "slept")
    made = commit(place, workspace, draft())
    data = made.model_copy(update={"version": label[6:]}).to_json()
    create = place.backend.create

    def sealed_first(key: str, data_: bytes) -> bool:
        if key == layout.manifest_key("clean", label[6:]):
            create(key, data)
        return create(key, data_)

    monkeypatch.setattr(place.backend, "create", sealed_first)
    assert _labels(plan_collection(place, keep=1)) == [label]
    assert _labels(collect(place, keep=1)) == []
    monkeypatch.undo()
    assert place.versions("clean") == [label[6:], made.version]
    assert place.backend.sizes(layout.data_key("clean", label[6:])) == {"a.txt": 4}


def test_the_newest_in_quarantine_stays(
    place: Store, seal: Seal, hold: Callable[..., Manifest]
) -> None:
    old, new = hold(place, "one"), hold(place, "two")
    web = hold(place, "three", recipe="web")
    seal(place)
    assert _labels(plan_collection(place, keep=1)) == []  # none is a day old
    taken = collect(place, keep=1, grace=NOW)
    assert taken.candidates == (
        Candidate(
            "clean",
            old.version,
            "older than the newest in quarantine",
            old.num_bytes,
            sealed=False,
        ),
    )
    kept = place.backend.sizes("quarantine")
    assert sorted(kept) == [f"clean/{new.version}.json", f"clean/{web.version}.json"]
    assert release(place, new, ()).version == new.version
    assert verify(place, deep=True) == []


def test_a_build_from_quarantine_that_gc_takes_is_not_released(
    place: Store, hold: Callable[..., Manifest]
) -> None:
    old, _ = hold(place, "one"), hold(place, "two")
    assert _labels(collect(place, keep=1, grace=NOW)) == [old.label]
    with pytest.raises(DamagedArtifact, match="was taken by gc at this moment"):
        release(place, old, ())
    assert place.versions("clean") == []


# --- ends that come early -----------------------------------------------------------------------


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["create", "swap of the reference", "delete", "some of the data"])
def test_a_gc_that_was_killed_is_ended_by_the_next(
    place: Store, seal: Seal, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old, new = _several(place, seal, 2)
    backend = place.backend
    create, swap, delete = backend.create, backend.swap, backend.delete

    def killed(*args: Any) -> None:
        raise _Killed

    def killed_at_the_reference(key: str, data: bytes, expected: bytes | None) -> bool:
        if key.startswith("refs/recipes/"):
            raise _Killed
        return swap(key, data, expected)

    def killed_half_way(key: str) -> None:
        if key.endswith("/data"):
            delete(f"{key}/log.txt")
            raise _Killed
        delete(key)

    monkeypatch.setattr(backend, "create", killed if step == "create" else create)
    if step == "swap of the reference":
        monkeypatch.setattr(backend, "swap", killed_at_the_reference)
    elif step == "delete":
        monkeypatch.setattr(backend, "delete", killed)
    elif step == "some of the data":
        monkeypatch.setattr(backend, "delete", killed_half_way)
    with pytest.raises(_Killed):
        collect(place, keep=1)
    monkeypatch.undo()

    assert place.resolve("clean") == new and verify(place) == []
    assert place.find("clean", "demo-0") == (old if step == "create" else None)
    left = plan_collection(place, keep=1)
    assert _labels(left) == [old.label]
    if step != "create":
        assert left.candidates[0].why == "left by a gc that was killed"
    size = _data_bytes(place)
    assert collect(place, keep=1).num_bytes == size - _data_bytes(place) == left.num_bytes
    assert _data_bytes(place) == new.num_bytes
    assert place.aliases.read().going() == set()
    assert plan_collection(place, keep=1).candidates == ()


@pytest.mark.parametrize("what", ["manifest", "newer manifest", "register"])
def test_nothing_is_taken_where_not_all_can_be_read(place: Store, seal: Seal, what: str) -> None:
    old, new = _several(place, seal, 2)
    newer = new.model_copy(update={"schema_version": 99}).to_json()
    key, data = {
        "manifest": (layout.manifest_key("clean", new.version), b"{"),
        "newer manifest": (layout.manifest_key("clean", new.version), newer),
        "register": (layout.ALIASES, b"{"),
    }[what]
    assert place.backend.swap(key, data, place.backend.read(key))
    error: type[PhusaError] = RequestError if what == "newer manifest" else DamagedArtifact
    for gc in (plan_collection, collect):
        with pytest.raises(error):
            gc(place, keep=1)
    assert place.damage(old) == place.damage(new) == []


# --- at the same moment -------------------------------------------------------------------------


def test_a_build_that_begins_meanwhile_keeps_its_inputs(
    place: Store, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is written after gc looked at the leases and before it marked what goes."""
    crawl, _ = _several(place, seal, 2, "crawl")
    old, _ = _several(place, seal, 2, inputs=(crawl,))
    swap, building = place.backend.swap, place.building("dedup", "key", [old.label])
    begun: list[Workspace] = []

    def begin_first(key: str, data: bytes, expected: bytes | None) -> bool:
        if key == layout.ALIASES and not begun:
            monkeypatch.setattr(place.backend, "swap", swap)
            begun.append(building.__enter__())
        return swap(key, data, expected)

    monkeypatch.setattr(place.backend, "swap", begin_first)
    taken = collect(place, keep=1)
    assert begun and taken.candidates == ()
    assert place.damage(old) == place.damage(crawl) == []
    assert place.aliases.read().condemned == {}
    building.__exit__(None, None, None)


def test_a_build_that_begins_later_is_told_what_is_being_taken(place: Store, seal: Seal) -> None:
    old, _ = _several(place, seal, 2)
    place.aliases.condemn("run", lambda register: [old.label], timedelta(days=1))
    with (
        pytest.raises(UnknownArtifact, match=f"{old.label} being collected by gc") as caught,
        place.building("dedup", "key", [old.label]),
    ):
        raise AssertionError("built")
    assert "phusa gc --yes" in str(caught.value)
    assert lease.live(place.backend) == {}
    with place.building("dedup", "key", ["clean@other"]):
        pass


def test_a_promotion_at_the_same_moment_keeps_its_version(
    place: Store, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = _several(place, seal, 2)
    swap = place.backend.swap

    def promote_first(key: str, data: bytes, expected: bytes | None) -> bool:
        monkeypatch.setattr(place.backend, "swap", swap)
        _promote(place, old)
        return swap(key, data, expected)

    monkeypatch.setattr(place.backend, "swap", promote_first)
    assert collect(place, keep=1).candidates == ()
    assert place.resolve("clean@prod") == old and place.damage(old) == []


def test_two_at_once_take_each_version_once_and_leave_no_mark(place: Store, seal: Seal) -> None:
    _several(place, seal, 4)
    backend = place.backend
    other = Store(place.address)
    create, once = backend.create, list[Collection]()

    def second(key: str, data: bytes) -> bool:
        if not once:
            once.append(Collection((), {}))
            once.append(collect(other, keep=1))
        return create(key, data)

    backend.create = second  # type: ignore[method-assign]
    collect(place, keep=1)
    assert len(once[1].candidates) == 3
    assert len(place.versions("clean")) == 1
    assert place.aliases.read().condemned == {}
    assert verify(place, deep=True) == []
