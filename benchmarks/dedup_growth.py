"""How dedup grows: time for each document, memory and disk at 0.1, 1 and 10 million made-up ones.

`python -m benchmarks.dedup_growth FOLDER --documents 100000 1000000 10000000`. At 10 million the
corpus takes 12 GB, scratch 22 GB and the result 11 GB. Each size runs in a process of its own, with
two threads; memory is what that process holds for itself (RssAnon: pages of mapped files can be
taken from it), watched from outside every 20 ms. The kernels are compiled before the clock starts.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from benchmarks.dedup_documents import run_steps
from benchmarks.ledger import record
from storage.parquet import shard_name
from storage.workspace import Workspace

COMMAND = "python -m benchmarks.dedup_growth FOLDER"
_DOCUMENTS_IN_SHARD = 50_000
_MIB = 1 << 20


@dataclass
class Watch:
    """The most memory that a process held since it was last asked: its own, and of files."""

    pid: int
    own: int = 0
    mapped: int = 0

    def __post_init__(self) -> None:
        self._done = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        status = Path(f"/proc/{self.pid}/status")
        while not self._done.wait(0.02):
            try:
                lines = status.read_text().splitlines()
            except OSError:
                return
            kib = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
            self.own = max(self.own, int(kib.get("RssAnon", 0)) << 10)
            self.mapped = max(self.mapped, int(kib.get("RssFile", 0)) << 10)

    def taken(self) -> tuple[int, int]:
        """Bytes of both, and begin again."""
        own, mapped = self.own, self.mapped
        self.own = self.mapped = 0
        return own, mapped

    def end(self) -> None:
        self._done.set()
        self._thread.join()


def make(folder: Path, num_documents: int) -> None:
    """Write the corpus, if it is not there; prints its bytes of text."""
    from benchmarks.dedup_made_up import vocabulary, write_shard

    num_shards = max(num_documents // _DOCUMENTS_IN_SHARD, 2)
    workspace, words = Workspace(folder / "corpus"), vocabulary()

    def write(shard: int) -> int:
        path = shard_name("documents", shard, num_shards)
        first, last = (num_documents * n // num_shards for n in (shard, shard + 1))
        if workspace.entry(path):
            return 0
        return write_shard(workspace, path, range(first, last), num_documents, words)

    with ThreadPoolExecutor(2) as pool:
        print(f"text {sum(pool.map(write, range(num_shards)))}", flush=True)


def run(folder: Path) -> None:
    """Deduplicate the corpus, printing each step and its seconds as it ends."""
    shutil.rmtree(folder / "dedup", ignore_errors=True)
    documents = tuple(sorted((folder / "corpus" / "data" / "documents").glob("*.parquet")))
    for step, seconds in run_steps(documents, folder / "dedup"):
        print(f"{step} {seconds:.3f}", flush=True)


def _lines(step: str, folder: Path, num_documents: int) -> Iterator[tuple[str, float, int, int]]:
    """What a process of its own prints, with the most memory that it held until each line."""
    words = [sys.executable, "-m", "benchmarks.dedup_growth", str(folder), "--step", step]
    process = subprocess.Popen(
        [*words, "--documents", str(num_documents)], stdout=subprocess.PIPE, text=True
    )
    watch = Watch(process.pid)
    assert process.stdout is not None
    for line in process.stdout:
        name, _, value = line.partition(" ")
        yield name, float(value), *watch.taken()
    watch.end()
    if process.wait() != 0:
        raise SystemExit(f"{step} ended with {process.returncode}; expected 0")


def measure(folder: Path, num_documents: int) -> tuple[float, int, int]:
    """Microseconds a document, and bytes of memory and of scratch, of one size."""
    begun = time.perf_counter()
    for _, text, _, _ in _lines("make", folder, num_documents):
        if text:
            size = _bytes(folder / "corpus")
            print(f"corpus: {text / 1e6:,.0f} MB of text, {size / 1e6:,.0f} MB on disk", end="; ")
            print(f"made in {time.perf_counter() - begun:,.0f} s")
    print(
        "| step | seconds | us a document | own memory, MiB | mapped, MiB |\n|---|---|---|---|---|"
    )
    total, most = 0.0, 0
    for step, seconds, own, mapped in _lines("run", folder, num_documents):
        print(
            f"| {step} | {seconds:.1f} | {seconds / num_documents * 1e6:.1f} | {own / _MIB:,.0f} | "
            f"{mapped / _MIB:,.0f} |",
            flush=True,
        )
        if step != "compile":
            total, most = total + seconds, max(most, own)
    scratch, data = (_bytes(folder / "dedup" / part) for part in ("scratch", "data"))
    print(f"scratch {scratch / 1e6:,.0f} MB, result {data / 1e6:,.0f} MB")
    return total / num_documents * 1e6, most, scratch


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def compare(folder: Path, sizes: Sequence[int]) -> None:
    """Measure each size and write the row."""
    found = []
    for size in sizes:
        print(f"{size:,} documents", flush=True)
        found.append(measure(folder / str(size), size))
    told = ", ".join(f"{size:,}" for size in sizes)
    record(
        "dedup, growth",
        f"whole stage at {told} made-up documents, 2 cores: time a document; own memory; scratch",
        "; ".join(
            (
                ", ".join(f"{micros:.0f}" for micros, _, _ in found) + " us",
                ", ".join(f"{most / _MIB:,.0f}" for _, most, _ in found) + " MiB",
                ", ".join(f"{scratch / 1e9:,.2f}" for _, _, scratch in found) + " GB",
            )
        ),
        "-",
        "-",
        COMMAND,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where corpora and results go")
    parser.add_argument(
        "--documents", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000]
    )
    parser.add_argument("--step", choices=["make", "run"], help="what the child process does")
    given = parser.parse_args()
    if given.step == "make":
        make(given.folder, given.documents[0])
    elif given.step == "run":
        run(given.folder)
    else:
        compare(given.folder, given.documents)


if __name__ == "__main__":
    main()
