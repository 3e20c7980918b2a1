"""A graph with two tokenizers, two models and two adapters, run from its form in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.store import Store
from tests.conftest import recipe_of
from tests.flows.deployed.browser import CHROMIUM, DRIVER, browser
from tests.flows.deployed.prefect_site import PrefectSite, wait_for
from tests.site import TinySite

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

FURTHER: dict[str, dict[str, Any]] = {
    "wordy": {"stage": "tokenizer", "vocab_size": 450},
    "wordy-pages": {
        "stage": "shard",
        "sequence_length": 64,
        "validation_share": 0.15,
        "inputs": {"tokenizer": "wordy"},
    },
    "wordy-model": {"like": "pretrain", "inputs": {"sequences": "wordy-pages"}},
    "wordy-answers": {"like": "finetune", "inputs": {"model": "wordy-model"}},
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory, tiny_site: TinySite) -> Iterator[PrefectSite]:
    """A server with both workers, and the deployments of the graph."""
    home = tmp_path_factory.mktemp("graph")
    recipe = home / "graph.yaml"
    whole = {**recipe_of(tiny_site), "name": "graph", "stages": FURTHER}
    recipe.write_text(yaml.safe_dump(whole, sort_keys=False))
    with PrefectSite(home, recipe, home / "store") as site:
        for pool in ("cpu", "gpu"):
            site.prefect("work-pool", "create", pool, "--type", "process")
        site.prefect("--no-prompt", "deploy", "--all")
        for pool in ("cpu", "gpu"):
            site.start_worker(pool, f"{pool}-1")
        yield site


def test_the_form_has_a_typed_group_for_each_instance(graph: PrefectSite) -> None:
    form = graph.deployments()["manual"]["parameter_openapi_schema"]
    groups = form["definitions"]["Further"]["properties"]
    assert list(groups) == ["wordy", "wordy-pages", "wordy-model", "wordy-answers"]
    knobs = form["definitions"]["FurtherTokenizerConfig"]["properties"]
    assert {"vocab_size", "inputs"} < set(knobs) and "stage" not in knobs
    assert "wordy" in form["properties"]["only"]["enum"]
    assert set(FURTHER) < set(form["definitions"]["PipelineInputs"]["properties"])


@pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no chromium and chromedriver")
def test_it_runs_from_the_custom_run_form(graph: PrefectSite) -> None:
    deployment = graph.deployments()["manual"]["id"]
    with browser() as ui:
        ui.open(f"{graph.url}/v2/deployments/deployment/{deployment}/run")
        ui.shows("further instances of the recipe", "wordy-pages", "train a tokenizer")
        of = {"any_": [deployment]}

        def ordered() -> list[dict[str, Any]]:
            """A form that was just opened may not listen yet."""
            if not graph.runs(deployment_id=of):
                ui.click("Submit")
                time.sleep(5)
            return graph.runs(deployment_id=of)

        run = wait_for(ordered, 120, "a run of the form")[0]
        graph.wait_until(run["id"], "COMPLETED", seconds=400)
        children = graph.children(run["id"])
        names = {child["name"].partition(" ")[0] for child in children}
        assert set(FURTHER) < names and len(names) == 12
        pools = {c["name"].partition(" ")[0]: c["work_pool_name"] for c in children}
        assert {name for name, pool in pools.items() if pool == "gpu"} == {
            "pretrain", "finetune", "wordy-model", "wordy-answers",
        }  # fmt: skip
        assert "wordy-model: ordered from the gpu pool" in graph.said(run["id"])
        ui.open(f"{graph.url}/v2/runs/flow-run/{run['id']}")
        ui.shows("Completed", "Subflow Runs")
    store = Store(Path(graph.store))
    made = store.resolve("wordy-answers")
    assert made.stage == "finetune" and made.inputs["pretrain"].name == "wordy-model"
    assert store.resolve("wordy-model").inputs["tokenizer"].name == "wordy"
