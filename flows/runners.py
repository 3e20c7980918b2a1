"""Where a stage's mapped shard tasks run: threads of this process, or a Ray or Dask cluster.

Light to import: a recipe holds one of these, and a command that reads it must not pay for Prefect.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from storage.errors import Fault, RequestError
from tasks.config import Config, knob


class Threads(Config):
    """Threads of the process that runs the flow; `workers` says how many."""

    kind: Literal["threads"] = knob("threads", "threads of this process")


class Ray(Config):
    """An existing Ray cluster; none is ever started."""

    kind: Literal["ray"] = knob("ray", "an existing Ray cluster (phusa[ray]; docs/clusters.md)")
    address: str = knob(
        "auto",
        "HOST:6379, if this machine is a node of the cluster; ray://HOST:10001 from any other; "
        "auto: RAY_ADDRESS, or the cluster that this machine is a node of",
        min_length=1,
        source="https://docs.ray.io/en/latest/ray-core/api/doc/ray.init.html",
    )


class Dask(Config):
    """An existing Dask cluster; none is ever started."""

    kind: Literal["dask"] = knob("dask", "an existing Dask cluster (phusa[dask]; docs/clusters.md)")
    address: str = knob(
        "auto",
        "the scheduler, tcp://HOST:8786; auto: DASK_SCHEDULER_ADDRESS",
        min_length=1,
        source="https://distributed.dask.org/en/stable/client.html",
    )


def _by_name(value: Any) -> Any:
    """`runner: ray` is short for `runner: {kind: ray}`."""
    return {"kind": value} if isinstance(value, str) else value


Runner = Annotated[Threads | Ray | Dask, Field(discriminator="kind"), BeforeValidator(_by_name)]

_PACKAGES = {
    "threads": (),
    "ray": ("ray", "prefect_ray"),
    "dask": ("distributed", "prefect_dask"),
}


def missing_packages(runner: Threads | Ray | Dask) -> list[Fault]:
    """What this runner lacks on this machine; empty if it can be used."""
    lacking = [name for name in _PACKAGES[runner.kind] if importlib.util.find_spec(name) is None]
    if not lacking:
        return []
    expected = f"the packages {' and '.join(_PACKAGES[runner.kind])}"
    remedy = f"Install them here and on the nodes: pip install 'phusa[{runner.kind}]'."
    found = f"no {' and no '.join(lacking)}"
    return [Fault(f"runner {runner.kind}", found, expected, remedy, "not_installed")]


@contextmanager
def submitting_to(runner: Threads | Ray | Dask, workers: int, work: Path) -> Iterator[None]:
    """Within the block, `some_task.submit(...)` of the running flow goes to `runner`.

    The flow's own runner is chosen when it is decorated; this choice comes with its parameters.
    `work` is the folder that the tasks write to: each node of a cluster is asked whether it sees
    it, and runs the same code. Raises RequestError if something is not installed or set, and
    ClusterUnusable within seconds if the cluster does not answer or a node cannot do the work.
    """
    from prefect.context import FlowRunContext
    from prefect.task_runners import ThreadPoolTaskRunner

    faults = missing_packages(runner)
    if faults:
        raise RequestError(faults)
    running = FlowRunContext.get()
    assert running is not None, "called outside a flow"
    if isinstance(runner, Threads):
        started: Any = ThreadPoolTaskRunner(max_workers=workers)
    else:
        from flows.clusters import connected

        started = connected(runner, work)
    with started as task_runner, running.model_copy(update={"task_runner": task_runner}):
        yield
