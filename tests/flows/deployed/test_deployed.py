"""Deployments on a real Prefect server with a CPU and a GPU worker: schedules, single stages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.stages import STAGES
from storage.store import Store
from tests.flows.deployed.browser import CHROMIUM, DRIVER, Browser, browser
from tests.flows.deployed.prefect_site import PrefectSite, wait_for

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

EVERY_S = 15


@pytest.fixture(scope="module")
def nightly(prefect: PrefectSite) -> list[dict[str, Any]]:
    """The runs that a schedule began by itself, until two have completed; none goes on."""
    for pool in ("cpu", "gpu"):
        prefect.start_worker(pool, f"{pool}-1")
    schedules = ["deployment", "schedule"]
    prefect.prefect(*schedules, "clear", "pipeline/nightly", "--accept-yes")
    prefect.prefect(*schedules, "create", "pipeline/nightly", "--interval", str(EVERY_S))
    deployment = {"any_": [prefect.deployments()["nightly"]["id"]]}

    def begun() -> list[dict[str, Any]]:
        runs = prefect.runs(deployment_id=deployment)
        assert not [r for r in runs if r["state"]["type"] in ("FAILED", "CRASHED")], prefect.logs()
        return [r for r in runs if r["state"]["type"] in ("COMPLETED", "CANCELLED", "RUNNING")]

    def two_completed() -> bool:
        return sum(run["state"]["type"] == "COMPLETED" for run in begun()) >= 2

    wait_for(two_completed, 200, "two runs of the schedule")
    prefect.prefect(*schedules, "clear", "pipeline/nightly", "--accept-yes")
    wait_for(lambda: not [r for r in begun() if r["state"]["type"] == "RUNNING"], 180, "the last")
    return begun()


@pytest.fixture(scope="module")
def store(nightly: list[dict[str, Any]], prefect: PrefectSite) -> Store:
    """What the scheduled runs made."""
    return Store(prefect.store)


def completed(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [run for run in runs if run["state"]["type"] == "COMPLETED"]


def test_a_schedule_fires_and_the_river_runs_through_both_pools(
    prefect: PrefectSite, nightly: list[dict[str, Any]], store: Store
) -> None:
    assert nightly[0]["auto_scheduled"] and nightly[0]["state"]["type"] == "COMPLETED"
    assert {m.name for m in store.manifests()} == set(STAGES)
    pools = {run["name"]: run["work_pool_name"] for run in prefect.children(nightly[0]["id"])}
    assert pools == {
        f"{name} for tiny": "gpu" if stage.trains else None for name, stage in STAGES.items()
    }  # a stage of no pool ran in the pipeline's own process


def test_the_next_night_costs_what_changed(
    prefect: PrefectSite, nightly: list[dict[str, Any]], store: Store
) -> None:
    """Nothing changed: every stage is a hit, in the pipeline's process, and no GPU is asked."""
    last = completed(nightly)[-1]
    children = prefect.children(last["id"])
    assert len(children) == len(STAGES) and {c["work_pool_name"] for c in children} == {None}
    assert all(len(store.versions(name)) == 1 for name in STAGES)


def test_overlapping_schedules_stand_back(nightly: list[dict[str, Any]]) -> None:
    """The first run took longer than the interval: runs that began meanwhile did nothing."""
    skipped = [run for run in nightly if run["state"]["type"] == "CANCELLED"]
    assert skipped
    for run in skipped:
        assert run["state"]["message"].startswith("skipped: tiny: all (schedule), begun earlier")


def test_one_stage_again(prefect: PrefectSite, store: Store) -> None:
    """`prefect deployment run` with a knob re-runs the stage alone; the rest is reused."""
    before = {name: len(store.versions(name)) for name in STAGES}
    config = {"threshold": 0.99}
    prefect.prefect(
        "deployment", "run", "dedup/dedup", "-p", f"config={json.dumps(config)}", "--watch"
    )
    changed = [name for name in STAGES if len(store.versions(name)) != before[name]]
    assert changed == ["dedup"]
    assert store.resolve("dedup").config["threshold"] == 0.99
    assert store.resolve("dedup").inputs["clean"].version == store.versions("clean")[-1]


def test_a_stage_from_an_alias(prefect: PrefectSite, store: Store) -> None:
    """`inputs` with an alias, `force` and `only`, as the run form has them."""
    old = store.versions("dedup")[0]
    label = f"dedup@{old}"
    store.aliases.promote("dedup", old, "prod", "", lambda: {label})
    inputs = json.dumps({"documents": "@prod"})
    run = ["deployment", "run", "tokenizer/tokenizer", "--watch", "-p", f"inputs={inputs}"]
    prefect.prefect(*run)
    assert len(store.versions("tokenizer")) == 1  # made from that very version before
    whole = ["deployment", "run", "pipeline/manual", "--watch", "-p", "only=tokenizer"]
    given = json.dumps({"dedup": "@prod"})
    prefect.prefect(*whole, "-p", f"inputs={given}", "-p", 'force=["tokenizer"]')
    assert store.resolve("tokenizer").inputs["dedup"].version == old
    assert len(store.versions("tokenizer")) == 2


