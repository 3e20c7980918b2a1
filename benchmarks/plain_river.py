"""`phusa run` without Prefect: the same commands, stages and task functions, called plainly.

`python -m benchmarks.plain_river run RECIPE --store STORE`; what benchmarks/orchestration.py takes
from the time of `phusa run`. A task is a call in a pool of threads; pages for the UI are not made.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

from prefect import Flow, Task

import flows.pipeline
import flows.run
import flows.stage_run
from flows.cli import main
from flows.runners import Runner

_POOL: list[ThreadPoolExecutor] = []


@contextmanager
def submitting_to(runner: Runner, workers: int, work: Path) -> Iterator[None]:
    """The threads that `phusa run` would use."""
    with ThreadPoolExecutor(workers) as pool:
        _POOL[:] = [pool]
        yield


def submit(task: Task[Any, Any], *args: Any, **kwargs: Any) -> Future[Any]:
    """Call the task's function; arguments that are futures are waited for first."""

    def call() -> Any:
        given = {name: _awaited(value) for name, value in kwargs.items()}
        return task.fn(*map(_awaited, args), **given)

    return _POOL[0].submit(copy_context().run, call)


def _awaited(value: Any) -> Any:
    if isinstance(value, Future):
        return value.result()
    return [_awaited(item) for item in value] if isinstance(value, list) else value


def run(flow: Flow[Any, Any], **parameters: Any) -> Any:
    """Call the flow's function, with its parameters made into models."""
    return flow.fn(**flow.validate_parameters(parameters))


def nothing(*args: Any, **kwargs: Any) -> None:
    """In the place of what only concerns the UI."""


def take_prefect_out() -> None:
    """Replace, in this process, whatever talks to a Prefect server."""
    Task.submit = submit  # type: ignore[assignment,method-assign]
    Flow.__call__ = run  # type: ignore[assignment,method-assign]
    for module, name, instead in (
        (flows.stage_run, "submitting_to", submitting_to),
        (flows.stage_run, "publish_page", nothing),
        (flows.pipeline, "publish_summary", nothing),
        (flows.pipeline, "earlier_run", nothing),
    ):
        if not hasattr(module, name):
            raise SystemExit(f"{module.__name__} has no {name} any more; mend this benchmark")
        setattr(module, name, instead)


if __name__ == "__main__":
    take_prefect_out()
    main()
