"""Whether a run fits the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.plan import Selection, Step, plan
from flows.preflight import Need, check_room, estimate
from flows.stages import STAGES
from storage.errors import NotEnoughRoom
from storage.layout import manifest_key
from storage.manifest import Manifest
from storage.sealing import bury
from storage.store import Store
from tests.conftest import recipe_of
from tests.flows.by_hand import recipe, seal
from tests.flows.conftest import Cli
from tests.site import TinySite

ALL = tuple(STAGES)
HUGE = 10**16


@pytest.fixture
def full(tmp_path: Path) -> Store:
    """One artifact of every stage: builds of 1000 bytes that took ten times that to work with."""
    store = Store(tmp_path / "store")
    for name in STAGES:
        seal(store, recipe(), name, "x" * 997, work_bytes=10_000, memory_bytes=5_000)
    return store


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What is free, to be set by a test."""
    free = {"disk": HUGE, "memory": HUGE}
    monkeypatch.setattr("flows.preflight.free_disk", lambda folder: free["disk"])
    monkeypatch.setattr("flows.preflight.free_memory", lambda: free["memory"])
    return free


def _steps(store: Store, *forced: str, **changes: object) -> list[Step]:
    return plan(recipe(**changes), store, Selection(force=forced))


def _needs(store: Store, steps: list[Step]) -> dict[str, Need]:
    return {need.instance: need for need in estimate(store, steps)}


# --- estimates ----------------------------------------------------------------------------------


def test_an_estimate_is_what_the_last_build_took(full: Store) -> None:
    (need,) = estimate(full, _steps(full, "finetune"))
    label = full.resolve("finetune").label
    assert need == Need("finetune", 10_000, 1_000, 5_000, basis=label)


def test_what_is_reused_or_given_needs_nothing(full: Store) -> None:
    assert estimate(full, _steps(full)) == []
    given = plan(recipe(), full, Selection(only=("shard",), force=("shard",)))
    assert [need.instance for need in estimate(full, given)] == ["shard"]


def test_a_first_run_has_no_estimate_and_passes(tmp_path: Path, machine: dict[str, int]) -> None:
    machine.update(disk=0, memory=0)
    store = Store(tmp_path)
    steps = plan(recipe(), store, Selection())
    assert estimate(store, steps) == []
    check_room(store, steps)


def test_what_may_run_is_counted_too(full: Store) -> None:
    """Downstream of a stage that runs nothing is certain."""
    assert list(_needs(full, _steps(full, dedup={"threshold": 0.7}))) == [
        "dedup", "tokenizer", "shard", "pretrain", "finetune",
    ]  # fmt: skip


def test_builds_of_an_older_phusa_count_with_their_bytes(full: Store) -> None:
    made = full.resolve("finetune")
    _edit(full, made, work_bytes=None, memory_bytes=None)
    (need,) = estimate(full, _steps(full, "finetune"))
    assert (need.work_bytes, need.memory_bytes) == (1_000, 0)


def test_needs_grow_with_the_inputs(full: Store) -> None:
    """A crawl of three times the bytes: so will be all that is made of it."""
    seal(full, recipe(), "crawl", "y" * 2997, work_bytes=10_000, memory_bytes=5_000)
    needs = _needs(full, _steps(full))
    assert "crawl" not in needs
    assert (needs["clean"].work_bytes, needs["clean"].kept_bytes) == (30_000, 3_000)
    assert needs["clean"].memory_bytes == 15_000
    assert needs["tokenizer"].work_bytes == 30_000  # through dedup, which grows itself
    assert needs["pretrain"].work_bytes == 30_000
    assert needs["pretrain"].memory_bytes == needs["finetune"].memory_bytes == 5_000  # batches


def test_needs_shrink_with_the_inputs(full: Store) -> None:
    seal(full, recipe(), "crawl", "y" * 497)
    assert _needs(full, _steps(full))["clean"].work_bytes == 5_000


def test_needs_are_told_by_instance(full: Store) -> None:
    other = {"vocab_size": 400}
    seal(full, recipe(tokenizer=other), "tokenizer", "z", instance="small", work_bytes=700)
    small = {"small": {"stage": "tokenizer", **other}}
    steps = _steps(full, "small", tokenizer={}, stages=small)
    assert {name: need.work_bytes for name, need in _needs(full, steps).items()} == {"small": 700}


def test_growth_weighs_all_inputs_of_a_stage(full: Store) -> None:
    """shard reads 1000 bytes of documents and 1000 of a tokenizer; the first triple."""
    seal(full, recipe(), "dedup", "y" * 2997)
    needs = _needs(full, plan(recipe(), full, Selection(only=("shard",))))
    assert needs["shard"].work_bytes == 20_000


@pytest.mark.parametrize("how", ["collected", "manifest gone"])
def test_inputs_that_are_gone_say_nothing_of_growth(full: Store, how: str) -> None:
    """They are as they were, as far as anyone knows."""
    old = full.resolve("crawl")
    seal(full, recipe(), "crawl", "y" * 2997)
    bury(full, "crawl", old.version, "gc")
    if how == "manifest gone":
        full.backend.delete(manifest_key("crawl", old.version))
    expected = 30_000 if how == "collected" else 10_000  # the manifest still tells its size
    assert _needs(full, _steps(full))["clean"].work_bytes == expected


