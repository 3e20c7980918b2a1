"""The store beside DVC: a hit, sealing large files, listing many artifacts.

On a quiet machine with 25 GB of free disk: `python -m benchmarks.storage --dvc PATH`, PATH being
the `dvc` of a virtual environment of its own (`python -m venv dvc && dvc/bin/pip install dvc`).
Ours and the peer's run in turn, on the same files and the same disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.ledger import record
from storage.manifest import CodeRef, InputRef, Manifest, RunRef
from storage.sealing import Draft, commit
from storage.store import Store

COMMAND = "python -m benchmarks.storage --dvc PATH"
STAGES = ("crawl", "clean", "dedup", "tokenizer", "shard", "pretrain", "finetune")
FILES, CHUNK = 10, 1 << 20
ARTIFACTS = 10_000


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `work`, after one warm-up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def seal(store: Store, name: str, inputs: tuple[Manifest, ...], num_files: int = 16) -> Manifest:
    """A small artifact of the shape that a stage leaves."""
    with store.building(name, name) as workspace:
        for index in range(num_files):
            with workspace.writing(f"documents/part-{index:05d}.bin") as stream:
                stream.write(f"{name} {index}".encode() * 1000)
        draft = Draft(
            name=name,
            stage=name,
            type="",
            fingerprint=name,
            config={"threshold": 0.8, "methods": [{"kind": "minhash", "bands": 14}]},
            inputs={
                m.name: InputRef(name=m.name, version=m.version, digest=m.digest) for m in inputs
            },
            rows_in=1000,
            rows_out=900,
            stats={"dropped": {"too_few_words": 100}},
            code=CodeRef(stage_version=1, source_sha256="0" * 64),
            run=RunRef(recipe="benchmark", host="here"),
        )
        return commit(store, workspace, draft)


def hit(dvc: Path, folder: Path) -> None:
    """Asking whether seven stages are done, in process: `find` of each, `dvc repro` of all."""
    store = Store(folder / "store")
    made: tuple[Manifest, ...] = ()
    for name in STAGES:
        made = (seal(store, name, made[-1:]),)

    def ours() -> None:
        fresh = Store(folder / "store")
        assert all(fresh.find(name, name) for name in STAGES)

    repo = folder / "dvc-hit"
    dvc_pipeline(dvc, repo)
    code = (
        "import time, logging\n"
        "from dvc.repo import Repo\n"
        "logging.getLogger('dvc').setLevel(logging.ERROR)\n"
        "times = []\n"
        "for _ in range(8):\n"
        "    start = time.perf_counter()\n"
        "    with Repo('.') as repo:\n"
        "        assert repo.reproduce() == []\n"
        "    times.append(time.perf_counter() - start)\n"
        "print(sorted(times[1:])[3])\n"
    )
    python = dvc.parent / "python"
    done = subprocess.run(
        [python, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    mine, theirs = seconds(ours, 30), float(done.stdout.split()[-1])
    what = f"{len(STAGES)} stages of 16 files that are done, in process; peer: dvc repro, no change"
    times = (f"{mine * 1e3:.2f} ms", f"{theirs * 1e3:.1f} ms")
    record("hit", what, *times, ratio(theirs, mine), COMMAND)


def dvc_pipeline(dvc: Path, repo: Path) -> None:
    """The same seven stages with 16 outputs each, run once."""
    repo.mkdir()
    call(dvc, repo, "init", "--no-scm", "--quiet")
    stages = {}
    for index, name in enumerate(STAGES):
        script = (
            f"import pathlib; d = pathlib.Path('{name}'); d.mkdir(exist_ok=True); "
            f"[(d / f'part-{{i:05d}}.bin').write_bytes(b'{name}' * 1000) for i in range(16)]"
        )
        stages[name] = {
            "cmd": f'{sys.executable} -c "{script}"',
            "outs": [name],
            "deps": [STAGES[index - 1]] if index else [],
        }
    (repo / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    call(dvc, repo, "repro", "--quiet")


def sealing(dvc: Path, folder: Path, num_bytes: int) -> None:
    """Writing files and making them last: ours hashes on the way, `dvc add` reads them again.

    In turn, twice each, and the better one counts: a disk has its moods.
    """
    block = os.urandom(CHUNK)
    pieces = num_bytes // FILES // CHUNK
    theirs, mine, read = [], [], 0
    for _ in range(2):
        theirs.append(seal_by_dvc(dvc, folder / "dvc-large", block, pieces))
        read_before = bytes_read()
        mine.append(seal_large(folder / "large", block, pieces))
        read = bytes_read() - read_before
    size = f"{num_bytes / 1e9:.0f} GB in {FILES} files"
    record(
        "sealing",
        f"writing {size} and making them last; peer: writing, then dvc add",
        f"{min(mine):.1f} s",
        f"{min(theirs):.1f} s",
        ratio(min(theirs), min(mine)),
        COMMAND,
    )
    share = f"{read / num_bytes:.4f}"
    record("read again", f"bytes read while sealing {size}, per byte", share, "1", "-", COMMAND)


def seal_large(folder: Path, block: bytes, pieces: int) -> float:
    """Seconds to write and seal."""
    store = Store(folder)
    start = time.perf_counter()
    with store.building("large", "large") as workspace:
        for index in range(FILES):
            with workspace.writing(f"part-{index}.bin") as stream:
                for number in range(pieces):
                    stream.write(number.to_bytes(8, "little") + block[8:])
        code = CodeRef(stage_version=1, source_sha256="0")
        run = RunRef(recipe="benchmark", host="here")
        commit(store, workspace, Draft("large", "large", "", "large", {}, {}, 1, 1, {}, code, run))
    taken = time.perf_counter() - start
    shutil.rmtree(folder)
    return taken


def seal_by_dvc(dvc: Path, repo: Path, block: bytes, pieces: int) -> float:
    """Seconds to write, as safely as ours, and `dvc add`."""
    (repo / "data").mkdir(parents=True)
    call(dvc, repo, "init", "--no-scm", "--quiet")
    start = time.perf_counter()
    for index in range(FILES):
        with (repo / "data" / f"part-{index}.bin").open("wb") as file:
            for number in range(pieces):
                file.write(number.to_bytes(8, "little") + block[8:])
            file.flush()
            os.fsync(file.fileno())
    call(dvc, repo, "add", "data", "--quiet")
    taken = time.perf_counter() - start
    shutil.rmtree(repo)
    return taken


def bytes_read() -> int:
    """Bytes that this process has asked the system to read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def listing(folder: Path) -> None:
    """`phusa artifacts` on many artifacts, the whole process; there is no such thing in DVC."""
    store = Store(folder / "many")
    text = json.loads(seal(store, "clean", ()).to_json())
    home = folder / "many" / "versions" / "clean"
    for index in range(ARTIFACTS - 1):
        text["version"] = f"20260101-{index:06d}-000-0000"
        (home / text["version"]).mkdir()
        (home / text["version"] / "manifest.json").write_text(json.dumps(text))

    def ours() -> None:
        command = [sys.executable, "-m", "flows.cli", "artifacts", "--store", str(folder / "many")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert len(done.stdout.splitlines()) == ARTIFACTS + 1

    taken = seconds(ours, 3)
    record("listing", f"`phusa artifacts` on {ARTIFACTS:,}", f"{taken:.2f} s", "-", "-", COMMAND)


def call(dvc: Path, repo: Path, *words: str) -> None:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    subprocess.run([dvc, *words], cwd=repo, check=True, env=environment, stdout=subprocess.DEVNULL)


def ratio(theirs: float, mine: float) -> str:
    return f"{theirs / mine:.1f}x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dvc", type=Path, required=True, help="the dvc program")
    parser.add_argument("--gigabytes", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: here")
    given = parser.parse_args()
    dvc = given.dvc.absolute()
    with tempfile.TemporaryDirectory(dir=given.folder or Path.cwd()) as name:
        folder = Path(name)
        hit(dvc, folder)
        listing(folder)
        sealing(dvc, folder, given.gigabytes * 10**9)


if __name__ == "__main__":
    main()
