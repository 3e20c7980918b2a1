"""Small flows in a process of their own: `python -m tests.flows.small_flows FLOW PARAMETERS…`.

Runs the flow with each of the parameters (JSON), and prints what happened, a line of JSON for each.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import Flow, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.runners import Runner, Threads, submitting_to
from storage.errors import CorpusTooSmall
from tasks.progress import SilentReporter, note, report_to
from tasks.stage import handed
from tests.flows.servers import ROOT

SAID: list[str] = []
_THREADS = Threads()


class Listener(SilentReporter):
    """Remembers notes."""

    def note(self, text: str) -> None:
        SAID.append(text)


@task(task_run_name="square {number}", cache_policy=NO_CACHE)
def square(number: int, until: Path | None = None) -> dict[str, int]:
    """Told of a file `until`, it waits for it: so that another task needs another worker."""
    note("a task")
    if until is not None:
        (until / str(number)).touch()
        deadline = time.monotonic() + 60
        while len(list(until.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    if number < 0:
        raise CorpusTooSmall(f"found {number}; expected 0 or more. Take another.")
    return {"square": number * number, "pid": os.getpid()}


@task(task_run_name="sum", cache_policy=NO_CACHE)
def add(squares: Sequence[dict[str, int]]) -> int:
    return sum(one["square"] for one in squares)


@flow
def squares(runner: Runner, work: Path, numbers: list[int]) -> dict[str, Any]:
    """Mapped tasks, and one that takes their futures; two of them run at the same time."""
    together = work / "together"
    together.mkdir(parents=True)
    before = signal.getsignal(signal.SIGTERM)
    with submitting_to(runner, 2, work):
        kept = signal.getsignal(signal.SIGTERM) is before
        pair = [square.submit(number, together) for number in numbers[:2]]
        rest = [square.submit(number) for number in numbers[2:]]
        total = add.submit([handed(future) for future in pair + rest])
        pids = sorted({future.result()["pid"] for future in pair})
        [future.result() for future in rest]
        return {
            "flow_run": flow_run.get_id(),
            "total": total.result(),
            "pids": pids,
            "sigterm_kept": kept,
            "left": sorted(path.name for path in work.iterdir()),
        }


@flow
def outer(runner: Runner, work: Path, numbers: list[int]) -> dict[str, Any]:
    """As a stage is run by the pipeline."""
    return squares(runner, work, numbers)


@task(cache_policy=NO_CACHE)
def nothing(number: int) -> int:
    return number


@flow
def many(count: int, work: Path, runner: Runner = _THREADS) -> dict[str, Any]:
    """Trivial tasks, and how long they took without the flow's own cost."""
    with submitting_to(runner, 2, work):
        begin = time.perf_counter()
        futures = [nothing.submit(number) for number in range(count)]
        total = sum(future.result() for future in futures)
        taken = time.perf_counter() - begin
    return {"flow_run": flow_run.get_id(), "total": total, "seconds": taken}


Told = dict[str, Any]
FLOWS: dict[str, Flow[Any, Told]] = {"outer": outer, "many": many}


def call(
    env: Mapping[str, str], name: str, *parameters: Mapping[str, Any]
) -> tuple[list[Told], subprocess.CompletedProcess[str]]:
    """Run one of the flows in another process; what it printed, and the process."""
    words = [sys.executable, "-W", "ignore", "-m", "tests.flows.small_flows", name]
    done = subprocess.run(
        [*words, *(json.dumps(one, default=str) for one in parameters)],
        cwd=ROOT,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[-len(parameters) :]], done


def run(name: str, parameters: Mapping[str, Any]) -> Told:
    begin = time.perf_counter()
    SAID.clear()
    told: Told
    try:
        told = FLOWS[name](**parameters)
    except Exception as error:
        told = {"error": type(error).__name__, "says": str(error)}
    whole_s = time.perf_counter() - begin
    return {**told, "driver": os.getpid(), "said": SAID, "whole_s": whole_s}


def main() -> None:
    report_to(Listener())
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):  # 1 s for each flow
        for parameters in sys.argv[2:]:
            print(json.dumps(run(sys.argv[1], json.loads(parameters))), flush=True)


if __name__ == "__main__":
    main()
