"""What a crawl is measured by, on figures that crawls ended with."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.workspace import Workspace
from tasks.checks import Made
from tasks.crawl import checks
from tasks.crawl.index import write_index
from tasks.crawl.live import client
from tasks.crawl.live.crawler import crawl
from tasks.crawl.sources.web import WebSource
from tests.conftest import ROOT
from tests.tasks.judging import broken, changed

DEMO = Made(885, 885, {"rejected": {}, "html_bytes": 28_702_117})
TINY = Made(59, 57, {"rejected": {"http_404": 1, "not_html": 1}, "html_bytes": 85_121})


@pytest.mark.parametrize("made", [DEMO, TINY])
def test_what_is_well_passes(made: Made) -> None:
    assert broken("crawl", made) == broken("crawl", made, made) == set()


def test_measures_by_hand() -> None:
    rejected = {"http_404": 3, "http_410": 1, "http_503": 4, "timed_out": 2, "redirected": 9}
    made = Made(100, 50, {"rejected": rejected, "html_bytes": 5000})
    last = Made(100, 40, {"rejected": {}, "html_bytes": 8000})
    assert checks.measures(made, last) == {
        "growth": 0.25,
        "error_rate": 0.06,
        "missing_rate": 0.04,
        "page_size_growth": -0.5,
    }


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (changed(DEMO, rows_out=442), {"block growth"}),
        (changed(DEMO, rows_out=443), set()),
        (changed(DEMO, rejected={"http_403": 443}), {"block error_rate", "warn error_rate"}),
        (changed(DEMO, rejected={"unreachable": 100}), {"warn error_rate"}),
        (changed(DEMO, rejected={"timed_out": 60}), {"warn error_rate"}),  # it rose
        (changed(DEMO, rejected={"http_404": 100}), {"warn missing_rate"}),
        (changed(DEMO, rejected={"robots": 800}), set()),
        (changed(DEMO, html_bytes=1_000_000), {"warn page_size_growth"}),
    ],
)
def test_what_goes_wrong_is_noticed(made: Made, said: set[str]) -> None:
    assert broken("crawl", made, DEMO) == said


def test_every_reason_is_an_error_or_none_on_purpose() -> None:
    """A new reason is an error until it is written down as none."""
    code = "".join(path.read_text() for path in (ROOT / "tasks" / "crawl").rglob("*.py"))
    made = r'(?:RejectedUrl|Failure|BodyError|failure)\((?:\s*[\w.#{}"]+,)?\s*"(\w+)"'
    reasons = set(re.findall(made, code)) | {says[0] for says in client._REASONS.values()}
    assert reasons - checks._DECIDED - checks._MISSING == {
        "bad_record",
        "empty_body",
        "timed_out",
        "tls",
        "truncated",
        "undecodable",
        "unreachable",
    }
    assert reasons > checks._DECIDED


def test_a_crawl_says_all_that_is_measured(
    site: Any, source: Callable[..., WebSource], tmp_path: Path
) -> None:
    site.links("/", "/a", "/missing")
    site.links("/a", text="a page")
    workspace = Workspace(tmp_path / "work")
    crawl(source(site), workspace.scratch)
    stats = write_index(workspace, 2)
    made = Made(stats.pop("rows_in"), stats.pop("rows_out"), stats)
    found = checks.measures(made, made)
    assert found["error_rate"] == 0 and found["missing_rate"] == pytest.approx(1 / 3)
    assert found["page_size_growth"] == found["growth"] == 0
