"""Plans: decided from manifests alone, without running anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.plan import Selection, differences, plan
from flows.recipe import Recipe
from flows.stages import STAGES, source_sha256
from storage.errors import RequestError
from storage.manifest import CodeRef, InputRef, Manifest, RunRef
from storage.store import Draft, Store
from tasks.config import identity


def recipe(**changes: object) -> Recipe:
    source = {"kind": "web", "seeds": ["http://a.example/"], "contact": "me@a.example"}
    return Recipe.model_validate({"name": "r", "crawl": {"source": source}, **changes})


def seal(store: Store, of: Recipe, name: str, content: str) -> Manifest:
    """Put an artifact of stage `name` with some content into the store."""
    stage = STAGES[name]
    inputs = {key: store.resolve(key) for key in stage.inputs}
    digests = {key: manifest.digest for key, manifest in inputs.items()}
    key = stage.fingerprint(of.stage(name), digests)
    with store.building(name, key) as workspace:
        workspace.write_json("content.json", content)
        draft = Draft(
            name=name,
            fingerprint=key,
            config=identity(of.stage(name)),
            inputs={
                k: InputRef(name=k, version=m.version, digest=m.digest) for k, m in inputs.items()
            },
            rows_in=1,
            rows_out=1,
            stats={},
            code=CodeRef(stage_version=stage.version, source_sha256=source_sha256(name)),
            run=RunRef(recipe=of.name, host="test"),
        )
        return store.commit(workspace, draft, replace=True)


@pytest.fixture
def full(tmp_path: Path) -> Store:
    """A store with one artifact of every stage of `recipe()`."""
    store = Store(tmp_path)
    for name in STAGES:
        seal(store, recipe(), name, name)
    return store


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
    assert actions(recipe(), full, Selection(only="shard")) == {
        "dedup": "given",
        "tokenizer": "given",
        "shard": "reuse",
    }
    assert list(actions(recipe(), full, Selection(from_stage="pretrain"))) == [
        "dedup",
        "tokenizer",
        "shard",
        "pretrain",
        "finetune",
    ]
    forced = actions(recipe(), full, Selection(force=frozenset({"dedup"})))
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
        (Selection(only="dedupe"), "unknown stage `dedupe`"),
        (Selection(only="dedup", from_stage="clean"), "found both"),
        (Selection(only="dedup", force=frozenset({"clean"})), "which does not run here"),
        (Selection(inputs={"tokenizer": "1999"}), "no artifact tokenizer@1999"),
        (Selection(force=frozenset({"a", "b"})), "unknown stage `b`"),
    ],
)
def test_wrong_selections(full: Store, selection: Selection, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        plan(recipe(), full, selection)


def test_missing_inputs_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        plan(recipe(), Store(tmp_path), Selection(only="shard"))
    assert len(caught.value.faults) == 2  # dedup and tokenizer


def test_differences_name_leaves() -> None:
    old = {"a": {"b": 1, "c": [1, {"d": 2}]}, "gone": 1}
    new = {"a": {"b": 1, "c": [1, {"d": 3}]}, "new": 2}
    assert list(differences(old, new)) == [
        ("a.c.1.d", 2, 3),
        ("gone", 1, None),
        ("new", None, 2),
    ]
