"""What docs/pools.md, operations.md, machines.md, the Dockerfile and the files beside them say
must exist: commands of Prefect's, settings, deployments, pools, job variables, what an image is
made of."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.utils.build import exclude_paths

from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = [DOCS / name for name in ("pools.md", "operations.md", "machines.md")]
MANIFESTS = DOCS / "kubernetes" / "phusa.yaml"
GPU_POOL = DOCS / "kubernetes" / "gpu-pool.json"
UNITS = sorted((DOCS / "systemd").glob("*.service"))
DEPLOYED = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
NAMES = {f"{one['entrypoint'].rpartition(':')[2]}/{one['name']}" for one in DEPLOYED}
POOLS = {"cpu", "gpu"}

# The properties of the default base job templates of prefect-docker 0.7.4 and prefect-kubernetes
# 0.8.0, which are not installed for the tests. Those that Prefect brings along are older.
VARIABLES = {
    "docker": "auto_remove command container_create_kwargs env image image_pull_policy labels "
    "mem_limit memswap_limit name network_mode networks privileged registry_credentials "
    "stream_output volumes",
    "kubernetes": "annotations backoff_limit cluster_config command cpu_limit cpu_request env "
    "finished_job_ttl image image_pull_policy job_watch_timeout_seconds labels memory_limit "
    "memory_request name namespace pod_watch_timeout_seconds service_account_name stream_output",
}


def commands(text: str) -> list[str]:
    """Lines of Prefect's command line, in code blocks and in back quotes."""
    found = re.findall(r"^(?:[A-Z_]+=\S+ )*(prefect (?!\.)[^\n#|]+)", text, re.M)
    found += re.findall(r"`(prefect [^`\n]+)`", text)
    return [re.split(r"\s{3,}", line)[0].strip() for line in found]


def check(line: str) -> None:
    """Parse a line as Prefect's own command line does. Raises CycloptsError if it cannot."""
    from prefect.cli._app import _app

    line = re.sub(r"\bID\b", str(uuid.uuid4()), line)
    words = [word for word in shlex.split(line)[1:] if word != "--no-prompt"]
    if words:
        _app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_prefect_exist(page: Path) -> None:
    found = commands(page.read_text())
    assert found
    for line in found:
        check(line)


@pytest.mark.filterwarnings("ignore")
def test_commands_in_units_and_manifests_exist() -> None:
    for unit in UNITS:
        parsed = configparser.RawConfigParser()
        parsed.read(unit)
        command = parsed["Service"]["ExecStart"].replace("%i", "gpu").replace("%H", "box")
        assert "/prefect " in command
        check(command)
    running = [m for m in manifests() if m["kind"] == "Deployment"]
    assert len(running) == 3
    running.append(yaml.safe_load((MANIFESTS.parent / "deploy-job.yaml").read_text()))
    for manifest in running:
        check(shlex.join(manifest["spec"]["template"]["spec"]["containers"][0]["args"]))


def test_a_made_up_command_is_found_out() -> None:
    for line in ("prefect worker begin", "prefect worker start --pool gpu --fast"):
        with pytest.raises(Exception, match="Unknown"):
            check(line)


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFESTS.read_text()))


def test_deployments_and_pools_that_are_named_exist() -> None:
    for page in PAGES:
        for line in commands(page.read_text()):
            named = re.findall(r"\b([a-z]+/[a-z]+)\b", line) if " deployment " in line else []
            assert set(named) <= NAMES, line
            pools = re.findall(r"--pool (\S+)", line)
            pools += re.findall(r"prefect work-pool (?!ls|get-)[a-z-]+ (\S+)", line)
            assert set(pools) <= POOLS, line
    workers = [
        a for m in manifests() if m["kind"] == "Deployment" for a in containers(m)[0]["args"]
    ]
    assert {pool for pool in POOLS if pool in workers} == POOLS


def containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manifest["spec"]["template"]["spec"]["containers"]
    return found


def test_settings_of_prefect_that_are_named_exist() -> None:
    from prefect.settings.legacy import _get_valid_setting_names
    from prefect.settings.models.root import Settings

    real = {name.upper() for name in _get_valid_setting_names(Settings)}
    real |= {
        "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR",  # read by `prefect flow-run execute`
        "PREFECT_KUBERNETES",  # the Dockerfile's own argument
    }
    for path in [*PAGES, MANIFESTS, ROOT / "Dockerfile"]:
        for name in set(re.findall(r"\bPREFECT_[A-Z_]*[A-Z]\b", path.read_text())):
            assert name in real or name.startswith("PREFECT_INTEGRATIONS_KUBERNETES_"), name


# --- job variables ------------------------------------------------------------------------------


