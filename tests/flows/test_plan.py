"""Plans: decided from manifests alone, without running anything."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.plan import Selection, Step, differences, plan
from flows.recipe import Recipe
from flows.render import make_console, plan_table
from flows.stages import STAGES
from storage import takedown
from storage.errors import RequestError
from storage.manifest import MANIFEST_SCHEMA
from storage.sealing import bury
from storage.store import Store
from storage.takedown import Takedown
from tests.flows.by_hand import recipe, seal
from tests.flows.conftest import Cli


@pytest.fixture
def full(tmp_path: Path) -> Store:
    """A store with one artifact of every stage of `recipe()`."""
    store = Store(tmp_path)
    for name in STAGES:
        seal(store, recipe(), name, name)
    return store


def step_of(name: str, of: Recipe, store: Store) -> Step:
    (step,) = [s for s in plan(of, store, Selection()) if s.stage.name == name]
    return step


def actions(of: Recipe, store: Store, selection: Selection | None = None) -> dict[str, str]:
    return {s.stage.name: s.action for s in plan(of, store, selection or Selection())}


def test_empty_store_runs_everything(tmp_path: Path) -> None:
    steps = plan(recipe(), Store(tmp_path), Selection())
    assert [step.action for step in steps] == ["run"] * len(STAGES)
    assert steps[0].reason == "never made by this recipe"
    assert steps[1].reason.startswith("waits for crawl")


def test_full_store_reuses_everything(full: Store) -> None:
    assert set(actions(recipe(), full).values()) == {"reuse"}
    assert set(actions(recipe(workers=7, prompts=["x"]), full).values()) == {"reuse"}


def test_a_changed_knob_runs_its_stage_and_names_the_change(full: Store) -> None:
    steps = {s.stage.name: s for s in plan(recipe(dedup={"threshold": 0.7}), full, Selection())}
    assert steps["clean"].action == "reuse" and steps["dedup"].action == "run"
    assert steps["dedup"].reason == "threshold: 0.8 → 0.7"
    assert steps["dedup"].artifact is not None  # what the last one cost
    assert "reused if its inputs come out unchanged" in steps["tokenizer"].reason


def test_changed_content_runs_what_reads_it(full: Store) -> None:
    seal(full, recipe(), "dedup", "other documents")
    steps = {s.stage.name: s for s in plan(recipe(), full, Selection())}
    assert steps["tokenizer"].reason == "content of dedup changed"
    seal(full, recipe(), "dedup", "dedup")  # the first content again: early cut-off
    assert set(actions(recipe(), full).values()) == {"reuse"}


def test_selections(full: Store) -> None:
    assert actions(recipe(), full, Selection(only=("shard",))) == {
        "dedup": "given",
        "tokenizer": "given",
        "shard": "reuse",
    }
    assert list(actions(recipe(), full, Selection(from_=("pretrain",)))) == [
        "dedup",
        "tokenizer",
        "shard",
        "pretrain",
        "finetune",
    ]
    forced = actions(recipe(), full, Selection(force=("dedup",)))
    assert forced["dedup"] == "run" and forced["clean"] == "reuse"
    version = full.versions("tokenizer")[0]
    given = actions(recipe(), full, Selection(inputs={"tokenizer": version}))
    assert given["tokenizer"] == "given"


def test_code_drift_is_said_and_not_a_reason(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.plan.source_sha256", lambda name: "other")
    step = plan(recipe(), full, Selection())[0]
    assert step.action == "reuse" and "its code changed since: --force crawl" in step.reason


def test_damage_runs_again(full: Store) -> None:
    tokenizer = full.resolve("tokenizer")
    (full.folder(tokenizer) / "content.json").unlink()
    assert actions(recipe(), full)["tokenizer"] == "run"


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(only=("dedupe",)), "unknown instance `dedupe`"),
        (Selection(only=("dedup",), from_=("clean",)), "found both"),
        (Selection(only=("dedup",), force=("clean",)), "which does not run here"),
        (Selection(inputs={"tokenizer": "1999"}), "no artifact tokenizer@1999"),
        (Selection(force=("a", "b")), "unknown instance `b`"),
    ],
)
def test_wrong_selections(full: Store, selection: Selection, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        plan(recipe(), full, selection)


def test_missing_inputs_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        plan(recipe(), Store(tmp_path), Selection(only=("shard",)))
    assert len(caught.value.faults) == 2  # dedup and tokenizer


def test_differences_name_leaves() -> None:
    old = {"a": {"b": 1, "c": [1, {"d": 2}]}, "gone": 1}
    new = {"a": {"b": 1, "c": [1, {"d": 3}]}, "new": 2}
    assert list(differences(old, new)) == [
        ("a.c.1.d", 2, 3),
        ("gone", 1, None),
        ("new", None, 2),
    ]


# --- why a stage runs ---------------------------------------------------------------------------


def test_every_change_of_a_stage_is_named(full: Store) -> None:
    changed = recipe(clean={"languages": ["vi", "en"], "min_language_score": 0.7})
    reason = step_of("clean", changed, full).reason
    assert reason.count(" → ") == 2 and reason.count("; ") == 1
    assert "languages: " in reason and "min_language_score: " in reason


def test_a_raised_stage_version_is_named(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = full.resolve("clean").code.stage_version
    raised = {**STAGES, "clean": replace(STAGES["clean"], version=made + 1)}
    monkeypatch.setattr("flows.plan.STAGES", raised)
    assert step_of("clean", recipe(), full).reason == f"stage version: {made} → {made + 1}"


def test_long_values_are_cut(full: Store) -> None:
    reason = step_of("clean", recipe(clean={"drop_lines": ["x" * 90]}), full).reason
    assert reason.endswith("...") and len(reason) < 100


def test_what_to_leave_out_is_named(full: Store) -> None:
    """A takedown of which the crawl holds something: clean leaves it out, shard does too."""
    one = Takedown(id="t", kind="domain", value="a.example", why="", by="me", at=datetime.now(UTC))
    takedown.record(full.backend, one)
    assert set(actions(recipe(), full).values()) == {"reuse"}  # nobody holds it
    takedown.add_holders(full.backend, one, [full.resolve("crawl")])
    step = step_of("clean", recipe(), full)
    assert (step.action, step.reason) == ("run", "to be left out: domain a.example")
    takedown.add_holders(full.backend, one, [full.resolve("clean")])
    with pytest.raises(RequestError, match=r"holds domain a\.example") as caught:
        plan(recipe(), full, Selection(only=("dedup",)))
    assert "--from clean" in str(caught.value)


# --- what it cost, what is there ----------------------------------------------------------------


def test_the_cost_of_the_last_run_is_shown(full: Store, tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "r.yaml"
    source = {"kind": "web", "seeds": ["http://a.example/"], "contact": "me@a.example"}
    path.write_text(json.dumps({"name": "r", "crawl": {"source": source}}))
    words = ("plan", path, "--store", full.address, "--set", "dedup.threshold=0.7")
    said = cli(*words)
    assert said.code == 0
    rows = {line.split("│")[1].strip(): line for line in said.out.splitlines() if "│" in line}
    last = full.resolve("dedup")
    assert "threshold: 0.8 → 0.7" in rows["dedup"] and " run " in rows["dedup"]
    assert rows["dedup"].split("│")[4].strip() == f"{last.seconds:.1f} s, {last.num_bytes} B"
    assert " reuse " in rows["clean"] and full.resolve("clean").version in rows["clean"]
    listed = {row["stage"]: row for row in json.loads(cli(*words, "--json").out)}
    assert listed["dedup"]["artifact"] == last.version
    assert listed["dedup"]["last_seconds"] == last.seconds
    assert listed["dedup"]["last_bytes"] == last.num_bytes
    assert listed["dedup"]["disk_bytes"] == last.num_bytes  # nothing more was noted
    assert listed["clean"]["disk_bytes"] is None and listed["clean"]["action"] == "reuse"


def test_reasons_are_printed_as_they_are(full: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A regular expression among the knobs is no markup for the terminal."""
    steps = plan(recipe(clean={"drop_lines": ["[/x]", "[red]"]}), full, Selection())
    make_console().print(plan_table(steps))
    assert "['[/x]', '[red]']" in capsys.readouterr().out


