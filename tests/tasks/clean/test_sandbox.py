"""A page that hangs, crashes or eats memory costs that page and nothing else."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator

import pytest

from tasks.clean.config import Sandbox
from tasks.clean.extractors import Extraction
from tasks.clean.filters import Verdict
from tasks.clean.sandbox import ExtractionSandbox
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


def test_no_child_is_left_behind() -> None:
    before = set(multiprocessing.active_children())
    with ExtractionSandbox(Obedient(), LIMITS) as sandbox:  # type: ignore[arg-type]
        assert isinstance(_extract(sandbox, "page"), Extraction)
    gc.collect()
    assert set(multiprocessing.active_children()) <= before


def test_an_error_of_the_caller_stops_the_child() -> None:
    before = set(multiprocessing.active_children())
    with (
        pytest.raises(RuntimeError, match="of the caller"),
        ExtractionSandbox(Obedient(), LIMITS) as sandbox,  # type: ignore[arg-type]
    ):
        assert isinstance(_extract(sandbox, "page"), Extraction)
        raise RuntimeError("of the caller")
    assert set(multiprocessing.active_children()) <= before
