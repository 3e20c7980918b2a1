"""Cancelled, killed and cut off: runs of real workers, and what is left of their training."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.operations import server as operations
from tests.flows.deployed.prefect_site import PrefectSite, end, kill_with_children, wait_for

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

LONG = 30_000_000
"""Tokens: an hour of training, if nobody stops it."""
SECONDS_TO_STOP = 15


@pytest.fixture(scope="module")
def knobs(recipe_path: Path) -> dict[str, Any]:
    """The recipe, with a training that saves nothing of its own accord."""
    recipe: dict[str, Any] = yaml.safe_load(recipe_path.read_text())
    training = {**recipe["pretrain"], "tokens": LONG, "checkpoint_steps": 1_000_000}
    return {**recipe, "pretrain": training}


@pytest.fixture(scope="module")
def dead(prefect: PrefectSite, recipe_path: Path, knobs: dict[str, Any]) -> str:
    """A training whose worker died with it, as when a machine loses its power: the run's id.

    It comes first, since the server takes its time to find out. The workers that come after it
    serve the other tests.
    """
    with (
        temporary_settings({PREFECT_API_URL: f"{prefect.url}/api"}),
        get_client(sync_client=True) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(operations, "ZOMBIE_AFTER_S", 75)  # of 120: heartbeats come every 30
        operations.ensure_zombie_automation(client)
    prefect.start_worker("cpu", "cpu-1")
    prefect.run(sys.executable, "-m", "flows.cli", "run", str(recipe_path))
    doomed = prefect.start_worker("gpu", "doomed")
    run = prefect.order("pretrain", config={**knobs["pretrain"], "seed": 1, "checkpoint_steps": 5})
    wait_for(lambda: snapshots(prefect), 180, "a checkpoint")
    kill_with_children(doomed)
    assert prefect.state(run)["type"] == "RUNNING"  # nobody is left to say otherwise
    prefect.start_worker("gpu", "gpu-1")
    return run


def snapshots(prefect: PrefectSite) -> set[Path]:
    return set((prefect.store / "work").glob("pretrain/*/**/step-*.safetensors"))


def wait_until_it_trains(prefect: PrefectSite, run: str) -> None:
    wait_for(lambda: "parameters" in prefect.said(run), 180, f"{run} to train: {prefect.logs()}")


def processes_of(run: str) -> list[psutil.Process]:
    """All processes that serve a flow run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("PREFECT__FLOW_RUN_ID") == run:
                found.append(process)
    return found


def stop(prefect: PrefectSite, run: str) -> None:
    prefect.cancel(run)
    prefect.wait_until(run, "CANCELLED", seconds=180)


def test_cancelling_a_pipeline_frees_the_gpu_with_a_checkpoint(
    prefect: PrefectSite, dead: str, knobs: dict[str, Any]
) -> None:
    before = snapshots(prefect)
    pipeline = prefect.order("manual", recipe=knobs, only="pretrain")
    ordered = {"parent_flow_run_id": {"any_": [pipeline]}}
    child = wait_for(lambda: prefect.runs(**ordered), 180, "a run on the gpu pool")[0]["id"]
    wait_until_it_trains(prefect, child)
    assert processes_of(child) and not snapshots(prefect) - before
    asked = time.monotonic()
    prefect.cancel(pipeline)
    wait_for(lambda: not processes_of(child), 180, "the training to end")
    assert time.monotonic() - asked < SECONDS_TO_STOP
    prefect.wait_until(child, "CANCELLED", seconds=180)
    prefect.wait_until(pipeline, "CANCELLED", seconds=180)
    assert snapshots(prefect) - before
    again = prefect.order("pretrain", config=knobs["pretrain"])
    wait_for(lambda: "goes on from step" in prefect.said(again), 180, "the checkpoint to be used")
    stop(prefect, again)


def test_a_server_that_restarts_does_not_kill_training(
    prefect: PrefectSite, dead: str, knobs: dict[str, Any]
) -> None:
    short = {**knobs["pretrain"], "tokens": 200_000, "seed": 2}
    run = prefect.order("manual", recipe={**knobs, "pretrain": short}, only="pretrain")
    child = wait_for(lambda: prefect.children(run), 180, "a run on the gpu pool")[0]["id"]
    wait_until_it_trains(prefect, child)
    trains = processes_of(child)
    end(prefect.server)
    time.sleep(3)  # it is away while progress is shown and states are asked for
    prefect.server = prefect.start_server()
    assert any(process.is_running() for process in trains)
    prefect.wait_until(run, "COMPLETED", seconds=180)
    assert prefect.state(child)["type"] == "COMPLETED"


def test_a_worker_that_was_killed_leads_to_a_crashed_run_that_is_gone_on_with(
    prefect: PrefectSite, dead: str, knobs: dict[str, Any]
) -> None:
    state = prefect.wait_until(dead, "CRASHED", seconds=240)
    assert "No heartbeat" in state["message"]
    again = prefect.order("pretrain", config={**knobs["pretrain"], "seed": 1})
    wait_for(lambda: "goes on from step" in prefect.said(again), 180, "the checkpoint to be used")
    stop(prefect, again)
