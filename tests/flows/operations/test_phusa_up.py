"""`phusa up` as a user starts and stops it: real server, real workers, real signals.

The tests of this module share one server and follow each other: what comes up, what is refused
beside it, what doctor says of it, a worker that dies, Ctrl-C in the middle of training, the next
start, and its kill -9.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun, State
from prefect.events.schemas.events import Event
from prefect.states import Pending, Running, Scheduled

from flows.operations import server_checks
from flows.operations.checks import Place
from flows.operations.server import (
    ZOMBIE_AFTER_S,
    ZOMBIES,
    ensure_pool,
    ensure_zombie_automation,
)
from tests.conftest import ROOT
from tests.flows.operations.living_up import LivingUp, wait_for
from tests.flows.servers import free_port

pytestmark = pytest.mark.fleet


@pytest.fixture
def client(up: LivingUp) -> Iterator[SyncPrefectClient]:
    with up.client() as client:
        yield client


@pytest.fixture
def place(up: LivingUp, client: SyncPrefectClient) -> Place:
    return Place(str(up.store), up.home, up.api, client)


def later(place: Place, **length: float) -> Place:
    return Place(
        place.store, place.home, place.api_url, place.client, place.now + timedelta(**length)
    )


def phusa(up: LivingUp, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "flows.cli", *words]
    return subprocess.run(
        command, cwd=ROOT, env={**up.env, **env}, capture_output=True, text=True, timeout=100
    )


def test_the_server_idles(up: LivingUp) -> None:
    """Prefect cuts some settings to whole seconds: 0 s apart, a service takes a whole core."""
    (server,) = (p for p in up.children if "server" in p.cmdline() and p.is_running())
    shares = []

    def idles() -> bool:
        shares.append(server.cpu_percent(interval=2))
        return shares[-1] < 40

    wait_for(f"a quiet second, in % of a core {shares}", idles, 40)


def test_everything_is_there(up: LivingUp, client: SyncPrefectClient) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/", timeout=10) as page:
        assert page.status == 200
        assert b"<html" in page.read()
    gpu, cpu = client.read_work_pool("gpu"), client.read_work_pool("cpu")
    assert (gpu.type, gpu.concurrency_limit, cpu.type) == ("process", 1, "process")
    assert (cpu.concurrency_limit or 0) >= 2
    assert {d.name for d in client.read_deployments()} >= {"manual", "nightly", "pretrain"}
    (automation,) = client.read_automations_by_name(ZOMBIES)
    assert automation.trigger.within == timedelta(seconds=ZOMBIE_AFTER_S)  # type: ignore[union-attr]
    said = up.said()
    assert f"http://127.0.0.1:{up.port}" in said
    assert str(up.home / "phusa-up") in said


def test_the_knobs_of_the_recipe_fill_the_forms(up: LivingUp, client: SyncPrefectClient) -> None:
    manual = client.read_deployment_by_name("pipeline/manual")
    assert manual.parameters["recipe"]["name"] == "tiny"
    assert manual.parameters["store"] == str(up.store)


def test_once_more_changes_nothing_and_keeps_what_a_person_set(client: SyncPrefectClient) -> None:
    client.update_work_pool("gpu", WorkPoolUpdate(concurrency_limit=2))
    (before,) = client.read_automations_by_name(ZOMBIES)
    assert ensure_pool(client, "gpu") == "gpu (2 at once)"
    ensure_zombie_automation(client)
    (after,) = client.read_automations_by_name(ZOMBIES)
    assert after == before
    client.update_work_pool("gpu", WorkPoolUpdate(concurrency_limit=1))


def test_a_second_one_is_refused(up: LivingUp) -> None:
    again = phusa(up, "up", "--port", str(free_port()))
    assert again.returncode == 2
    assert f"process {up.process.pid}" in again.stderr  # type: ignore[union-attr]
    assert f"http://127.0.0.1:{up.port}" in again.stderr


def test_a_port_that_is_taken_is_named(up: LivingUp, tmp_path: Path) -> None:
    other = phusa(up, "up", "--port", str(up.port), PREFECT_HOME=str(tmp_path))
    assert other.returncode == 2
    assert "a Prefect server, version 3." in other.stderr
    assert "--port" in other.stderr


def test_doctor_is_content(up: LivingUp) -> None:
    done = phusa(up, "doctor", "--store", str(up.store), "--json", PREFECT_API_URL="")
    found = {row["check"]: row for row in json.loads(done.stdout)}
    wrong = {k: v for k, v in found.items() if v["status"] == "error"}
    assert (done.returncode, wrong) == (0, {}), done.stdout
    assert "phusa up" in found["Prefect API"]["found"]
    assert found["database"]["found"].startswith("SQLite")
    for check in ("work pool cpu", "work pool gpu"):
        assert "online: phusa-up-" in found[check]["found"]


@pytest.fixture
def zombie(place: Place, client: SyncPrefectClient) -> Iterator[FlowRun]:
    """A run that is called Running, and that no process knows of."""
    tomorrow = Scheduled(scheduled_time=place.now + timedelta(days=1))  # no worker takes it
    deployment = client.read_deployment_by_name("clean/clean")
    run = client.create_flow_run_from_deployment(deployment.id, state=tomorrow)
    client.set_flow_run_state(run.id, Running(), force=True)
    yield client.read_flow_run(run.id)
    client.delete_flow_run(run.id)


@pytest.mark.parametrize("state", [Running(), Pending()], ids=["running", "pending"])
def test_doctor_sees_a_zombie(
    place: Place, client: SyncPrefectClient, zombie: FlowRun, state: State[Any]
) -> None:
    client.set_flow_run_state(zombie.id, state, force=True)
    assert all(f.status == "ok" for f in server_checks.stuck_runs(place))
    found = [f for f in server_checks.stuck_runs(later(place, hours=1)) if zombie.name in f.found]
    assert [f.status for f in found] == ["error"]
    assert "pool cpu" in found[0].found
    assert str(zombie.id) in found[0].remedy


def test_a_run_whose_heartbeats_stop_is_crashed(
    client: SyncPrefectClient, zombie: FlowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in earnest, but for the time: 10 s; the server takes up to twice that.

    Several beats, as a run has them: the server may not know the new automation yet at the first.
    """
    resource = {"prefect.resource.id": f"prefect.flow-run.{zombie.id}"}
    remake_automation(client, 10, monkeypatch)
    try:
        for _ in range(4):
            beat = Event(event="prefect.flow-run.heartbeat", resource=resource)
            client.request("POST", "/events", json=[beat.model_dump(mode="json")])
            time.sleep(2)
        wait_for("its end", lambda: client.read_flow_run(zombie.id).state_name == "Crashed")
    finally:
        remake_automation(client, ZOMBIE_AFTER_S, monkeypatch)


