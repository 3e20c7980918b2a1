"""Mapped tasks on real, local Ray and Dask clusters of two nodes or workers."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import TypeAdapter, ValidationError

from flows import clusters
from flows.cluster_node import NodeProbe, NodeReport, code_here, probe_node
from flows.runners import Dask, Ray, Runner, Threads, missing_packages
from storage.errors import ClusterUnusable, RequestError
from storage.manifest import Manifest
from storage.store import Store
from tests.flows.conftest import Phusa
from tests.flows.servers import (
    ROOT,
    ask,
    completed_tasks,
    dask_cluster,
    dask_worker,
    ray_cluster,
)
from tests.flows.small_flows import call

pytestmark = pytest.mark.fleet

MAPPED = ("clean", "dedup", "shard")


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("clusters")
    with ray_cluster(folder / "ray") as ray, dask_cluster(folder / "dask") as dask:
        yield {"ray": ray, "dask": dask}


def test_a_name_is_enough() -> None:
    runner: TypeAdapter[Any] = TypeAdapter(Runner)
    assert runner.validate_python("threads") == Threads()
    assert runner.validate_python("ray") == Ray(address="auto")
    assert runner.validate_python({"kind": "dask", "address": "tcp://a:8786"}) == Dask(
        address="tcp://a:8786"
    )
    with pytest.raises(ValidationError, match="'threads', 'ray', 'dask'"):
        runner.validate_python("spark")


def test_threads_run_in_the_flows_process(prefect_env: dict[str, str], tmp_path: Path) -> None:
    wanted = {"runner": "threads", "work": tmp_path, "numbers": [1, 2, 3, 4]}
    [told], _ = call(prefect_env, "outer", wanted)
    assert told["total"] == 30
    assert told["pids"] == [told["driver"]]
    assert told["said"] == ["a task"] * 4  # the reporter reaches the threads
    assert completed_tasks(prefect_env, told["flow_run"], 5, 30) == 5


@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_clusters_run_mapped_tasks(
    kind: str, addresses: dict[str, str], prefect_env: dict[str, str], tmp_path: Path
) -> None:
    """And then some that fail."""
    wanted = {"runner": {"kind": kind, "address": addresses[kind]}, "numbers": [1, 2, 3, 4]}
    failing = {**wanted, "work": _folder(tmp_path / "failing"), "numbers": [1, -2]}
    (told, failed), done = call(
        prefect_env, "outer", {**wanted, "work": _folder(tmp_path / "work")}, failing
    )
    assert told.get("total") == 30, (told, done.stderr)
    assert len(told["pids"]) == 2 and told["driver"] not in told["pids"]
    assert told["left"] == ["together"]  # the file that nodes are probe for is gone
    assert told["sigterm_kept"]
    [said] = told["said"]
    assert "shards go to 2" in said and addresses[kind] in said
    assert failed["error"] == "CorpusTooSmall", (failed, done.stderr)
    assert failed["says"] == "found -2; expected 0 or more. Take another."
    assert completed_tasks(prefect_env, told["flow_run"], 5, 60) == 5
    runs = ask(
        prefect_env,
        "task_runs/filter",
        {"task_runs": {"flow_run_id": {"any_": [told["flow_run"]]}}},
    )
    assert sorted(run["name"] for run in runs) == [*(f"square {n}" for n in (1, 2, 3, 4)), "sum"]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_artifacts_are_the_same_bytes(
    kind: str,
    addresses: dict[str, str],
    phusa: Phusa,
    recipe: Path,
    store: Store,
    tmp_path: Path,
) -> None:
    """What threads made is made again by the same command, on the cluster."""
    copy = tmp_path / "store"
    shutil.copytree(store.address, copy)
    place = f"runner={{kind: {kind}, address: '{addresses[kind]}'}}"
    forced = [word for name in MAPPED for word in ("--force", name)]
    said = phusa("run", recipe, "--store", copy, *forced, "--set", place).stdout
    assert said.count("shards go to 2") == said.count("run (forced)") == len(MAPPED)
    for name in MAPPED:
        made, before = Store(copy).resolve(name), store.resolve(name)
        assert made.version != before.version and made.digest == before.digest
        assert _files(made) == _files(before)


def _files(manifest: Manifest) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in manifest.files}


def test_a_node_with_other_code_is_refused(
    addresses: dict[str, str], prefect_env: dict[str, str], tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    for package in ("flows", "tasks", "storage"):
        shutil.copytree(ROOT / package, tree / package)
    with (tree / "tasks/clean/text.py").open("a") as changed:
        changed.write("# another version\n")
    runner = {"kind": "dask", "address": addresses["dask"]}
    work = _folder(tmp_path / "work")
    with dask_worker(addresses["dask"], tmp_path / "third", tree):
        wanted = {"runner": runner, "work": work, "numbers": [1, 2]}
        [told], _ = call(prefect_env, "outer", wanted)
    assert told["error"] == "ClusterUnusable"
    assert told["says"].count("has other code: phusa ") == 1
    assert list(work.iterdir()) == [work / "together"]


def test_what_a_node_must_see(prefect_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "seen").write_text("this")
    api_url = prefect_env["PREFECT_API_URL"]
    assert probe_node(NodeProbe(tmp_path, "seen", "this", api_url)).faults == ()
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]
    [fault] = probe_node(NodeProbe(tmp_path, "seen", "that", api_url)).faults
    assert "sees another folder" in fault
    [fault] = probe_node(NodeProbe(tmp_path / "none", "seen", "this", api_url)).faults
    assert "does not see the work folder" in fault and "No such file" in fault
    [fault] = probe_node(NodeProbe(tmp_path, "seen", "this", "http://127.0.0.1:1/api")).faults
    assert "does not reach the Prefect server at http://127.0.0.1:1/api" in fault


def test_all_that_is_wrong_with_nodes_is_said_at_once() -> None:
    good = NodeReport("a", code_here(), ())
    clusters._require_able(Ray(), {"10.0.0.1": good})
    answers: clusters.Answers = {
        "10.0.0.1": good,
        "10.0.0.2": NodeReport("b", {**code_here(), "pyarrow": "1.0"}, ()),
        "10.0.0.3": NodeReport("c", code_here(), ("does not see the work folder /w",)),
        "10.0.0.4": ModuleNotFoundError("No module named 'flows'"),
    }
    with pytest.raises(ClusterUnusable) as refused:
        clusters._require_able(Ray(), answers)
    lines = str(refused.value).splitlines()[1:]
    assert "10.0.0.2: has other code: pyarrow 1.0, here" in lines[0]
    assert lines[1].strip() == "10.0.0.3: does not see the work folder /w"
    assert "10.0.0.4: cannot run phusa (ModuleNotFoundError: No module named 'flows')" in lines[2]
    with pytest.raises(ClusterUnusable, match="it has no worker"):
        clusters._require_able(Dask(), {})


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a service that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("runner", [Ray, Dask])
def test_no_cluster_there(
    runner: type[Ray] | type[Dask],
    deaf: str,
    prefect_env: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clusters, "_CONNECT_S", 0.5)
    monkeypatch.setattr(clusters, "_api_url", lambda _: prefect_env["PREFECT_API_URL"])
    for address in (deaf, "127.0.0.1:1"):
        started = time.monotonic()
        with (
            pytest.raises(ClusterUnusable, match=r"cannot be used .* Start it"),
            clusters.connected(runner(address=address), tmp_path),
        ):
            pass
        assert time.monotonic() - started < 20  # Ray's own limit is 120 s, Dask has none
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == "prefect_ray" else ModuleSpec(name, None)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    [fault] = missing_packages(Ray())
    assert "no prefect_ray" in str(fault) and "pip install 'phusa[ray]'" in str(fault)
    assert not missing_packages(Dask()) and not missing_packages(Threads())


def test_clusters_need_a_server(tmp_path: Path) -> None:
    """An ephemeral server is the flow's own: tasks elsewhere would each start another."""
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(RequestError, match="PREFECT_API_URL: found nothing"),
        clusters.connected(Ray(), tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())
