"""Connecting to a cluster that runs already, and asking its nodes whether they can do the work.

prefect-ray and prefect-dask alone were tried and fall short: `RayTaskRunner("auto")` starts a
cluster of its own where it finds none; Ray tries a dead address for more than two minutes and takes
over SIGTERM, by which Prefect cancels a run; a node that does not see the work folder makes one of
its own and fills it, and one with other code makes other bytes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from flows.cluster_node import NodeProbe, NodeReport, code_here, probe_node
from flows.runners import Dask, Ray
from flows.stopping import heard
from storage.errors import ClusterUnusable, Fault, RequestError
from tasks.progress import note

_CONNECT_S = 5.0
_LOOK_S = 60.0  # a node's first answer takes it a new Python process: 3 s on two busy cores

Answers = Mapping[str, NodeReport | BaseException]
"""What the nodes of a cluster (Ray) or its workers (Dask) said, by their address."""


@contextmanager
def connected(runner: Ray | Dask, work: Path) -> Iterator[Any]:
    """A started Prefect task runner on a cluster whose nodes can do the work in `work`."""
    probe = NodeProbe(work, f".seen-{uuid.uuid4().hex}", uuid.uuid4().hex, _api_url(runner))
    opened = _ray(runner, probe) if isinstance(runner, Ray) else _dask(runner, probe)
    file = work / probe.name
    file.write_text(probe.content)
    try:
        with opened as (task_runner, answers):
            file.unlink()
            _require_able(runner, answers)
            what = "nodes" if isinstance(runner, Ray) else "workers"
            note(f"shards go to {len(answers)} {what} of {_named(runner)}")
            yield task_runner
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _ray(runner: Ray, probe: NodeProbe) -> Iterator[tuple[Any, Answers]]:
    import ray
    from prefect_ray import RayTaskRunner

    address = os.environ.get("RAY_ADDRESS", "auto") if runner.address == "auto" else runner.address
    if address != "auto" and os.environ.get("RAY_USE_TLS", "0") == "0":
        _require_grpc(runner, address.removeprefix("ray://"))
    with _sigterm_kept(), _failure_named(runner):
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", namespace="prefect")
    try:
        with _failure_named(runner):
            answers = _ask_ray(probe)
        with RayTaskRunner(address=address) as task_runner:
            yield task_runner, answers
    finally:
        with _sigterm_kept():
            ray.shutdown()


def _ask_ray(probe: NodeProbe) -> Answers:
    """Every node that can be given work answers; a head node without CPUs is never given any."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asking = {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ask = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(probe_node)
            asking[f"{node['NodeManagerAddress']}/{node['NodeID'][:8]}"] = ask.remote(probe)
    ray.wait(list(asking.values()), num_returns=len(asking), timeout=_LOOK_S) if asking else None
    answers: dict[str, NodeReport | BaseException] = {}
    for name, answer in asking.items():
        try:
            answers[name] = ray.get(answer, timeout=0)
        except ray.exceptions.GetTimeoutError:
            answers[name] = TimeoutError(f"no answer in {_LOOK_S:.0f} s")
        except Exception as error:
            answers[name] = error
    return answers


@contextmanager
def _dask(runner: Dask, probe: NodeProbe) -> Iterator[tuple[Any, Answers]]:
    import dask
    from prefect.utilities.asyncutils import run_coro_as_sync  # also where a loop runs: a notebook
    from prefect_dask import DaskTaskRunner

    address = runner.address
    if address == "auto":
        address = dask.config.get("scheduler-address", None)
        if address is None:
            expected = "the scheduler's address there, or in the recipe: runner.address"
            remedy = "Set runner: {kind: dask, address: tcp://HOST:8786}."
            raise RequestError(Fault("DASK_SCHEDULER_ADDRESS", "nothing", expected, remedy))
    with _failure_named(runner):
        run_coro_as_sync(_identify(address))
    with DaskTaskRunner(address=address) as task_runner:
        with _failure_named(runner):
            answers = task_runner.client.run(probe_node, probe, on_error="return")
        yield task_runner, answers


async def _identify(address: str) -> None:
    """Client(timeout=5) itself waits for ever for the answer of an HTTP server, the dashboard's."""
    from distributed import Security, rpc

    arguments = Security().get_connection_args("client")
    async with rpc(address, connection_args=arguments) as scheduler:
        await asyncio.wait_for(scheduler.identity(), _CONNECT_S)


def _api_url(runner: Ray | Dask) -> str:
    """Without a server of their own address, the tasks on the nodes would each start one."""
    from prefect.settings import PREFECT_API_URL

    url: str | None = PREFECT_API_URL.value()
    if url is None:
        expected = "the address of a Prefect server that the nodes reach"
        remedy = f"Start one (prefect server start) and set it, or drop `runner: {runner.kind}`."
        raise RequestError(Fault("PREFECT_API_URL", "nothing", expected, remedy))
    return url


def _require_grpc(runner: Ray, address: str) -> None:
    """Ray itself takes two minutes to give up on a dead address, or on another service's."""
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_CONNECT_S)
        except grpc.FutureTimeoutError:
            raise _unusable(runner, f"no answer in {_CONNECT_S:.0f} s") from None


@contextmanager
def _failure_named(runner: Ray | Dask) -> Iterator[None]:
    """What Ray and Dask raise, other versions on the cluster among it, as ClusterUnusable."""
    try:
        yield
    except TimeoutError:
        raise _unusable(runner, f"no answer in {_CONNECT_S:.0f} s") from None
    except Exception as error:
        raise _unusable(runner, f"{type(error).__name__}: {error}") from error


def _unusable(runner: Ray | Dask, why: str) -> ClusterUnusable:
    start = "ray start --head" if isinstance(runner, Ray) else "dask scheduler"
    return ClusterUnusable(
        f"{_named(runner)} cannot be used ({why}); expected a cluster that runs already, of the "
        f"same versions as here. Start it ({start}; docs/clusters.md), mend runner.address, or "
        "set runner: threads, then run the same command: it goes on where it stopped."
    )


def _named(runner: Ray | Dask) -> str:
    return f"the {runner.kind.capitalize()} cluster at {runner.address}"


def _sigterm_kept() -> AbstractContextManager[None]:
    """Ray installs a SIGTERM handler of its own, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return nullcontext()
    return heard(signal.getsignal(signal.SIGTERM), signal.SIGTERM)


def _require_able(runner: Ray | Dask, answers: Answers) -> None:
    if not answers:
        raise _unusable(runner, "it has no worker")
    mine = code_here()
    faults = [f"{name}: {f}" for name, said in answers.items() for f in _faults(said, mine)]
    if faults:
        raise ClusterUnusable(
            f"{_named(runner)} has nodes that cannot do the work; expected the same packages as "
            "here, the store's work folder (with S3, PHUSA_CACHE) on a filesystem that all nodes "
            "see under the same path, and a PREFECT_API_URL that they reach "
            "(docs/clusters.md):\n  " + "\n  ".join(faults)
        )


def _faults(said: NodeReport | BaseException, mine: Mapping[str, str]) -> list[str]:
    if isinstance(said, BaseException):
        last = str(said).strip().splitlines()[-1:] or [""]
        return [f"cannot run phusa ({type(said).__name__}: {last[0]})"]
    if said.faults:
        return list(said.faults)
    others = [f"{k} {v}, here {mine[k]}" for k, v in said.code.items() if mine[k] != v]
    return [f"has other code: {'; '.join(others)}"] if others else []
