"""docs/tutorial.md, walked from its first command to its last; its table of sizes."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.render import size
from flows.sizing import Machine, model_for
from tests.conftest import ROOT
from tests.snippets import snippets_of

PAGE = ROOT / "docs" / "tutorial.md"
CPU, GPU = Machine(2, 8 << 30, bf16=True), Machine(16, 80 << 30, bf16=True, gpus=1)
SIZES = [
    *((CPU, 10**6, 2), (CPU, 10**7, 2), (CPU, 10**8, 2), (CPU, 10**8, 12), (CPU, 10**9, 12)),
    *((GPU, 10**8, 2), (GPU, 10**9, 2), (GPU, 10**9, 12), (GPU, 10**10, 12)),
]


def sizes() -> str:
    """Write the table of sizes: `python -m tests.test_tutorial`."""
    heads = "machine", "text", "vocabulary", "parameters", "tokens", "trained on", "pretraining"
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for machine, text_bytes, hours in SIZES:
        chosen = model_for(text_bytes, hours, machine)
        took = max(1, round(min(chosen.seconds, hours * 3600) / 60))
        cells = (
            "a GPU" if machine.gpus else "2 cores",
            size(text_bytes).replace(".0", ""),
            f"{chosen.vocab_size:,}",
            rounded(chosen.parameters),
            rounded(chosen.corpus_tokens),
            f"{rounded(chosen.tokens)} ({chosen.epochs:.1f} times)",
            f"{f'{took} min' if took < 60 else f'{took / 60:.1f} h'} of {hours} h",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def rounded(number: float) -> str:
    return f"{number / 1e6:.2g} M" if number < 1e8 else f"{number / 1e6:,.0f} M"


def test_the_table_of_sizes_is_what_init_chooses() -> None:
    assert sizes() in PAGE.read_text(), "python -m tests.test_tutorial"


# --- the walk ------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Walk:
    """A fresh clone, in which the commands of the page are called as a reader calls them."""

    def __init__(self, home: Path) -> None:
        self.clone, self.port = home / "phusa", free_port()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.clone)], check=True)
        programs = home / "bin"
        programs.mkdir()
        python = shlex.quote(sys.executable)
        for name, calls in (("phusa", f"{python} -W ignore -m flows.cli"), ("python", python)):
            (programs / name).write_text(f'#!/bin/sh\nexec {calls} "$@"\n')
            (programs / name).chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "PHUSA_"))}
        path = f"{programs}:{os.environ['PATH']}"
        self.env = {**kept, "PATH": path, "PREFECT_HOME": str(home / "prefect"), "COLUMNS": "200"}
        self.servers: list[subprocess.Popen[bytes]] = []

    def smaller(self, line: str) -> str:
        """Give a command of the page as it is called here: less of all, and a port that is free."""
        line = line.replace("8600", str(self.port))
        line = line.replace("pages.py trang", "pages.py trang --count 90")
        if re.match("phusa (run|plan) ", line):
            line += " --set pretrain.tokens=40_000 --set finetune.epochs=1"
        return line

    def call(self, line: str) -> str:
        line = self.smaller(line)
        if "http.server" in line:
            self.servers.append(subprocess.Popen(shlex.split(line), cwd=self.clone, env=self.env))
            self.wait_for_the_server()
            return ""
        done = subprocess.run(
            line, shell=True, cwd=self.clone, env=self.env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def wait_for_the_server(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the pages are not served")

    def close(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()


def actions(plan: str) -> dict[str, str]:
    rows: list[dict[str, Any]] = json.loads(plan)
    return {row["instance"]: row["action"] for row in rows}


@pytest.mark.fleet
@pytest.mark.timeout(600)
def test_the_tutorial_is_walked_in_a_fresh_clone(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    lines = [line for one in snippets_of(PAGE) for line in one.commands()]
    said: dict[str, str] = {}
    try:
        for line in lines:
            said[line] = walk.call(line)
        plan = walk.call("phusa plan recipe.yaml --json")
        marked = walk.call("phusa forget --list --json")
    finally:
        walk.close()
    called = {re.sub(r"^phusa ", "", line).split()[0] for line in lines}
    assert {"init", "plan", "run", "head", "clean", "trace", "sample", "export", "forget"} <= called
    assert set(actions(plan).values()) == {"reuse"}, "all is made, and stays"
    assert "/nuoc/VN.html" in marked
    (folder,) = [shlex.split(line)[-1] for line in lines if line.startswith("phusa export")]
    assert (walk.clone / folder / "model.safetensors").is_file()


if __name__ == "__main__":
    print(sizes())
