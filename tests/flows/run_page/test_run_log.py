"""What a run says in its log, without a server."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.run_page import log_failed, log_made
from storage.errors import CorpusTooSmall, GateFailed
from storage.store import Store
from tests.flows.run_page.conftest import RUN, Shown
from tests.flows.run_page.test_run_summary import result
from tests.flows.sealed import seal

Lines = list[tuple[int, str]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """What was logged: levels and texts."""
    said: Lines = []
    logger = SimpleNamespace(log=lambda level, form, text: said.append((level, form % text)))
    monkeypatch.setattr("flows.prefect_progress.get_run_logger", lambda: logger)
    return said


def test_a_stage_says_what_it_did_and_why(tmp_path: Path, lines: Lines) -> None:
    stats = {"dropped": {"no_text": 1, "too_short": 3}}
    made = seal(
        tmp_path, "clean", "20261121-010101-000-aaaa", {"a": b"x"}, run=RUN,
        rows_in=10, rows_out=6, stats=stats,
    )  # fmt: skip
    store = Store(tmp_path)
    log_made(store, result(made))
    log_made(store, result(made, reused=True))
    counts = "10 pages in, 6 documents out, 4 dropped (too_short 3, no_text 1)"
    more = f"  why: why\n  phusa show {made.label}"
    date = f"{made.created:%Y-%m-%d}"
    assert [text for _, text in lines] == [
        f"clean: built in 1.5 s: {counts}\n{more}",
        f"clean: reused, built in 1.5 s on {date}: {counts}\n{more}",
    ]


def test_what_is_not_in_the_store_any_more_costs_no_run(
    tmp_path: Path, lines: Lines, shown: Shown
) -> None:
    made = seal(tmp_path / "elsewhere", "crawl", "20261121-010101-000-aaaa", {"a": b"x"})
    log_made(Store(tmp_path), result(made))
    assert lines == [] and shown.notes[0].startswith("crawl's line of the log: not shown")


def test_a_gate_is_told_from_other_failures(lines: Lines) -> None:
    log_failed("dedup", GateFailed("duplicate_rate 0.1 is above max 0.01"))
    log_failed("tokenizer", CorpusTooSmall("10 bytes"))
    gate = "dedup: blocked by its gates\n  GateFailed: duplicate_rate 0.1 is above max 0.01"
    other = "tokenizer: failed\n  CorpusTooSmall: 10 bytes"
    assert lines == [(logging.ERROR, gate), (logging.ERROR, other)]