def test_an_input_that_was_never_made_says_nothing_of_growth(full: Store) -> None:
    """One of two: the other alone would be half of what there was."""
    bury(full, "tokenizer", full.versions("tokenizer")[0], "gc")
    assert _needs(full, _steps(full))["shard"].work_bytes == 10_000


def test_judging_again_what_is_in_quarantine_needs_nothing(
    full: Store, machine: dict[str, int]
) -> None:
    changed = recipe(dedup={"threshold": 0.7})
    seal(full, changed, "dedup", "held", held=True, work_bytes=HUGE)
    needs = _needs(full, plan(changed, full, Selection()))
    assert "dedup" not in needs and "tokenizer" in needs


# --- room ---------------------------------------------------------------------------------------


def test_work_of_one_stage_after_the_other_beside_what_they_leave(
    full: Store, machine: dict[str, int]
) -> None:
    """Eight stages: seven results of 1000 bytes, and the work of the eighth."""
    steps = _steps(full, *ALL)
    machine["disk"] = 7 * 1_000 + 10_000
    check_room(full, steps)
    machine["disk"] -= 1
    with pytest.raises(NotEnoughRoom) as caught:
        check_room(full, steps)
    (fault,) = caught.value.faults
    assert fault.where == f"disk of {full.work}" and fault.found == "17.0 kB free"
    assert fault.expected.startswith("17.0 kB (crawl 10.0 kB, clean 10.0 kB, quality")
    assert "phusa gc" in fault.remedy and "--no-preflight" in fault.remedy


def test_the_greatest_memory_decides(full: Store, machine: dict[str, int]) -> None:
    _edit(full, full.resolve("shard"), memory_bytes=9_000)
    steps = _steps(full, *ALL)
    machine["memory"] = 9_000
    check_room(full, steps)
    machine["memory"] -= 1
    with pytest.raises(NotEnoughRoom) as caught:
        check_room(full, steps)
    (fault,) = caught.value.faults
    assert fault.where == "memory for shard" and fault.found == "9.0 kB free"
    label = full.resolve("shard").label
    assert fault.expected == f"9.0 kB, as {label} took for inputs of its size"
    assert "--no-preflight" in fault.remedy


def test_all_that_is_too_little_is_said_at_once(full: Store, machine: dict[str, int]) -> None:
    machine.update(disk=0, memory=0)
    with pytest.raises(NotEnoughRoom) as caught:
        check_room(full, _steps(full, "clean"))
    assert [f.where.split()[0] for f in caught.value.faults] == ["disk", "memory"]
    assert caught.value.exit_code == 2
    check_room(full, _steps(full))  # nothing to be built


# --- on the command line ------------------------------------------------------------------------


def _edit(store: Store, manifest: Manifest, **took: Any) -> None:
    """Write into the manifest what the build took."""
    path = Path(store.address) / manifest_key(manifest.name, manifest.version)
    raw = json.loads(path.read_text())
    raw["run"].update(took)
    path.write_text(json.dumps(raw))


@pytest.fixture
def path(tmp_path: Path, tiny_site: TinySite) -> Path:
    found = tmp_path / "r.yaml"
    source = {"kind": "web", "seeds": ["http://a.example/"], "contact": "me@a.example"}
    raw = recipe_of(tiny_site) | {"name": "r", "crawl": {"source": source}}
    found.write_text(yaml.safe_dump({"name": "r", "crawl": raw["crawl"], "finetune": {}}))
    return found


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_run_that_cannot_fit_is_refused_before_any_work(
    full: Store, path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("flows.commands.run.settle_prefect", lambda: pytest.fail("it began"))
    _edit(full, full.resolve("dedup"), work_bytes=HUGE, memory_bytes=HUGE)
    words = (path, "--store", full.address, "--set", "dedup.threshold=0.7")
    done = cli(command, *words)
    said = " ".join(done.err.split())
    assert done.code == 2 and "the request was refused" in said
    assert f"disk of {full.work}: found" in said and "dedup 10000.0 TB" in said
    assert "memory for dedup: found" in said and "expected 10000.0 TB, as dedup@" in said
    assert said.count(" free; expected") == 2
    assert ("threshold: 0.8 → 0.7" in done.out) == (command == "plan")  # the plan is still told


def test_without_the_look_ahead(
    full: Store, path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    _edit(full, full.resolve("dedup"), work_bytes=HUGE, memory_bytes=HUGE)
    words = (path, "--store", full.address, "--set", "dedup.threshold=0.7", "--no-preflight")
    assert cli("plan", *words).code == 0

    class Began(Exception):
        pass

    def began() -> None:
        raise Began

    monkeypatch.setattr("flows.commands.run.settle_prefect", began)
    done = cli("run", *words)
    assert done.code == 1 and "Began" in done.err
    listed = json.loads(cli("plan", *words, "--json").out)
    assert {row["instance"]: row["disk_bytes"] for row in listed}["dedup"] == HUGE