def test_a_build_in_quarantine_is_judged_again(full: Store) -> None:
    changed = recipe(dedup={"threshold": 0.7})
    held = seal(full, changed, "dedup", "held", held=True, stats=ALL_COPIES)
    step = step_of("dedup", changed, full)
    assert (step.action, step.artifact) == ("blocked", held)
    assert step.reason.startswith(f"{held.label}: duplicate_rate 1 is above max 0.95")
    assert step_of("tokenizer", changed, full).reason.startswith("waits for dedup")
    looser = recipe(dedup={"threshold": 0.7, "checks": PASSING})
    step = step_of("dedup", looser, full)
    assert (step.action, step.artifact) == ("reuse", held)
    assert step.reason == f"{held.version} is released from quarantine"
    forced = plan(changed, full, Selection(force=("dedup",)))
    (step,) = [s for s in forced if s.stage.name == "dedup"]
    assert (step.action, step.reason) == ("run", "forced")
    (full.folder(held) / "content.json").unlink()
    assert step_of("dedup", changed, full).reason == "threshold: 0.8 → 0.7"
    assert step_of("dedup", recipe(), full).action == "reuse"  # what is held is not the last


def test_a_hit_that_the_gates_of_today_do_not_let_through_is_blocked(full: Store) -> None:
    changed = recipe(dedup={"threshold": 0.6, "checks": PASSING})
    made = seal(full, changed, "dedup", "sealed", stats=ALL_COPIES)
    assert step_of("dedup", changed, full).action == "reuse"
    tighter = recipe(dedup={"threshold": 0.6})
    step = step_of("dedup", tighter, full)
    assert (step.action, step.artifact) == ("blocked", made)
    assert "most_copies_share 1 is above max 0.5" in step.reason


