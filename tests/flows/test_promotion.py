"""Promotion: refused with all reasons at once, passed over with one that is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.promotion import promote, promote_together, rollback
from storage import takedown
from storage.errors import DamagedArtifact, RequestError, UnknownArtifact
from storage.layout import mark_key
from storage.manifest import CheckResult, Manifest, RunRef
from storage.store import Store
from storage.takedown import Takedown
from tests.flows.conftest import Cli
from tests.flows.sealed import seal

SCORE = "validation_bits_per_byte"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def _check(severity: str, passed: bool) -> CheckResult:
    says = f"epochs 20 is above max 16 (last: 3). Train on more, {severity}. Or set other bounds."
    return CheckResult(
        measure="epochs",
        value=20,
        last=3,
        bounds={"max": 16},
        severity="block" if severity == "block" else "warn",
        passed=passed,
        says="epochs 3 keeps max 16" if passed else says,
    )


def _model(store: Store, version: str, score: float | None = None, **says: Any) -> Manifest:
    stats = {} if score is None else {SCORE: score}
    files = {"model.safetensors": version.encode()}
    return seal(Path(store.address), "pretrain", version, files, stats=stats, **says)


def _shard(store: Store, version: str) -> Manifest:
    return seal(Path(store.address), "shard", version, {"train": version.encode()})


def _mark(store: Store, manifest: Manifest, value: str) -> None:
    one = Takedown(id=value, kind="domain", value=value, why="", by="me", at=datetime.now(UTC))
    takedown.mark(store.backend, manifest, one, tokens=7)


def _history(store: Store) -> list[tuple[str, str]]:
    moves = store.aliases.read().moves.get("pretrain", {}).get("prod", [])
    return [(move.version, move.why) for move in moves]


# --- passing ------------------------------------------------------------------------------------


def test_the_first_is_compared_with_nothing(store: Store) -> None:
    made = _model(store, "1", checks=(_check("warn", True),))
    done = promote(store, "pretrain", "prod")
    assert (done.label, done.alias, done.before, done.notes) == (made.label, "prod", None, ())
    assert store.resolve("pretrain@prod") == made


@pytest.mark.parametrize("score", [0.9, 1.0])
def test_a_better_or_equal_score_passes_and_is_told(store: Store, score: float) -> None:
    _model(store, "1", 1.0)
    _model(store, "2", score)
    promote(store, "pretrain@1", "prod")
    done = promote(store, "pretrain@2", "prod")
    assert done.before == "pretrain@1"
    assert done.notes == (f"{SCORE}: {score:.4f}, pretrain@1 has 1.0000",)
    assert store.resolve("pretrain@prod").version == "2"


def test_other_aliases_do_not_stand_in_the_way(store: Store) -> None:
    _model(store, "1", 1.0)
    _model(store, "2", 2.0)
    promote(store, "pretrain@1", "prod")
    assert promote(store, "pretrain@2", "dev").before is None


def test_stages_without_a_score_are_not_compared(store: Store) -> None:
    for version in "12":
        seal(Path(store.address), "clean", version, {"a": version.encode()}, stats={SCORE: 1})
        assert promote(store, f"clean@{version}", "prod").notes == ()
    seal(Path(store.address), "elsewhere", "1", {"a": b""})
    promote(store, "elsewhere", "prod")  # a stage that this phusa does not know


def test_the_present_holder_again_is_no_move(store: Store) -> None:
    _model(store, "1", 1.0)
    _model(store, "2", 0.9)
    promote(store, "pretrain@1", "prod")
    promote(store, "pretrain@2", "prod", "a reason")
    done = promote(store, "pretrain@prod", "prod", "another")
    assert (done.label, done.before, done.notes) == ("pretrain@2", "pretrain@2", ())
    assert _history(store) == [("1", ""), ("2", "a reason")]
    assert rollback(store, "pretrain", "prod") == "1"


def test_held_out_sets_that_differ_are_told(store: Store) -> None:
    one, other = _shard(store, "1"), _shard(store, "2")
    same = seal(Path(store.address), "shard", "3", {"train": b"1"})
    assert same.digest == one.digest
    for version, shard in {"1": one, "2": same, "3": other}.items():
        _model(store, version, 1.0, inputs=(shard,))
    promote(store, "pretrain@1", "prod")
    assert len(promote(store, "pretrain@2", "prod").notes) == 1
    told = promote(store, "pretrain@3", "prod").notes
    assert told[1] == "the two were measured on held-out sets of different inputs"


def test_a_holder_that_another_stage_made_is_not_compared_with(store: Store) -> None:
    root = Path(store.address)
    seal(root, "mine", "1", {"a": b"1"}, stage="finetune", stats={"held_out_bits_per_byte": 0.1})
    seal(root, "mine", "2", {"a": b"2"}, stage="pretrain", stats={SCORE: 1.0})
    promote(store, "mine@1", "prod")
    (note,) = promote(store, "mine@2", "prod").notes
    assert "not compared with mine@1" in note


def test_a_holder_of_which_nothing_is_left_is_not_compared_with(store: Store) -> None:
    _model(store, "1", 1.0)
    _model(store, "2", 2.0)
    promote(store, "pretrain@1", "prod")
    manifest = Path(store.address) / "versions/pretrain/1/manifest.json"
    for content in (b"{", None):
        manifest.unlink() if content is None else manifest.write_bytes(content)
        store.aliases.replace("pretrain", "2", "1", "again")
        assert promote(store, "pretrain@2", "prod").before is None


# --- refused ------------------------------------------------------------------------------------


def test_a_worse_score_is_refused(store: Store) -> None:
    _model(store, "1", 1.0)
    _model(store, "2", 1.0001)
    promote(store, "pretrain@1", "prod")
    with pytest.raises(RequestError) as caught:
        promote(store, "pretrain@2", "prod")
    assert str(caught.value) == (
        "pretrain@2: found validation_bits_per_byte 1.0001; expected at most 1.0000, as pretrain@1 "
        'has, which is `prod` now. --override "why" passes over it; the reason is kept.'
    )
    assert caught.value.exit_code == 2 and _history(store) == [("1", "")]


def test_a_missing_score_is_worse_than_any(store: Store) -> None:
    _model(store, "1", 1.0)
    _model(store, "2")
    _model(store, "3")
    promote(store, "pretrain@1", "prod")
    with pytest.raises(RequestError, match="found validation_bits_per_byte unknown; expected at"):
        promote(store, "pretrain@2", "prod")
    promote(store, "pretrain@2", "prod", "trust me")
    promote(store, "pretrain@3", "prod")  # as unknown as the other
    told = promote(store, "pretrain@1", "prod").notes
    assert told == (f"{SCORE}: 1.0000, pretrain@3 has unknown",)


@pytest.mark.parametrize("severity", ["block", "warn"])
def test_a_check_that_does_not_hold_is_refused(store: Store, severity: str) -> None:
    _model(store, "1", checks=(_check("warn", True), _check(severity, False)))
    with pytest.raises(RequestError) as caught:
        promote(store, "pretrain", "prod")
    assert str(caught.value) == (
        "pretrain@1: found a check that does not hold: epochs 20 is above max 16 (last: 3); "
        'expected all its checks to hold. --override "why" passes over it; the reason is kept.'
    )


def test_content_that_was_taken_down_is_refused(store: Store) -> None:
    made = _model(store, "1")
    _mark(store, made, "a.example")
    with pytest.raises(RequestError) as caught:
        promote(store, "pretrain", "prod")
    assert str(caught.value).startswith(
        "pretrain@1: found a mark that it has seen content that was taken down, domain a.example; "
        "expected one that has not. Run the recipe again and promote what it makes."
    )


def test_a_mark_that_cannot_be_read_is_never_passed_over(store: Store) -> None:
    _model(store, "1")
    store.backend.create(mark_key("pretrain", "1", "t1"), b"{")
    with pytest.raises(DamagedArtifact, match="expected a mark"):
        promote(store, "pretrain", "prod", "never mind")


def test_all_reasons_at_once_and_one_override_for_all(store: Store) -> None:
    _model(store, "1", 1.0)
    promote(store, "pretrain@1", "prod")
    bad = _model(store, "2", 2.0, checks=(_check("block", False), _check("warn", False)))
    _mark(store, bad, "a.example")
    _mark(store, bad, "b.example")
    for override in (None, ""):  # an empty reason is none
        with pytest.raises(RequestError) as caught:
            promote(store, "pretrain@2", "prod", override)
        said = [fault.found for fault in caught.value.faults]
        assert len(said) == len(str(caught.value).splitlines()) == 5
        assert said[0] == f"{SCORE} 2.0000"
        assert [text.startswith("a check") for text in said] == [False, True, True, False, False]
        assert said[3].endswith("domain a.example") and said[4].endswith("domain b.example")
    promote(store, "pretrain@2", "prod", "the board wants it")
    assert _history(store) == [("1", ""), ("2", "the board wants it")]


@pytest.mark.parametrize("harm", ["missing", "truncated", "collected"])
def test_damage_is_never_passed_over(store: Store, harm: str) -> None:
    _model(store, "1")
    data = Path(store.address) / "versions/pretrain/1/data/model.safetensors"
    if harm == "missing":
        data.unlink()
    elif harm == "truncated":
        data.write_bytes(b"")
    said = {
        "missing": "model.safetensors: missing",
        "truncated": "model.safetensors: 0 bytes, expected 1",
        "collected": "it was collected",
    }[harm]
    if harm == "collected":  # at the very moment
        whole, store.is_whole = store.is_whole, lambda manifest: False  # type: ignore[method-assign]
        assert whole(store.manifest("pretrain", "1"))
    with pytest.raises(DamagedArtifact, match="--force") as caught:
        promote(store, "pretrain@1", "prod", "never mind")
    assert said in str(caught.value)
    assert _history(store) == []


def test_what_gc_is_taking_is_not_promoted(store: Store) -> None:
    """Nor what was made from it."""
    shard = _shard(store, "1")
    _model(store, "1", inputs=(shard,))
    store.aliases.condemn("run", lambda register: [shard.label], timedelta(days=1))
    with pytest.raises(RequestError, match="shard@1 being collected"):
        promote(store, "pretrain", "prod", "never mind")


@pytest.mark.parametrize("alias", ["latest", "7", "Prod"])
def test_bad_aliases_are_refused_first(store: Store, alias: str) -> None:
    with pytest.raises(RequestError, match="lower-case letters"):
        promote(store, "nothing", alias)


def test_all_move_together_or_none(store: Store) -> None:
    shard = _shard(store, "1")
    old = _model(store, "1", 1.0)
    first = promote_together(store, [shard.label, old.label], "prod")
    assert [moved.label for moved in first] == [shard.label, old.label]
    newer = _shard(store, "2")
    worse = _model(store, "2", 2.0)
    with pytest.raises(RequestError) as caught:
        promote_together(store, [newer.label, worse.label], "prod")
    (fault,) = caught.value.faults
    assert fault.where == worse.label
    assert store.aliases.read().held() == {shard.label, old.label}
    better = _model(store, "3", 0.5)
    moved = promote_together(store, [shard.label, better.label], "prod")
    assert [m.label for m in moved] == [better.label]  # what it means already does not move
    assert promote_together(store, [worse.label], "") == []
    assert store.aliases.read().held() == {shard.label, better.label}


def test_what_is_not_there(store: Store) -> None:
    with pytest.raises(UnknownArtifact, match="no artifact pretrain@7"):
        promote(store, "pretrain@7", "prod")


# --- back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["data", "manifest", "unreadable"])
def test_a_rollback_goes_to_the_last_that_is_whole(store: Store, harm: str) -> None:
    for version in "123":
        _model(store, version)
        promote(store, f"pretrain@{version}", "prod")
    folder = Path(store.address) / "versions/pretrain/2"
    if harm == "data":
        (folder / "data/model.safetensors").unlink()
    elif harm == "manifest":
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_bytes(b"{")
    assert rollback(store, "pretrain", "prod") == "1"
    with pytest.raises(UnknownArtifact, match="nothing else left"):
        rollback(store, "pretrain", "prod")


# --- on the command line ------------------------------------------------------------------------


def test_commands_answer_people_and_programs(store: Store, cli: Cli) -> None:
    _model(store, "1", 1.0)
    _model(store, "2", 2.0)
    place = ("--store", store.address)
    said = cli("promote", "pretrain@1", "prod", *place)
    assert (said.code, said.out) == (0, "pretrain@1 is prod now (before: none)\n")
    said = cli("promote", "pretrain@1", "prod", *place)
    assert (said.code, said.out) == (0, "pretrain@1 is prod already\n")
    said = cli("promote", "pretrain@2", "prod", *place)
    assert said.code == 2 and "the request was refused" in said.err
    assert "expected at most 1.0000, as pretrain@1 has" in said.err
    said = cli("promote", "pretrain@2", "prod", "--override", "why not", *place)
    assert said.out.splitlines() == [
        "pretrain@2 is prod now (before: pretrain@1)",
        f"{SCORE}: 2.0000, pretrain@1 has 1.0000",
    ]
    assert _history(store)[-1] == ("2", "why not")
    assert cli("rollback", "pretrain", "prod", *place).out == "pretrain@1 is prod again\n"
    said = cli("rollback", "pretrain", "prod", *place)
    assert said.code == 2 and "nothing else left in its history" in said.err


def test_commands_answer_in_json(store: Store, cli: Cli) -> None:
    _model(store, "1", 1.0)
    _model(store, "2", 1.0)
    place = ("--store", store.address, "--json")
    assert json.loads(cli("promote", "pretrain@1", "dev", *place).out) == {
        "artifact": "pretrain@1",
        "alias": "dev",
        "before": None,
        "notes": [],
    }
    said = json.loads(cli("promote", "pretrain@2", "dev", *place).out)
    assert (said["before"], len(said["notes"])) == ("pretrain@1", 1)
    assert json.loads(cli("rollback", "pretrain", "dev", *place).out) == {
        "artifact": "pretrain@1",
        "alias": "dev",
    }


def test_an_alias_that_goes_to_another_recipe_says_so(store: Store) -> None:
    root = Path(store.address)
    for version, recipe in {"1": "demo", "2": "vi", "3": "vi"}.items():
        seal(root, "clean", version, {"a": b"1"}, run=RunRef(recipe=recipe, host="h"))
    promote(store, "clean@1", "prod")
    (note,) = promote(store, "clean@2", "prod").notes
    assert "demo" in note and "vi" in note
    assert promote(store, "vi/clean", "prod").notes == ()