def test_a_gate_that_fails_keeps_the_aliases_and_says_why(
    prefect: PrefectSite, store: Store, recipe_path: Path
) -> None:
    recipe = yaml.safe_load(recipe_path.read_text())
    strict = {**recipe, "dedup": {"checks": [{"measure": "duplicate_rate", "max": 0.01}]}}
    good = prefect.order("manual", promote="prod", recipe=recipe)
    prefect.wait_until(good, "COMPLETED")
    held = store.aliases.read().held()
    assert {label.partition("@")[0] for label in held} == set(STAGES)
    bad = prefect.order("nightly", promote="prod", recipe=strict)
    state = prefect.wait_until(bad, "FAILED")
    assert "GateFailed" in state["message"] and "duplicate_rate" in state["message"]
    assert store.aliases.read().held() == held
    children = {run["name"]: run["state"]["type"] for run in prefect.children(bad)}
    assert children["dedup for tiny"] == "FAILED" and "shard for tiny" not in children
    shown = prefect.ask("/artifacts/filter", {"flow_runs": {"id": {"any_": [bad]}}})
    (summary,) = [a for a in shown if a["key"] == "summary"]
    assert "duplicate_rate" in summary["data"].split("\n## ")[0]  # on top


def test_the_run_form_has_the_knobs_of_the_recipe(prefect: PrefectSite, recipe_path: Path) -> None:
    found = prefect.deployments()
    assert set(found) == {"nightly", "manual", *STAGES}
    assert all(d["description"] and "phusa" in d["tags"] for d in found.values())
    assert {n for n, d in found.items() if d["work_pool_name"] == "gpu"} == {
        name for name, stage in STAGES.items() if stage.trains
    }
    dedup = found["dedup"]["parameter_openapi_schema"]
    knob = dedup["definitions"]["DedupConfig"]["properties"]["threshold"]
    assert knob["maximum"] == 1 and "exact Jaccard" in knob["description"]
    tiny = yaml.safe_load(recipe_path.read_text())
    assert found["tokenizer"]["parameters"]["config"]["vocab_size"] == 384
    assert found["manual"]["parameters"]["recipe"]["name"] == tiny["name"]
    assert found["nightly"]["parameters"]["recipe"]["crawl"]["max_age_h"] == 20
    form = found["manual"]["parameter_openapi_schema"]
    order = sorted(form["properties"], key=lambda name: form["properties"][name]["position"])
    asked = ["recipe", "only", "from_stage", "to_stage", "force", "inputs", "promote", "store"]
    assert order == asked
    assert all(form["properties"][name]["description"] for name in order)
    for one in ("only", "from_stage", "to_stage"):
        assert form["properties"][one]["enum"] == ["", *STAGES]
    assert set(form["definitions"]["PipelineInputs"]["properties"]) == set(STAGES)


# --- in the browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ui() -> Iterator[Browser]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("there is no chromium and chromedriver to open the UI in")
    with browser() as opened:
        yield opened


def test_the_graph_and_the_artifacts_of_a_finished_run(
    prefect: PrefectSite, nightly: list[dict[str, Any]], ui: Browser
) -> None:
    ui.open(f"{prefect.url}/v2/runs/flow-run/{nightly[0]['id']}")
    ui.shows("tiny", "Completed", "Subflow Runs")
    wait_for(lambda: len(ui.colours("canvas")) > 2, 180, "the graph to be drawn")
    ui.click("Artifacts")
    ui.shows("summary", "stages", "8 stages built")
    runs = {run["name"]: run["id"] for run in prefect.children(nightly[0]["id"])}
    ui.open(f"{prefect.url}/v2/runs/flow-run/{runs['pretrain for tiny']}?tab=Artifacts")
    ui.shows("pretrain-loss", "pretrain-rows", "bits per byte held out")


def test_the_page_of_a_model_shows_its_curves_and_what_it_says(
    prefect: PrefectSite, nightly: list[dict[str, Any]], ui: Browser
) -> None:
    runs = {run["name"]: run["id"] for run in prefect.children(nightly[0]["id"])}
    of = {"flow_runs": {"id": {"any_": [runs["pretrain for tiny"]]}}}
    pages = {page["key"]: page["id"] for page in prefect.ask("/artifacts/filter", of)}
    ui.open(f"{prefect.url}/v2/artifacts/artifact/{pages['pretrain']}")
    ui.shows("What is silt.mod1.fold?", "Made from", "gain_over_unigram")
    assert len(ui.colours("img[alt^='loss and learning rate']")) > 2  # drawn, and not broken
    assert len(ui.colours("img[alt^='the artifacts as a graph']")) > 2


def test_one_stage_again_in_three_clicks(prefect: PrefectSite, store: Store, ui: Browser) -> None:
    """On the page of its deployment: Run, Quick run, and Run once more."""
    deployment = {"any_": [prefect.deployments()["tokenizer"]["id"]]}
    before = len(prefect.runs(deployment_id=deployment))
    ui.open(f"{prefect.url}/v2/deployments")
    ui.click("tokenizer")
    ui.shows("Configuration")
    ui.click("Run")
    ui.click("Quick run", within="menu")
    ui.click("Run", within="dialog", until="Flow run created")
    run = wait_for(lambda: prefect.runs(deployment_id=deployment)[before:], 180, "a run")[0]
    prefect.wait_until(run["id"], "COMPLETED")
    assert store.resolve("tokenizer").inputs["dedup"].version == store.resolve("dedup").version


def test_the_form_of_a_stage(prefect: PrefectSite, ui: Browser) -> None:
    """Its own knobs with what they mean, as the recipe set them."""
    ids = {name: found["id"] for name, found in prefect.deployments().items()}
    ui.open(f"{prefect.url}/v2/deployments/deployment/{ids['dedup']}/run")
    ui.shows("Force (Optional)", "build again even if there is an artifact to reuse")
    ui.shows("documents: NAME (the recipe's newest), NAME@VERSION or an alias such as NAME@prod")
    ui.shows("Threshold (Optional)", "exact Jaccard similarity of shingles", "MinHash")
    ui.open(f"{prefect.url}/v2/deployments/deployment/{ids['manual']}/run")
    ui.shows("run this instance alone", "instances to build again", "use this tokenizer: latest")
