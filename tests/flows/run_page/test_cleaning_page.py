"""The funnel on the page of a cleaning's run."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from flows.run_page import publish_page
from storage.store import Store
from tasks.clean import page as clean_page
from tests.flows.cleaned import seal_cleaned
from tests.flows.run_page.conftest import Shown
from tests.tasks.clean.conftest import Page
from tests.tasks.clean.test_clean import CONFIG, PAGES


def test_steps_reasons_and_pictures_are_shown(tmp_path: Path, shown: Shown) -> None:
    made = seal_cleaned(tmp_path / "store", tmp_path)
    publish_page(Store(tmp_path / "store"), made, action="built", reason="because")
    assert shown.notes == []
    assert list(shown.artifacts) == ["clean", "clean-rows", "clean-funnel", "clean-signals"]
    page, notes = shown["clean"], shown.notes
    assert notes == [] and "could not be made" not in page
    assert "| text | 11 | 84.6 % | 2 |" in page
    assert "| too\\_few\\_words | num\\_words \\>= 20 | 1 | 2 | 1 | en 1 | a 1 |" in page
    assert "too_few_words: 5, not >= 20\n  http://a/short\n" in page
    assert f"phusa clean funnel {made.label} --by language" in page
    for key in ("clean-funnel", "clean-signals"):
        url = shown.artifacts[key].image_url
        assert f"]({url})" in page
        assert base64.b64decode(url.partition(",")[2])[:4] == b"\x89PNG"
    assert len(page) < 300_000


def test_what_is_reused_has_it_on_the_page_of_its_own_run(tmp_path: Path, shown: Shown) -> None:
    made = seal_cleaned(tmp_path / "store", tmp_path, PAGES[:2])
    publish_page(Store(tmp_path / "store"), made, action="reused", reason="because")
    assert list(shown.artifacts) == ["clean", "clean-rows"]
    assert "## Funnel" not in shown["clean"]


def test_a_cleaning_in_quarantine_shows_why(tmp_path: Path, shown: Shown) -> None:
    """Its manifest is not where those of sealed ones are."""
    made = seal_cleaned(tmp_path / "store", tmp_path)
    (tmp_path / "store" / "versions" / "clean" / made.version / "manifest.json").unlink()
    publish_page(Store(tmp_path / "store"), made, action="in quarantine", reason="because")
    assert "clean-funnel" in shown.artifacts and "## Funnel" in shown["clean"]


def test_nothing_broken_is_no_picture_of_signals(tmp_path: Path, shown: Shown) -> None:
    made = seal_cleaned(tmp_path / "store", tmp_path, PAGES[:2])
    publish_page(Store(tmp_path / "store"), made, action="built", reason="because")
    assert list(shown.artifacts) == ["clean", "clean-rows", "clean-funnel"]


def test_a_funnel_that_cannot_be_drawn_costs_nothing_else(
    tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bytes:
        raise RuntimeError("no fonts")

    monkeypatch.setattr(clean_page, "draw_funnel", broken)
    made = seal_cleaned(tmp_path / "store", tmp_path, PAGES[:2])
    publish_page(Store(tmp_path / "store"), made, action="built", reason="because")
    assert list(shown.artifacts) == ["clean", "clean-rows"]
    assert shown.notes == [] and "## Samples" in shown["clean"]
    assert "This part could not be made:\n\n```text\nRuntimeError: no fonts" in shown["clean"]


def test_hostile_addresses_stay_text(tmp_path: Path, shown: Shown) -> None:
    urls = [
        "http://evil.example/`a`](http://evil.example/u.png)\n```\n![](http://evil.example)",
        "http://<img src=x>|![a](b)/p",
    ]
    pages = [*PAGES[:2], *(Page(url, b"<p>The end of it.</p>") for url in urls)]
    made = seal_cleaned(tmp_path / "store", tmp_path, pages, CONFIG)
    publish_page(Store(tmp_path / "store"), made, action="built", reason="because")
    page = shown["clean"].replace(shown.artifacts["clean-funnel"].image_url, "")
    page = page.replace(shown.artifacts["clean-signals"].image_url, "")
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    outside = [token for token in tokens if token.type != "fence"]
    assert not [token for token in outside if token.type == "html_block"]
    images = [c for t in outside for c in t.children or () if c.type in ("image", "html_inline")]
    assert [(one.type, one.attrs["src"]) for one in images] == [("image", "")] * 2  # ours
    assert any("evil.example/`a`" in token.content for token in tokens if token.type == "fence")
