"""What Prefect costs: for each task, for an empty flow, and as a share of the demo's time.

On a quiet machine: `python -m benchmarks.orchestration --demo-seconds S`, S being what `make demo`
took. It starts Prefect servers, PostgreSQL, and clusters of two local nodes or workers by itself,
and takes some ten minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from benchmarks.ledger import record
from flows.operations.server import RECORDING
from flows.recipe import load_recipe
from storage.store import Store
from tests.conftest import recipe_of
from tests.flows.servers import ROOT, dask_cluster, postgresql, prefect_server, ray_cluster
from tests.flows.small_flows import Told, call
from tests.site import TinySite

COMMAND = "python -m benchmarks.orchestration --demo-seconds S"
REPEATS = 3
ON_THREADS, ON_CLUSTER = 1_000, 200
DEMO = ROOT / "recipes/demo.yaml"

RAY = """
import ray, sys, time
ray.init(address=sys.argv[1], log_to_driver=False)
work, count = ray.remote(lambda number: number), int(sys.argv[2])
for attempt in range(2):
    begin = time.perf_counter()
    sum(ray.get([work.remote(number) for number in range(count)]))
    print(time.perf_counter() - begin)
"""
DASK = """
import distributed, sys, time
client, count = distributed.Client(sys.argv[1]), int(sys.argv[2])
for attempt in range(2):
    begin = time.perf_counter()
    sum(client.gather(client.map(lambda number: number + 0 * attempt, range(count))))
    print(time.perf_counter() - begin)
"""


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def run_many(
    server: Mapping[str, str], count: int, work: Path, runner: object = "threads"
) -> list[Told]:
    """Flows of so many empty tasks, in one process; the first, which warms up, is left out."""
    wanted = {"count": count, "work": work, "runner": runner}
    told, done = call(server, "many", *[wanted] * (REPEATS + 1))
    assert all("total" in one for one in told), (told, done.stderr)
    return told[1:]


def threads(server: Mapping[str, str], work: Path, database: str) -> None:
    """Empty tasks on two threads; the peer is Python's own pool of two threads."""
    mine = median([one["seconds"] for one in run_many(server, ON_THREADS, work)])
    begin = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(int, number) for number in range(ON_THREADS)]
        assert sum(future.result() for future in futures) == sum(range(ON_THREADS))
    theirs = time.perf_counter() - begin
    show_task(f"task on threads, {database}", mine, theirs, ON_THREADS, "ThreadPoolExecutor")


def cluster(server: Mapping[str, str], work: Path, kind: str, address: str) -> None:
    """Empty tasks on a cluster of two; the peer is that cluster without Prefect."""
    runner = {"kind": kind, "address": address}
    mine = median([one["seconds"] for one in run_many(server, ON_CLUSTER, work, runner)])
    words = [sys.executable, "-W", "ignore", "-c", {"ray": RAY, "dask": DASK}[kind]]
    done = subprocess.run(
        [*words, address, str(ON_CLUSTER)], capture_output=True, text=True, check=True
    )
    theirs = float(done.stdout.split()[-1])
    show_task(f"task on {kind}, SQLite", mine, theirs, ON_CLUSTER, "the cluster without Prefect")


def show_task(key: str, mine: float, theirs: float, count: int, peer: str) -> None:
    what = f"each of {count:,} empty tasks, two at once; peer: {peer}"
    ours, peers = (f"{seconds / count * 1e3:.2f} ms" for seconds in (mine, theirs))
    record(key, what, ours, peers, f"{theirs / mine:.3f}x", COMMAND)


def empty_flow(server: Mapping[str, str], work: Path) -> None:
    taken = median([one["whole_s"] for one in run_many(server, 0, work)])
    record(
        "empty flow",
        "a flow without tasks, warm, without a heartbeat (as `phusa run` has it)",
        f"{taken:.2f} s",
        "-",
        "-",
        COMMAND,
    )


def share_of_demo(server: Mapping[str, str], work: Path, demo_s: float) -> None:
    """`phusa run` on a tiny site, less the same run with Prefect taken out; in turn.

    Prefect's part does not grow with the work, only with the number of flows and tasks, and these
    are the demo's: all its stages, and as many shards. So the difference, which is seconds here, is
    set against the demo's time, where it would drown in noise. Both import Prefect: its import is
    timed by itself and added.
    """
    with TinySite() as site:
        recipe = recipe_of(site) | {"prompts": []}
        recipe["crawl"]["num_shards"] = dict(load_recipe(DEMO))["crawl"].num_shards
        path = work / "shape.yaml"
        path.write_text(yaml.safe_dump(recipe))
        alone = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
        environments = {
            "with a server that runs": dict(server),
            "with a server of its own": {**alone, "PREFECT_HOME": str(work / "own")},
        }
        for label, env in environments.items():
            more = imports(env) + median([pair(path, env, work) for _ in range(REPEATS)])
            record(
                f"demo, {label}",
                f"seconds of Prefect in a run of the demo's shape, and of its {demo_s:.0f} s",
                f"{more:.1f} s",
                f"{more / demo_s:.1%} of the demo",
                "-",
                COMMAND,
            )


def pair(recipe: Path, env: Mapping[str, str], work: Path) -> float:
    """How many seconds longer the run with Prefect takes. Both make the same artifacts."""
    seconds, digests = [], []
    for module in ("flows.cli", "benchmarks.plain_river"):
        with tempfile.TemporaryDirectory(dir=work) as store:
            words = [sys.executable, "-W", "ignore", "-m", module, "run", str(recipe)]
            begin = time.perf_counter()
            subprocess.run(
                [*words, "--store", store], cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL
            )
            seconds.append(time.perf_counter() - begin)
            digests.append({one.name: one.digest for one in Store(store).manifests()})
    assert digests[0] == digests[1] and len(digests[0]) == 7, digests
    return seconds[0] - seconds[1]


def imports(env: Mapping[str, str]) -> float:
    code = (
        "import time, torch, pyarrow\n"  # what the stages import anyway
        "begin = time.perf_counter()\n"
        "import prefect.main, prefect.runtime, prefect.artifacts\n"
        "print(time.perf_counter() - begin)"
    )
    words = [sys.executable, "-c", code]
    return median(
        [
            float(subprocess.run(words, env=env, capture_output=True, check=True).stdout)
            for _ in range(REPEATS)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo-seconds", type=float, required=True, help="as `make demo` took")
    given = parser.parse_args()
    # In /tmp, where PostgreSQL's own user can reach its folder.
    with tempfile.TemporaryDirectory(prefix="phusa-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with prefect_server(folder / "sqlite", **RECORDING) as server:
            empty_flow(server, folder)
            threads(server, folder, "SQLite")
            with ray_cluster(folder / "ray") as address:
                cluster(server, folder, "ray", address)
            with dask_cluster(folder / "dask") as address:
                cluster(server, folder, "dask", address)
            share_of_demo(server, folder, given.demo_seconds)
        with postgresql(folder / "postgresql") as url:
            settings = {**RECORDING, "PREFECT_SERVER_DATABASE_CONNECTION_URL": url}
            with prefect_server(folder / "home", **settings) as server:
                threads(server, folder, "PostgreSQL")


if __name__ == "__main__":
    main()
