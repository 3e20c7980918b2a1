"""The pipeline in Prefect's UI by clicks alone, in the UI that opens by default."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.store import Store
from tests.conftest import recipe_of
from tests.flows.deployed.browser import CHROMIUM, DRIVER, Browser, browser
from tests.flows.deployed.prefect_site import PrefectSite, wait_for
from tests.site import TinySite

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no chromium and chromedriver"),
]


@pytest.fixture(scope="module")
def knobs(tiny_site: TinySite) -> dict[str, Any]:
    """The stages that train nothing."""
    whole = recipe_of(tiny_site)
    kept = ("name", "workers", "crawl", "clean", "tokenizer")
    return {name: whole[name] for name in kept} | {"quality": {}, "dedup": {}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, knobs: dict[str, Any]) -> Iterator[PrefectSite]:
    """A server with its deployments, and a worker."""
    home = tmp_path_factory.mktemp("clicks")
    recipe = home / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(knobs))
    with PrefectSite(home, recipe, home / "store") as opened:
        opened.prefect("work-pool", "create", "cpu", "--type", "process")
        opened.prefect("--no-prompt", "deploy", "--name", "manual")
        opened.start_worker("cpu", "cpu-1")
        yield opened


@pytest.fixture(scope="module")
def ui() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def runs(site: PrefectSite) -> list[dict[str, Any]]:
    return site.runs(deployment_id={"any_": [site.deployments()["manual"]["id"]]})


@pytest.fixture(scope="module")
def quick(site: PrefectSite, ui: Browser) -> dict[str, Any]:
    """A run of the deployment as it is: Run, Quick run, and Run once more.

    From the address that `phusa up` prints: the server chooses which of its two UIs opens there.
    """
    ui.open(site.url)
    ui.click("Deployments")
    ui.click("manual")
    ui.shows("Configuration")
    ui.click("Run")
    ui.click("Quick run", within="menu")
    ui.click("Run", within="dialog", until="Flow run created")
    assert ui.driver.current_url.startswith(f"{site.url}/v2/")
    run = wait_for(lambda: runs(site), 60, "a run")[0]
    site.wait_until(run["id"], "COMPLETED")
    return run


def test_a_quick_run_says_in_its_log_what_each_stage_did(
    site: PrefectSite, ui: Browser, quick: dict[str, Any]
) -> None:
    ui.open(f"{site.url}/v2/runs/flow-run/{quick['id']}")
    ui.shows("tiny: all (quick run)", "Completed")
    said = ui.shows("5 stages built, 0 reused", "Artifacts tab")
    assert "dropped (http_404 1, not_html 1)" in said
    dedup = Store(site.store).resolve("dedup")
    assert "dedup: built in" in said and f"phusa show {dedup.label}" in said
    assert "55 documents in, 48 documents out, 7 dropped (duplicate 7)" in said


def test_a_custom_run_with_a_changed_knob(
    site: PrefectSite, ui: Browser, quick: dict[str, Any]
) -> None:
    deployment = site.deployments()["manual"]["id"]
    ui.open(f"{site.url}/v2/deployments/deployment/{deployment}/run")
    form = ui.shows("every knob of every instance", "exact Jaccard similarity of shingles")
    assert form.index("every knob of every instance") < form.index("run this instance alone")
    ui.fill("exact Jaccard similarity of shingles", "0.99")
    before = len(runs(site))

    def submitted() -> list[dict[str, Any]]:
        """A form that was just opened may not listen yet."""
        if len(runs(site)) == before:
            ui.click("Submit")
            time.sleep(5)
        return runs(site)[before:]

    run = wait_for(submitted, 60, "a run of the form")[0]
    site.wait_until(run["id"], "COMPLETED")
    ui.open(f"{site.url}/v2/runs/flow-run/{run['id']}")
    said = ui.shows("tiny: all (custom run)", "Completed", "clean: reused, built in")
    assert "dedup: built in" in said and "threshold" in said.partition("dedup: built in")[2]
    assert Store(site.store).resolve("dedup").config["threshold"] == 0.99


def test_a_run_is_cancelled(
    site: PrefectSite, ui: Browser, knobs: dict[str, Any], quick: dict[str, Any]
) -> None:
    source = {**knobs["crawl"]["source"], "politeness": {"delay_s": 20}}
    slow = {**knobs, "crawl": {**knobs["crawl"], "source": source}}
    # The delay is no part of a crawl's identity: not forced, the crawl would be reused.
    run = site.order("manual", recipe=slow, only="crawl", force=["crawl"])
    wait_for(lambda: site.children(run), 120, "the crawl to begin")
    ui.open(f"{site.url}/v2/runs/flow-run/{run}")
    ui.shows("tiny: only crawl, force crawl (custom run)", "Running")
    ui.choose("Cancel")
    ui.click("Cancel Flow Run", within="alertdialog")
    site.wait_until(run, "CANCELLED", seconds=60)
    ui.open(f"{site.url}/v2/runs/flow-run/{run}")
    ui.shows("Cancelled")


def test_a_failed_gate_and_a_retry(
    site: PrefectSite, ui: Browser, knobs: dict[str, Any], quick: dict[str, Any]
) -> None:
    """A gate stays shut in a retry: what is in quarantine is judged again, and not built again."""
    strict = {**knobs, "dedup": {"checks": [{"measure": "duplicate_rate", "max": 0.01}]}}
    run = site.order("manual", recipe=strict)
    site.wait_until(run, "FAILED")
    ui.open(f"{site.url}/v2/runs/flow-run/{run}")
    said = ui.shows("Failed", "dedup: blocked by its gates", "Artifacts tab")
    assert "duplicate_rate" in said and "phusa show dedup" in said
    assert "tokenizer: blocked, not run: dedup failed" in said
    assert "crawl: reused" in said and "failed (GateFailed) after 0 stages built, 3 reused" in said
    ui.choose("Retry")
    ui.click("Retry", within="alertdialog")
    wait_for(lambda: site.ask(f"/flow_runs/{run}")["run_count"] == 2, 60, "the retry")
    site.wait_until(run, "FAILED")


def test_a_retry_goes_on_from_what_is_sealed(
    site: PrefectSite, ui: Browser, knobs: dict[str, Any], tmp_path: Path
) -> None:
    """A failure in the middle, mended: a file in the way of a folder of the store."""
    store = tmp_path / "store"
    (store / "work").mkdir(parents=True)
    (store / "work/dedup").write_text("in the way")
    run = site.order("manual", store=str(store))
    site.wait_until(run, "FAILED")
    (store / "work/dedup").unlink()
    ui.open(f"{site.url}/v2/runs/flow-run/{run}")
    ui.shows("Failed", "dedup: failed")
    ui.choose("Retry")
    ui.click("Retry", within="alertdialog")
    wait_for(lambda: site.ask(f"/flow_runs/{run}")["run_count"] == 2, 60, "the retry")
    site.wait_until(run, "COMPLETED")
    ui.open(f"{site.url}/v2/runs/flow-run/{run}")
    ui.shows("Completed", "dedup: failed")
    ui.click("Oldest to newest", until="Newest to oldest")  # of a long log, a page draws one end
    ui.click("Newest to oldest", within="listbox")
    ui.shows("clean: reused, built in", "dedup: built in", "2 stages built, 3 reused")