def remake_automation(
    client: SyncPrefectClient, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new one: of a changed one the server still minds the old time."""
    for old in client.read_automations_by_name(ZOMBIES):
        client.delete_automation(old.id)
    monkeypatch.setattr("flows.operations.server.ZOMBIE_AFTER_S", seconds)
    ensure_zombie_automation(client)


def test_doctor_sees_an_idle_or_paused_pool(place: Place, client: SyncPrefectClient) -> None:
    assert [f.status for f in server_checks.pools(place)] == ["ok", "ok"]
    gone = server_checks.pools(later(place, minutes=1))
    assert [f.status for f in gone] == ["error", "error"]
    assert "no worker online" in gone[0].found
    client.update_work_pool("gpu", WorkPoolUpdate(is_paused=True))
    try:
        assert "paused" in server_checks.pools(place)[1].found
    finally:
        client.update_work_pool("gpu", WorkPoolUpdate(is_paused=False))


def test_doctor_sees_missing_deployments_and_late_runs(
    place: Place, client: SyncPrefectClient
) -> None:
    late = [f for f in server_checks.schedules(later(place, days=2)) if f.check == "late runs"]
    assert [f.status for f in late] == ["warning"]
    clean = client.read_deployment_by_name("clean/clean")
    client.delete_deployment(clean.id)
    (found,) = server_checks.deployments(place)
    assert found.status == "error"
    assert "clean/clean" in found.found


def test_doctor_sees_the_automation_missing(place: Place, client: SyncPrefectClient) -> None:
    assert server_checks.automation(place)[0].status == "ok"
    (automation,) = client.read_automations_by_name(ZOMBIES)
    client.delete_automation(automation.id)
    try:
        assert server_checks.automation(place)[0].status == "error"
    finally:
        ensure_zombie_automation(client)


def test_a_worker_that_dies_is_started_again_and_its_run_crashed(
    up: LivingUp, tmp_path: Path
) -> None:
    run = up.run_slow(up.deploy_slow(tmp_path), tmp_path)
    worker, _ = up.note().services["worker-cpu"]
    os.kill(worker, signal.SIGKILL)
    wait_for("its end", lambda: "worker-cpu ended with exit code -9" in up.said())
    wait_for("another worker", lambda: up.note().services["worker-cpu"][0] != worker)
    assert (tmp_path / "saved").exists()
    assert up.states([run.id]) == ["Crashed", "Crashed"]


def test_ctrl_c_saves_ends_everything_and_it_starts_again(up: LivingUp, tmp_path: Path) -> None:
    run = up.run_slow(up.deploy_slow(tmp_path), tmp_path)
    assert up.signal(signal.SIGINT) == 0
    assert "SIGINT: stopping" in up.said()
    assert (tmp_path / "saved").exists()
    assert wait_for("nothing left", lambda: not up.left_over(), 5)
    assert not (up.home / "phusa-up" / "running.json").exists()
    up.start(until="work pools")
    assert up.states([run.id]) == ["Crashed", "Crashed"]


def test_kill_9_leaves_no_orphans(up: LivingUp) -> None:
    wait_for("both workers", lambda: {"worker-cpu", "worker-gpu"} <= up.note().services.keys())
    up.signal(signal.SIGKILL)
    wait_for("nothing left", lambda: not up.left_over(), 30)
