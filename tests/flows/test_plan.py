"""Plans: decided from manifests alone, without running anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.foresight import Foresight
from flows.graph import graph_of
from flows.plan import Selection, Step, differences, plan
from flows.recipe import Recipe
from flows.render import make_console, plan_table
from flows.stages import STAGES
from storage import takedown
from storage.errors import Fault, RequestError
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


def steps_of(of: Recipe, store: Store, **selected: Any) -> dict[str, Step]:
    return {s.instance.name: s for s in plan(of, store, Selection(**selected))}


def step_of(name: str, of: Recipe, store: Store, **selected: Any) -> Step:
    return steps_of(of, store, **selected)[name]


def actions(of: Recipe, store: Store, **selected: Any) -> dict[str, str]:
    return {name: step.action for name, step in steps_of(of, store, **selected).items()}


def test_empty_store_runs_everything(tmp_path: Path) -> None:
    steps = plan(recipe(), Store(tmp_path), Selection())
    assert [step.action for step in steps] == ["run"] * len(STAGES)
    assert steps[0].reason == "never made by this recipe"
    assert steps[1].reason.startswith("waits for crawl")


def test_full_store_reuses_everything(full: Store) -> None:
    assert set(actions(recipe(), full).values()) == {"reuse"}
    assert set(actions(recipe(workers=7, prompts=["x"]), full).values()) == {"reuse"}


def test_a_changed_knob_runs_its_stage_and_names_the_change(full: Store) -> None:
    steps = steps_of(recipe(dedup={"threshold": 0.7}), full)
    assert steps["clean"].action == "reuse" and steps["dedup"].action == "run"
    assert steps["dedup"].reason == "threshold: 0.8 → 0.7"
    assert steps["dedup"].artifact is not None  # what the last one cost
    assert "reused if its inputs come out unchanged" in steps["tokenizer"].reason


def test_changed_content_runs_what_reads_it(full: Store) -> None:
    seal(full, recipe(), "dedup", "other documents")
    steps = steps_of(recipe(), full)
    assert steps["tokenizer"].reason == "content of dedup changed"
    seal(full, recipe(), "dedup", "dedup")  # the first content again: early cut-off
    assert set(actions(recipe(), full).values()) == {"reuse"}


def test_code_drift_is_said_and_not_a_reason(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.stage._source_sha256", lambda module: "other")
    step = plan(recipe(), full, Selection())[0]
    assert step.action == "reuse" and "--force crawl" in step.reason


def test_damage_runs_again(full: Store) -> None:
    tokenizer = full.resolve("tokenizer")
    (full.folder(tokenizer) / "content.json").unlink()
    assert actions(recipe(), full)["tokenizer"] == "run"


def test_differences_name_leaves() -> None:
    old = {"a": {"b": 1, "c": [1, {"d": 2}]}, "gone": 1}
    new = {"a": {"b": 1, "c": [1, {"d": 3}]}, "new": 2}
    assert list(differences(old, new)) == [
        ("a.c.1.d", 2, 3),
        ("gone", 1, None),
        ("new", None, 2),
    ]


# --- selections ---------------------------------------------------------------------------------

RIVER = {
    "tokenizer": {},
    "stages": {
        "lora": {"stage": "finetune", "inputs": {"model": "pretrain"}},
        "lora-wide": {"like": "lora", "adapter": {"kind": "lora", "rank": 64}},
        "tokenizer-2": {"stage": "tokenizer", "vocab_size": 4096},
        "pages-2": {"stage": "shard", "inputs": {"tokenizer": "tokenizer-2"}},
    },
}
"""The main line, two adapters beside its own, and a branch with other tokens."""


@pytest.mark.parametrize(
    ("selected", "running"),
    [
        ({"only": ("shard",)}, ["shard"]),
        ({"only": ("lora*", "pages-2")}, ["pages-2", "lora", "lora-wide"]),
        ({"only": ("*",), "inputs": {"crawl": "latest"}}, None),
        ({"from_": ("pretrain",)}, ["pretrain", "finetune", "lora", "lora-wide"]),
        ({"from_": ("*-2",)}, ["tokenizer-2", "pages-2"]),
        ({"to": ("dedup",)}, ["crawl", "clean", "quality", "dedup"]),
        ({"from_": ("dedup",), "to": ("pages-2",)}, ["dedup", "tokenizer-2", "pages-2"]),
        ({"to": ("shard",), "inputs": {"dedup": "latest"}}, ["tokenizer", "shard"]),
        (
            {"inputs": {"pretrain": "latest", "*-2": "latest", "tokenizer": "latest"}},
            ["crawl", "clean", "quality", "dedup", "finetune", "lora", "lora-wide"],
        ),
    ],
)
def test_selections(selected: dict[str, Any], running: list[str] | None) -> None:
    graph = graph_of(recipe(**RIVER))
    everything = [instance.name for instance in graph]
    chosen = Selection(**selected).of(graph)
    assert list(chosen.running) == (everything[1:] if running is None else running)
    needed = {i.name for i in chosen.needed()}
    sources = {s for name in chosen.running for s in graph[name].upstream}
    assert needed >= sources - {*chosen.running} and needed.isdisjoint(chosen.running)


def test_force_takes_globs_of_what_runs(full: Store) -> None:
    graph = graph_of(recipe(**RIVER))
    assert Selection(force=("lora*", "crawl")).of(graph).forced == {"lora", "lora-wide", "crawl"}
    forced = actions(recipe(), full, force=("dedup",))
    assert forced["dedup"] == forced["shard"] == "run" and forced["clean"] == "reuse"


def test_what_is_not_run_comes_from_the_store(full: Store) -> None:
    assert actions(recipe(), full, only=("shard",)) == {
        "dedup": "given", "tokenizer": "given", "shard": "reuse",
    }  # fmt: skip
    version = full.versions("tokenizer")[0]
    newer = seal(full, recipe(), "tokenizer", "another")
    steps = steps_of(recipe(), full, inputs={"tokenizer": version})
    assert steps["tokenizer"].action == "given" and steps["shard"].action == "reuse"
    assert step_of("tokenizer", recipe(), full, only=("shard",)).artifact == newer
    assert step_of("shard", recipe(), full, only=("shard",)).action == "run"


@pytest.mark.parametrize("how", ["{0}", "@prod", "tokenizer@{0}", "tokenizer@prod", "tokenizer@"])
def test_given_artifacts_are_named_in_many_ways(full: Store, how: str) -> None:
    made = full.resolve("tokenizer")
    full.aliases.promote("tokenizer", made.version, "prod", "", lambda: {made.label})
    given = {"tokenizer": how.format(made.version)}
    assert step_of("tokenizer", recipe(), full, inputs=given).artifact == made


def test_a_glob_gives_its_artifact_to_each(full: Store) -> None:
    steps = steps_of(recipe(**RIVER), full, inputs={"tok*": "tokenizer@latest"}, only=("shard",))
    given = {name: step.artifact for name, step in steps.items() if step.action == "given"}
    assert given.pop("dedup") == full.resolve("dedup")
    assert given == dict.fromkeys(("tokenizer", "tokenizer-2"), full.resolve("tokenizer"))
    assert steps["shard"].action == "reuse"


def test_equal_instances_are_one_artifact(full: Store) -> None:
    """Whatever the name; also as the input of what is run alone."""
    twin = recipe(
        tokenizer={},
        stages={
            "twin": {"stage": "tokenizer"},
            "pages": {"stage": "shard", "inputs": {"tokenizer": "twin"}},
        },
    )
    steps = steps_of(twin, full)
    assert {step.action for step in steps.values()} == {"reuse"}
    assert steps["twin"].artifact == steps["tokenizer"].artifact == full.resolve("tokenizer")
    assert full.resolve("tokenizer").label in steps["twin"].reason  # another's: by its whole label
    assert full.resolve("tokenizer").label not in steps["tokenizer"].reason
    steps = steps_of(twin, full, only=("pages",))
    assert {n: (s.action, s.artifact) for n, s in steps.items()} == {
        "dedup": ("given", full.resolve("dedup")),
        "twin": ("given", full.resolve("tokenizer")),
        "pages": ("reuse", full.resolve("shard")),
    }


@pytest.mark.parametrize(
    ("selected", "where", "found"),
    [
        ({"only": ("dedupe",)}, "--only", "unknown instance `dedupe`"),
        ({"to": ("x*",)}, "--to", "unknown instance `x*`"),
        ({"inputs": {"nope": "latest"}}, "--input", "unknown instance `nope`"),
        ({"only": ("dedup",), "from_": ("clean",)}, "--only, --from", "both"),
        ({"only": ("dedup",), "to": ("clean",)}, "--only, --to", "both"),
        ({"only": ("dedup",), "force": ("clean",)}, "--force", "`clean`, which does not run here"),
        ({"inputs": {"dedup": "latest"}, "force": ("dedup",)}, "--force", "`dedup`, which"),
    ],
)
def test_wrong_selections(full: Store, selected: dict[str, Any], where: str, found: str) -> None:
    (fault,) = faults_of(full, **selected)
    assert fault.where == where and fault.found.startswith(found)


def faults_of(store: Store, of: Recipe | None = None, **selected: Any) -> Sequence[Fault]:
    with pytest.raises(RequestError) as caught:
        plan(of or recipe(), store, Selection(**selected))
    return caught.value.faults


def test_all_wrong_words_are_said_at_once(full: Store) -> None:
    wrong = faults_of(full, only=("a", "dedup"), force=("b",), inputs={"c": "latest"})
    assert [fault.where for fault in wrong] == ["--only", "--force", "--input"]
    assert wrong[0].expected.startswith("one of crawl, clean")


def test_given_artifacts_that_are_not_there_or_of_another_type(full: Store) -> None:
    wrong = faults_of(full, inputs={"tokenizer": "1999", "dedup": "shard@latest"})
    assert [fault.where for fault in wrong] == ["--input dedup", f"store {full.address}"]
    label = full.resolve("shard").label
    assert (wrong[0].found, wrong[0].expected) == (f"{label}, which is sequences", "documents")
    assert "tokenizer@1999" in wrong[1].found
    adapter = step_of("pretrain", recipe(), full, inputs={"pretrain": "finetune@latest"})
    assert adapter.artifact == full.resolve("finetune")  # serves as a model


def test_missing_inputs_are_all_named(tmp_path: Path) -> None:
    assert len(faults_of(Store(tmp_path), only=("shard",))) == 2  # dedup and tokenizer


# --- why a stage runs ---------------------------------------------------------------------------


def test_every_change_of_a_stage_is_named(full: Store) -> None:
    changed = recipe(clean={"languages": ["vi", "en"], "min_language_score": 0.7})
    reason = step_of("clean", changed, full).reason
    assert reason.count(" → ") == 2 and reason.count("; ") == 1
    assert "languages: " in reason and "min_language_score: " in reason


def test_a_raised_stage_version_is_named(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = full.resolve("clean").code.stage_version
    monkeypatch.setitem(STAGES, "clean", replace(STAGES["clean"], version=made + 1))
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
    path.write_text(json.dumps({"name": "r", "crawl": {"source": source}, "shard": {}}))
    words = ("plan", path, "--store", full.address, "--set", "dedup.threshold=0.7")
    said = cli(*words)
    assert said.code == 0
    rows = {name: line for line in said.out.splitlines() for name in STAGES if f" {name} " in line}
    last = full.resolve("dedup")
    assert "threshold: 0.8 → 0.7" in rows["dedup"] and " run " in rows["dedup"]
    assert f" {last.seconds:.1f} s, {last.num_bytes} B " in rows["dedup"]
    assert " reuse " in rows["clean"] and full.resolve("clean").version in said.out
    listed = {row["instance"]: row for row in json.loads(cli(*words, "--json").out)}
    assert listed["dedup"]["artifact"] == last.version
    assert listed["dedup"]["last_seconds"] == last.seconds
    assert listed["dedup"]["last_bytes"] == last.num_bytes
    assert listed["dedup"]["disk_bytes"] == last.num_bytes  # nothing more was noted
    assert listed["clean"]["disk_bytes"] is None and listed["clean"]["action"] == "reuse"


def test_reasons_are_printed_as_they_are(full: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A regular expression among the knobs is no markup for the terminal."""
    changed = recipe(clean={"drop_lines": ["[/x]", "[red]"]})
    steps = plan(changed, full, Selection())
    make_console().print(plan_table(steps, Foresight(changed, full, steps)))
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
    assert step.reason == "from quarantine: its checks hold now"
    step = step_of("dedup", changed, full, force=("dedup",))
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
    monkeypatch.setattr("flows.gates.utc_now", lambda: later)
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
    monkeypatch.setattr("flows.gates.utc_now", lambda: held.created + timedelta(hours=21))
    assert step_of("crawl", nightly, store).reason == "never made by this recipe"


