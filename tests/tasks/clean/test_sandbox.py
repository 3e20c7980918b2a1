"""A page that hangs, crashes or eats memory costs that page and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

import tasks.children as module
from storage.errors import RunError
from tasks.clean.config import Sandbox
from tasks.clean.extractors import Extraction
from tasks.clean.filters import Verdict
from tasks.clean.sandbox import ExtractionSandbox
from tests.conftest import ROOT
from tests.tasks.clean.bad_extractors import Obedient

TIMEOUT_S = 2.0
MEMORY_BYTES = 1 << 30
LIMITS = Sandbox(timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
FAILED = "extractor_failed"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[ExtractionSandbox]:
    with ExtractionSandbox(Obedient(), LIMITS) as sandbox:  # type: ignore[arg-type]
        yield sandbox


def _extract(sandbox: ExtractionSandbox, body: str) -> Extraction | Verdict:
    return sandbox.extract(body.encode(), "utf-8", "http://a/")


@pytest.mark.parametrize(
    ("order", "verdict"),
    [
        ("hang", Verdict("extractor_timeout", "over 2 s", "2 s")),
        ("loop", Verdict("extractor_timeout", "over 2 s", "2 s")),
        ("exit", Verdict("extractor_crashed", "exit code 7", "exit code 0")),
        ("kill", Verdict("extractor_crashed", "exit code -9", "exit code 0")),
        ("segfault", Verdict("extractor_crashed", "exit code -11", "exit code 0")),
        (
            "memory",
            Verdict("extractor_memory", f"over {MEMORY_BYTES} bytes", f"{MEMORY_BYTES} bytes"),
        ),
        ("sysexit", Verdict(FAILED, "SystemExit: bye", "no error")),
        ("raise", Verdict(FAILED, "KeyError: 'what'", "no error")),
        ("interrupt", Verdict(FAILED, "KeyboardInterrupt: ", "no error")),
        ("timeouterror", Verdict(FAILED, "TimeoutError: not the sandbox's", "no error")),
        ("unpicklable", Verdict(FAILED, "NeedsTwo: a b", "no error")),
        ("recursion", Verdict(FAILED, "RecursionError: deep", "no error")),
    ],
)
def test_a_bad_page_costs_itself_only(
    sandbox: ExtractionSandbox, order: str, verdict: Verdict
) -> None:
    assert _extract(sandbox, order) == verdict
    assert _extract(sandbox, "next") == Extraction("title", "next of http://a/")


def test_what_is_raised_is_cut_to_a_line(sandbox: ExtractionSandbox) -> None:
    verdict = _extract(sandbox, "long")
    assert isinstance(verdict, Verdict)
    assert verdict.value == ("ValueError: " + "x" * 200)[:200]
    verdict = _extract(sandbox, "lambda")
    assert isinstance(verdict, Verdict)
    assert verdict.reason == FAILED


def test_the_child_lives_under_the_memory_limit(sandbox: ExtractionSandbox) -> None:
    verdict = _extract(sandbox, "limit")
    assert isinstance(verdict, Verdict)
    assert verdict.value == f"ValueError: ({MEMORY_BYTES}, {MEMORY_BYTES})"


def _child(sandbox: ExtractionSandbox) -> int:
    verdict = _extract(sandbox, "pid")
    assert isinstance(verdict, Verdict)
    return int(verdict.value.removeprefix("ValueError: "))


def test_no_child_is_left_behind() -> None:
    with ExtractionSandbox(Obedient(), LIMITS) as sandbox:  # type: ignore[arg-type]
        child = _child(sandbox)
        assert _child(sandbox) == child  # one for all pages
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_an_error_of_the_caller_stops_the_child() -> None:
    child = 0
    with (
        pytest.raises(RuntimeError, match="of the caller"),
        ExtractionSandbox(Obedient(), LIMITS) as sandbox,  # type: ignore[arg-type]
    ):
        child = _child(sandbox)
        raise RuntimeError("of the caller")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_child_that_was_killed_between_two_pages_costs_no_page(
    sandbox: ExtractionSandbox,
) -> None:
    child = _child(sandbox)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert _extract(sandbox, "next") == Extraction("title", "next of http://a/")
    assert _child(sandbox) != child


def test_no_process_before_the_first_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    with ExtractionSandbox(Obedient(), LIMITS):  # type: ignore[arg-type]
        pass


def test_a_child_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the machine or the installation: no page is to be blamed for it."""
    monkeypatch.setattr(module, "_CHILD", "raise SystemExit(3)")
    with (
        ExtractionSandbox(Obedient(), LIMITS) as sandbox,  # type: ignore[arg-type]
        pytest.raises(RunError, match="exit code 3 before its first page"),
    ):
        _extract(sandbox, "page")


def _extract_in(pipe: Connection) -> None:
    with pipe, ExtractionSandbox(Obedient(), LIMITS) as sandbox:  # type: ignore[arg-type]
        pipe.send(_extract(sandbox, "page"))


def test_it_works_in_a_daemon() -> None:
    """As a Dask worker is one: it may not start children by multiprocessing."""
    ours, theirs = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    daemon = spawn.Process(target=_extract_in, args=(theirs,), daemon=True)
    daemon.start()
    theirs.close()
    with ours:
        assert ours.recv() == Extraction("title", "page of http://a/")
    daemon.join()


_ORPHANING = """
import os, signal
from tests.tasks.clean.test_sandbox import LIMITS, ExtractionSandbox, Obedient
sandbox = ExtractionSandbox(Obedient(), LIMITS)
print(sandbox.extract(b"page", "utf-8", "http://a/").text, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_whose_parent_is_killed_ends() -> None:
    """It holds the parent's standard output, too: the pipe ends when both did."""
    command = [sys.executable, "-c", _ORPHANING]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stdout) == (-9, b"page of http://a/\n")