ALL_COPIES = {"duplicates": 1, "most_copies": 1}
PASSING = [
    {"measure": "duplicate_rate", "max": 1.0},
    {"measure": "most_copies_share", "max": 1.0},
]


def test_a_crawl_that_is_too_old_is_made_again(
    full: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"kind": "web", "seeds": ["http://a.example/"], "contact": "me@a.example"}
    nightly = recipe(crawl={"source": source, "max_age_h": 20})
    assert set(actions(nightly, full).values()) == {"reuse"}
    crawl = full.resolve("crawl")
    later = crawl.created + timedelta(hours=21)
    monkeypatch.setattr("flows.stages.utc_now", lambda: later)
    step = step_of("crawl", nightly, full)
    assert (step.action, step.artifact) == ("run", crawl)
    assert step.reason == f"{crawl.version} is 21.0 h old; 20 h are allowed (max_age_h)"
    assert step_of("clean", nightly, full).reason.startswith("waits for crawl")
    assert set(actions(recipe(), full).values()) == {"reuse"}


def test_an_old_crawl_in_quarantine_is_not_judged_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site that was down one night is crawled again the next."""
    source = {"kind": "web", "seeds": ["http://a.example/"], "contact": "me@a.example"}
    nightly = recipe(crawl={"source": source, "max_age_h": 20})
    store = Store(tmp_path)
    held = seal(store, nightly, "crawl", "half of it", held=True)
    assert step_of("crawl", nightly, store).artifact == held
    monkeypatch.setattr("flows.stages.utc_now", lambda: held.created + timedelta(hours=21))
    assert step_of("crawl", nightly, store).reason == "never made by this recipe"


def test_what_was_collected_is_built_again(full: Store) -> None:
    bury(full, "tokenizer", full.versions("tokenizer")[0], "gc")
    step = step_of("tokenizer", recipe(), full)
    assert (step.action, step.reason, step.artifact) == ("run", "never made by this recipe", None)


def test_what_another_recipe_made_is_reused(full: Store) -> None:
    other = recipe(name="other")
    assert set(actions(other, full).values()) == {"reuse"}
    with pytest.raises(RequestError, match="made by recipe 'other'"):
        plan(other, full, Selection(only=("dedup",)))


def test_what_a_newer_phusa_made_is_not_built_over(full: Store) -> None:
    made = full.resolve("dedup")
    path = Path(full.address) / "versions/dedup" / made.version / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    with pytest.raises(RequestError, match="Install that phusa") as caught:
        plan(recipe(), full, Selection())
    assert f"at most {MANIFEST_SCHEMA}" in str(caught.value)


def test_planning_changes_nothing(full: Store) -> None:
    def files() -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in Path(full.address).rglob("*")}

    before = files()
    plan(recipe(dedup={"threshold": 0.7}), full, Selection())
    assert files() == before
