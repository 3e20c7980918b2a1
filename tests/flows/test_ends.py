"""How runs end: real processes, real signals, real servers that die."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.conftest import ROOT
from tests.flows.servers import prefect_server

pytestmark = pytest.mark.fleet

LONG = ("--set", "pretrain.tokens=20000000", "--set", "pretrain.checkpoint_steps=50")
GOES_ON = "the same command goes on from here"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files to a model: some seconds of work."""
    folder = tmp_path_factory.mktemp("ends")
    (folder / "library").mkdir()
    chance = random.Random(1)
    words = [f"{a}{b}" for a in ("song", "bai", "phu", "sa", "lua") for b in ("a", "en", "u", "i")]
    for n in range(60):
        text = "\n\n".join(" ".join(chance.choices(words, k=60)) for _ in range(4))
        (folder / "library" / f"{n}.md").write_text(f"# Page {n}\n\n{text}\n")
    small = {"num_layers": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2}
    wanted: dict[str, Any] = {
        "name": "ends",
        "prompts": ["song a"],
        "crawl": {"source": {"kind": "files", "path": str(folder / "library")}, "num_shards": 3},
        "clean": {"filters": [{"kind": "length", "min_words": 5}]},
        "tokenizer": {"vocab_size": 300},
        "shard": {"sequence_length": 64, "validation_share": 0.15},
        "pretrain": {
            "model": {"kind": "qwen3", **small, "num_kv_heads": 1, "head_dim": 16},
            "tokens": 20_480,
            "batch_sequences": 4,
            "compute": {"threads": 1},
        },
    }
    path = folder / "r.yaml"
    path.write_text(yaml.safe_dump(wanted))
    return path


class Run:
    """`phusa run` in a group of its own, and what it printed."""

    def __init__(self, recipe: Path, folder: Path, *words: str, url: str = "") -> None:
        self.home, self.lines = folder / "home", list[str]()
        env = {**os.environ, "PREFECT_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        env["PREFECT_API_URL"] = url  # empty: none
        place = ("--store", str(folder / "store"), "--to", "pretrain")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "run", str(recipe), *place, *words],
            cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            self.lines.extend(iter(stream.readline, ""))

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + 180
        while text not in self.said:
            assert self._process.poll() is None and time.monotonic() < until, self.said
            time.sleep(0.02)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def end(self, within_s: float) -> int:
        code = self._process.wait(within_s)
        self._reader.join(5)
        return code

    def states(self) -> set[str]:
        """The states of the flow runs; the names of those that have none."""
        with sqlite3.connect(f"file:{self.home}/prefect.db?mode=ro", uri=True) as database:
            return {state for (state,) in database.execute("select state_name from flow_run")}


def gone(processes: list[psutil.Process], within_s: float) -> bool:
    until = time.monotonic() + within_s
    while any(one.is_running() and one.status() != "zombie" for one in processes):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(
    ("moment", "number", "to_group"),
    [
        ("waiting for", signal.SIGHUP, True),  # the server starts
        ("clean: run", signal.SIGTERM, True),
        ("dedup: run", signal.SIGINT, True),
        ("tokenizer: run", signal.SIGTERM, False),
        (" parameters, ", signal.SIGTERM, True),
        (" parameters, ", signal.SIGHUP, False),
        ("song a", signal.SIGTERM, False),  # all is made
    ],
)
def test_a_signal_ends_a_run_cleanly_and_soon(
    recipe: Path, tmp_path: Path, moment: str, number: signal.Signals, to_group: bool
) -> None:
    words = LONG if moment == " parameters, " else ()
    run = Run(recipe, tmp_path, *words)
    if moment == "waiting for":  # it is said after ten seconds; a fast machine needs less
        until = time.monotonic() + 60
        while not run.children() and time.monotonic() < until:
            time.sleep(0.02)
    else:
        run.wait_for(moment)
    children = run.children()
    (os.killpg if to_group else os.kill)(run.pid, number)
    assert run.end(15) == 128 + number, run.said
    assert run.lines[-1].strip() == f"stopped on {number.name}; {GOES_ON}"
    assert "Traceback" not in run.said and "prefect._internal" not in run.said
    assert gone(children, 1)
    if moment != "waiting for":
        assert run.states() <= {"Completed", "Failed", "Crashed", "Cancelled"}
    if moment == " parameters, ":
        again = Run(recipe, tmp_path, *words)
        again.wait_for("pretrain: goes on from step")
        os.kill(again.pid, signal.SIGKILL)
        again.end(5)


def test_a_kill_leaves_no_server_and_a_second_signal_ends_at_once(
    recipe: Path, tmp_path: Path
) -> None:
    for name, signals in {"killed": [signal.SIGKILL], "twice": [signal.SIGTERM] * 2}.items():
        (tmp_path / name).mkdir()
        run = Run(recipe, tmp_path / name, *LONG)
        run.wait_for("dedup: run")
        children = run.children()
        for number in signals:
            os.killpg(run.pid, number)
            time.sleep(0.2)
        assert run.end(8) in (-signal.SIGKILL, 128 + signal.SIGTERM), run.said
        assert children and gone(children, 8)
        ended = run.states() - {"Completed"}  # by the first signal, where the second came late
        assert ended == {"Crashed"} or (name == "twice" and ended == {"Failed"})


def test_a_run_outlives_its_own_server(recipe: Path, tmp_path: Path) -> None:
    run = Run(recipe, tmp_path)
    run.wait_for("quality: run")
    (server,) = (one for one in run.children() if "flows.temporary_server" in one.cmdline())
    server.kill()
    assert run.end(240) == 0, run.said
    assert "it is started again" in run.said and run.states() == {"Completed"}


def test_a_run_outlives_a_server_that_is_gone_for_good(recipe: Path, tmp_path: Path) -> None:
    with prefect_server(tmp_path / "home", PREFECT_LOGGING_LEVEL="CRITICAL") as env:
        run = Run(recipe, tmp_path, url=env["PREFECT_API_URL"])
        run.wait_for("quality: run")
    assert run.end(400) == 0, run.said
    assert "the work goes on without it" in run.said
    assert "did not hear all of this run" in run.said
    assert "done in" in run.lines[-1] and "Traceback" not in run.said
