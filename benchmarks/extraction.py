"""Extractors on real pages, beside trafilatura and datatrove's step: how good the text, how fast.

With ../shared/data, the Debian package python3.11-doc, and datatrove in a virtual environment of
its own (`python -m venv peers && peers/bin/pip install 'datatrove[processing]' lxml_html_clean`):
`python -m benchmarks.extraction --datatrove peers/bin/python`.

All take turns on one core, several times; the least CPU time of each counts, parsing included and
imports not. datatrove's step runs each page in a child process of its own, as phusa's clean stage
does: the CPU time of both processes counts, and phusa's row against it is in its sandbox as well.
The step is as datatrove has it (`favour_precision`, `deduplicate`, a page costs 1 s at most), with
the trafilatura that datatrove asks for (1.11); trafilatura's own rows are of the newest.

F1 of the articles is that of the article extraction benchmark (runs of four words). For the manual,
words are counted against its source's, without the markup's: nobody can reach 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import trafilatura

from benchmarks.ledger import record
from tasks.clean.config import Sandbox
from tasks.clean.extractors import Auto, Extraction, Resiliparse, Trafilatura
from tasks.clean.sandbox import ExtractionSandbox
from tests.tasks.clean.measures import Known, Score, articles, manual, score, shingles, words

COMMAND = "python -m benchmarks.extraction --datatrove PATH"
STEP = """
import json, multiprocessing, os, sys, time
from pathlib import Path
from datatrove.data import Document
from datatrove.pipeline.extractors import Trafilatura

def spent():
    total = time.process_time()
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total

pages = json.loads(Path(sys.argv[1]).read_text())
warm = [["", f"<html><body><p>Until its process runs, {n} of many words.</p>"] for n in range(9)]
documents = (Document(text=html, id=name) for name, html in [*warm, *pages])
found, begun = {}, 0.0
for document in Trafilatura().run(documents):
    found[document.id] = document.text
    begun = begun if begun and document.id else spent()
    ended = spent()
print(json.dumps({"seconds": ended - begun, "found": found}))
"""
Extract = Callable[[str], str]


def trafilatura_itself(html: str) -> str:
    """Its one function, with its defaults."""
    return str(trafilatura.extract(html) or "")


PEERS: dict[str, Extract] = {"trafilatura, defaults": trafilatura_itself}
OURS: dict[str, Any] = {"auto": Auto(), "resiliparse": Resiliparse(), "trafilatura": Trafilatura()}


def extractors() -> dict[str, Extract]:
    """All that run in this process."""

    def of(extractor: Any) -> Extract:
        return lambda html: str(extractor.extract(html, "").text)

    return {f"phusa {name}": of(each) for name, each in OURS.items()} | PEERS


class Runs:
    """What each extractor found, and its least CPU seconds."""

    def __init__(self, pages: Sequence[Known]) -> None:
        self.pages = pages
        self.seconds: dict[str, float] = {}
        self.found: dict[str, list[str]] = {}

    def add(self, name: str, found: list[str], seconds: float) -> None:
        self.found[name] = found
        self.seconds[name] = min(seconds, self.seconds.get(name, seconds))

    def speed(self, name: str) -> float:
        return len(self.pages) / self.seconds[name]

    def score(self, name: str, units: Callable[[str], Any]) -> Score:
        return score(self.pages, self.found[name], units)

    def tell(self, units: Callable[[str], Any]) -> None:
        for name in self.found:
            print(f"{name:24} {self.score(name, units)}, {self.speed(name):6.1f} pages/s")


def in_process(runs: Runs) -> None:
    """One round of all extractors."""
    for name, extract in extractors().items():
        begun = time.process_time()
        found = [extract(page.html) for page in runs.pages]
        runs.add(name, found, time.process_time() - begun)


def in_sandbox(runs: Runs) -> None:
    """One round as the clean stage has it: from bytes, in a child that can be killed."""
    bodies = [page.html.encode("utf-8", "replace") for page in runs.pages]
    with ExtractionSandbox(Auto(), Sandbox()) as sandbox:
        sandbox.extract(bodies[0], "utf-8", "")
        begun = _spent()
        found = [sandbox.extract(body, "utf-8", "") for body in bodies]
        seconds = _spent() - begun
    texts = [text.text if isinstance(text, Extraction) else "" for text in found]
    runs.add("phusa auto, sandbox", texts, seconds)


def _spent() -> float:
    children = (child.cpu_times() for child in psutil.Process().children())
    return time.process_time() + sum(each.user + each.system for each in children)


def by_datatrove(runs: Runs, python: Path) -> None:
    """One round of datatrove's step."""
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "pages.json"
        given.write_text(json.dumps([[page.name, page.html] for page in runs.pages]))
        command = [str(python), "-c", STEP, str(given)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    said = json.loads(done.stdout.splitlines()[-1])
    found = [said["found"].get(page.name, "") for page in runs.pages]
    runs.add("datatrove's step", found, said["seconds"])


def compare(pages: Sequence[Known], python: Path, repeats: int) -> Runs:
    """All in turn."""
    runs = Runs(pages)
    for _ in range(repeats):
        in_process(runs)
        in_sandbox(runs)
        by_datatrove(runs, python)
    return runs


def report(on_articles: Runs, on_manual: Runs) -> None:
    """Rows for the page."""
    peer = "datatrove's step"
    for key, name in (
        ("extraction", "phusa auto, sandbox"),
        ("extraction, in process", "phusa auto"),
        ("extraction, fast", "phusa resiliparse"),
    ):
        speeds = on_articles.speed(name), on_articles.speed(peer)
        f1 = on_articles.score(name, shingles).f1, on_articles.score(peer, shingles).f1
        record(
            key,
            f"{len(on_articles.pages)} articles, one core, {name}; peer: {peer} (sandbox)",
            f"{speeds[0]:.0f} pages/s, F1 {f1[0]:.3f}",
            f"{speeds[1]:.0f} pages/s, F1 {f1[1]:.3f}",
            f"{speeds[0] / speeds[1]:.1f}x",
            COMMAND,
        )
    for key, runs, units in (
        ("extraction, articles", on_articles, shingles),
        ("extraction, manual", on_manual, words),
    ):
        names = "phusa auto", "trafilatura, defaults"
        scores = [runs.score(name, units) for name in names]
        mine, theirs = [
            f"F1 {each.f1:.3f} (P {each.precision:.3f}, R {each.recall:.3f}), "
            f"{runs.speed(name):.0f} pages/s"
            for name, each in zip(names, scores, strict=True)
        ]
        ratio = f"{runs.speed(names[0]) / runs.speed(names[1]):.1f}x"
        what = f"{len(runs.pages)} pages, in process; peer: trafilatura {trafilatura.__version__}"
        record(key, f"{what}, defaults", mine, theirs, ratio, COMMAND)


def main() -> None:
    """Read the command line and go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datatrove", type=Path, required=True, help="a Python that has datatrove")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--core", type=int, default=0, help="the processor that all run on")
    given = parser.parse_args()
    os.sched_setaffinity(0, {given.core})
    python = given.datatrove.absolute()
    on_articles = compare(articles(), python, given.repeats)
    on_articles.tell(shingles)
    on_manual = compare(manual(), python, 1)
    on_manual.tell(words)
    report(on_articles, on_manual)


if __name__ == "__main__":
    main()