def test_a_name_that_another_stage_had_before(full: Store) -> None:
    """Nothing of it is taken: neither as an input nor to be compared with."""
    stages = {"mine": {"stage": "tokenizer", "vocab_size": 300}}
    reader = {"pages": {"stage": "shard", "inputs": {"tokenizer": "mine"}}}
    seal(full, recipe(), "shard", "sequences", instance="mine")
    step = step_of("mine", recipe(tokenizer={}, stages=stages), full)
    assert (step.action, step.reason, step.artifact) == ("run", "never made by this recipe", None)
    (fault,) = faults_of(full, recipe(tokenizer={}, stages=stages | reader), only=("pages",))
    assert full.resolve("mine").label in fault.found and "tokenizer" in fault.expected


def test_what_was_collected_is_built_again(full: Store) -> None:
    bury(full, "tokenizer", full.versions("tokenizer")[0], "gc")
    step = step_of("tokenizer", recipe(), full)
    assert (step.action, step.reason, step.artifact) == ("run", "never made by this recipe", None)


def test_what_another_recipe_made_is_reused(full: Store) -> None:
    other = recipe(name="other")
    assert set(actions(other, full).values()) == {"reuse"}
    assert step_of("clean", other, full, only=("dedup",)).artifact == full.resolve("clean")
    changed = recipe(name="other", clean={"languages": ["vi"]})
    assert "made by recipe 'other'" in faults_of(full, changed, only=("dedup",))[0].found


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


# --- a run that reuses everything ---------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True])
def test_a_run_that_reuses_everything_starts_no_prefect(
    full: Store, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """Unless a server is named, which is to record it."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if named:
        (tmp_path / "profiles.toml").write_text('[profiles.a]\nPREFECT_API_URL = "http://a"\n')
    shown: list[Any] = []

    def began() -> None:
        raise InterruptedError

    monkeypatch.setattr("flows.commands.run.settle_prefect", began)

    def show(*of: Any, as_json: bool) -> None:
        shown.extend(of[-1].made)

    monkeypatch.setattr("flows.run_report.print_report", show)
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps(recipe().model_dump(mode="json", exclude_unset=True)))
    done = cli("run", path, "--store", full.address)
    assert done.code == int(named)
    reused = [] if named else [i.name for i in graph_of(recipe())]
    assert [one.instance for one in shown if one.reused] == reused
    assert done.out.count(": reuse (same configuration") == len(reused)
    assert cli("run", path, "--store", full.address, "--force", "finetune").code == 1
