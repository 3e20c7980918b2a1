"""One page that is tried gives what the stage makes of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from storage.workspace import Workspace
from tasks.clean import clean, judging
from tasks.clean.clean import TABLES, CleanPaths, clean_shard
from tasks.clean.config import CleanConfig, Replacement, Sandbox
from tasks.clean.extractors import Auto, Resiliparse
from tasks.clean.filters import C4, BiasTerms, GopherQuality, Length
from tasks.clean.judging import Trial, TrialPage, try_page
from tasks.clean.trims import Boilerplate, Menus
from tests.tasks.clean.conftest import Page, WriteShard
from tests.tasks.clean.test_clean import ALIKE, CONFIG, PAGES
from tests.tasks.clean.test_earlier import InProcess

Row = dict[str, Any]
_PROSE = "The mill by the river is old, and we have seen it turn in the spring of every year. "
MORE = (
    *PAGES,
    Page("http://a/plain", (_PROSE * 9).encode(), "utf-8", "text/plain"),
    Page("http://a/short.md", b"# A title\n\nToo short.", "", "text/markdown"),
    Page(
        "http://a/x.xhtml",
        f"<html><head><title/></head><body><p>{_PROSE * 5}</p></body></html>".encode(),
        "",
        "application/xhtml+xml",
    ),
    Page("http://a/mail", f"<p>{_PROSE * 5} Write to me@example.org, 8.8.4.4.</p>".encode()),
    Page("http://a/klingon", f"<p>{_PROSE * 5}</p>".encode(), "klingon"),
    Page("http://a/menu", ("<p>Home<br>News<br>Shop<br>Help<br>More</p>" + _PROSE * 4).encode()),
    Page("http://a/utf16", f"<p>{_PROSE * 5}é</p>".encode("utf-16"), "utf-8"),
)
WHOLE = CleanConfig(
    extractor=Auto(),
    languages=("en", "vi"),
    min_language_score=0.3,
    language_scores={"vi": 0.999},
    drop_lines=("^Nothing",),
    replace=(Replacement(pattern="river", text="stream"),),
    trims=(Boilerplate(), Menus()),
    filters=(Length(min_words=20), GopherQuality(), ALIKE, C4(min_sentences=3), BiasTerms()),
)
PATHS = CleanPaths(*(f"{table}/a.parquet" for table in TABLES))


def _tried(page: Page, config: CleanConfig) -> Trial:
    return try_page(TrialPage(page.url, page.content_type, page.charset, page.body), config)


@pytest.mark.parametrize("config", [CONFIG, WHOLE], ids=["few", "whole"])
def test_every_page_of_a_crawl_is_tried_as_the_stage_cleans_it(
    config: CleanConfig, write_shard: WriteShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (clean, judging):  # a child for each page would take half a minute
        monkeypatch.setattr(module, "ExtractionSandbox", InProcess)
    workspace = Workspace(tmp_path / "out")
    clean_shard(write_shard(MORE), config, workspace, PATHS)
    documents, _, rejects, signals = (
        {str(row["url"]): row for row in _rows(workspace, file)}
        for file in (PATHS.documents, PATHS.origins, PATHS.rejects, PATHS.signals)
    )
    assert len(documents) > 5 and len(rejects) > 3
    for page in MORE:
        tried = _tried(page, config)
        assert _told(tried) == _kept(page.url, documents, rejects), page.url
        found = signals.get(page.url)
        assert bool(tried.signals) == (found is not None)
        for one in tried.signals:
            assert found is not None
            value = found[one.signal]
            assert one.value == (None if math.isnan(value) else value)
        if found is not None:
            assert (tried.language, tried.language_score) == (
                found["language"],
                found["language_score"],
            )


def _rows(workspace: Workspace, file: str) -> list[Row]:
    rows: list[Row] = pq.read_table(workspace.data / file).to_pylist()
    return [{"url": row.get("url", ""), **row} for row in rows]


def _told(tried: Trial) -> tuple[Any, ...]:
    if tried.verdict is not None:
        return (tried.verdict.reason, tried.verdict.value, tried.verdict.threshold)
    pii = sorted(kind for kind, count in (tried.pii or {}).items() for _ in range(count))
    return (tried.title, tried.text, tried.extractor, tried.language, pii)


def _kept(url: str, documents: dict[str, Row], rejects: dict[str, Row]) -> tuple[Any, ...]:
    if url in rejects:
        return tuple(rejects[url][name] for name in ("reason", "value", "threshold"))
    return tuple(documents[url][name] for name in ("title", "text", "extractor", "language", "pii"))


def test_each_bound_says_whether_it_holds() -> None:
    tried = _tried(
        Page("http://a/s", b"<p>Too few words.</p>"), CleanConfig(extractor=Resiliparse())
    )
    assert tried.verdict is not None and tried.verdict.reason == "too_few_words"
    (length,) = [one for one in tried.signals if one.filter == "length"]
    assert [(a.reason, a.bound, a.holds) for a in length.bounds] == [
        ("too_few_words", ">= 50", False),
        ("too_many_words", "<= 100000", True),
    ]
    broken = [asked.reason for one in tried.signals for asked in one.bounds if not asked.holds]
    assert broken[0] == tried.verdict.reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no_text"),
        (b"\x00\xff" * 40_000, None),
        (b"<div>" * 20_000, None),
        (b"<p>word " * 20_000, None),
        (b"\xef\xbb\xbf", "no_text"),
    ],
    ids=["empty", "binary", "deep", "huge", "mark"],
)
def test_nasty_pages_have_a_verdict(body: bytes, reason: str | None) -> None:
    config = CleanConfig(sandbox=Sandbox(timeout_s=20.0, memory_bytes=2 << 30))
    tried = _tried(Page("http://a/nasty", body), config)
    assert tried.num_bytes == len(body) and tried.verdict is not None
    assert reason in (None, tried.verdict.reason)