def documented(kind: str) -> set[str]:
    """The names in the first column of the table of one pool type."""
    text = (DOCS / "pools.md").read_text()
    table = text.partition(f"| job variable of {kind} |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def known(kind: str) -> set[str]:
    if kind == "gpu-pool.json":
        return set(json.loads(GPU_POOL.read_text())["variables"]["properties"])
    if kind == "process":
        from prefect.workers.process import ProcessWorker

        return set(ProcessWorker.get_default_base_job_template()["variables"]["properties"])
    return set(VARIABLES[kind].split())


@pytest.mark.parametrize("kind", ["process", "docker", "kubernetes", "gpu-pool.json"])
def test_every_job_variable_is_documented_and_no_other(kind: str) -> None:
    assert documented(kind) == known(kind)


def test_examples_use_job_variables_that_there_are() -> None:
    """A name that the pool's template does not have is accepted by the server and ignored."""
    everything = set().union(*map(known, [*VARIABLES, "process", "gpu-pool.json"]))
    text = (DOCS / "pools.md").read_text()
    blocks = [yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", text, re.S)]
    pools = [pool for b in blocks for pool in b.get("definitions", {}).values()]
    pools += [one["work_pool"] for b in blocks for one in b.get("deployments", [])]
    assert len(pools) == 5
    for pool in pools:
        assert pool["name"] in POOLS
        assert set(pool["job_variables"]) <= everything, pool
    given = re.findall(r"--job-variable (\w+)=", text)
    assert set(given) <= known("gpu-pool.json")


def test_the_template_of_gpu_pods_is_whole() -> None:
    template = json.loads(GPU_POOL.read_text())
    configuration = json.dumps(template["job_configuration"])
    used = set(re.findall(r"\{\{ (\w+) \}\}", configuration))
    assert used == known("gpu-pool.json")
    job = template["job_configuration"]["job_manifest"]
    pod = job["spec"]["template"]["spec"]
    assert (pod["parallelism"], pod["completions"], pod["restartPolicy"]) == (1, 1, "Never")
    assert pod["containers"][0]["name"] == "prefect-job"
    assert job["spec"]["backoffLimit"] == 0  # else Prefect does not send an evicted run back
    assert pod["terminationGracePeriodSeconds"] >= 40
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_claims_accounts_and_secrets_of_the_manifests_fit_the_template() -> None:
    names = {(m["kind"], m["metadata"]["name"]) for m in manifests()}
    properties = json.loads(GPU_POOL.read_text())["variables"]["properties"]
    assert ("PersistentVolumeClaim", properties["cache_claim"]["default"]) in names
    assert ("ServiceAccount", properties["service_account_name"]["default"]) in names
    assert {m["metadata"]["namespace"] for m in manifests()} == {properties["namespace"]["default"]}


# --- the image ----------------------------------------------------------------------------------


def in_the_image() -> set[str]:
    """The files that .dockerignore lets through, by the rules of Docker's own client."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return set(exclude_paths(str(ROOT), [one for one in lines if one and one[0] != "#"]))


def tracked(*folders: str) -> list[str]:
    command = ["git", "ls-files", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_an_image_has_what_runs_and_deploys_and_nothing_else() -> None:
    there = in_the_image()
    assert set(tracked("flows", "tasks", "storage", "recipes")) <= there
    assert {"prefect.yaml", "pyproject.toml", "constraints.txt", "README.md"} <= there
    roots = {Path(name).parts[0] for name in there}
    assert not roots & {".git", ".venv", ".phusa", "tests", "docs", "benchmarks"}
    assert not [name for name in there if name.endswith(".pyc")]


def test_what_the_dockerfile_copies_and_names_is_there() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM \S+ AS (\S+)", text, re.M)
    assert {"cpu", "gpu"} <= set(stages)
    there = in_the_image()
    for line in re.findall(r"^COPY (.+)", text, re.M):
        *sources, _ = line.split()
        if sources[0].startswith("--from="):
            assert sources[0].removeprefix("--from=") in stages, line
        else:
            assert all(source == "." or source in there for source in sources), line
    extras = re.findall(r"^ARG EXTRAS=(.+)", text, re.M)[0].split(",")
    declared = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", declared, re.M) for extra in extras)
    assert "torch==2.13.0+cpu" in (ROOT / "constraints.txt").read_text(), "the Dockerfile says so"


# --- stopping a worker --------------------------------------------------------------------------

# A worker that kills its other runs as soon as one ends, like Prefect's when it is stopped.
WORKER = """
import subprocess, sys
run = "import pathlib, signal, sys, time\\n" \\
      "def stop(*_): time.sleep(0.7); path.write_text('saved'); sys.exit()\\n" \\
      "path = pathlib.Path(sys.argv[1]); signal.signal(signal.SIGTERM, stop)\\n" \\
      "path.write_text('began'); time.sleep(20)"
files = sys.argv[1:]
runs = [subprocess.Popen([sys.executable, "-c", run, p], start_new_session=True) for p in files]
while not all(open(p).read() == "began" for p in files): pass
print("ready", flush=True)
runs[0].wait()
for r in runs: r.kill()
"""


def test_end_runs_lets_runs_save_before_their_worker_hears_of_it(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        path.touch()
    command = [sys.executable, "-c", WORKER, *map(str, paths)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            ending = [str(DOCS / "systemd" / "end-runs"), str(worker.pid)]
            subprocess.run(ending, check=True, timeout=30)
            assert [path.read_text() for path in paths] == ["saved", "saved"]
            assert worker.poll() is None, "it is for systemd to end the worker"
            worker.send_signal(signal.SIGCONT)
            assert worker.wait(10) == 0
        finally:
            worker.kill()


def test_end_runs_has_nothing_to_do_for_a_worker_that_has_ended() -> None:
    subprocess.run([str(DOCS / "systemd" / "end-runs"), ""], check=True, timeout=10)
