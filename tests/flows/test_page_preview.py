"""`phusa clean try`: one page from a file, a crawl or the web."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.clean import judging
from tests.flows.cleaned import seal_cleaned
from tests.flows.conftest import Cli
from tests.site import TinySite
from tests.tasks.clean.test_clean import PAGES
from tests.tasks.clean.test_earlier import InProcess

PROSE = "The mill by the river is old, and we have seen it turn in the spring of every year. "
HTML = f"<html><head><title>Mills</title></head><body><p>{PROSE * 5}</p></body></html>"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(HTML)
    return path


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What is written there, and rewound, stands on the standard input."""
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    return stream


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child for each page takes a second; test_judging has them."""
    monkeypatch.setattr(judging, "ExtractionSandbox", InProcess)


# --- files ----------------------------------------------------------------------------------------


def test_people_see_text_language_signals_and_verdict(page: Path, cli: Cli) -> None:
    said = cli("clean", "try", page)
    assert said.code == 0
    parts = ["The mill by the river", "Mills", "language      en", "num_words", "dropped:"]
    places = [said.out.index(part) for part in parts]
    assert places == sorted(places)
    assert "✗ repeated_5_grams" in said.out and "✓" in said.out
    kept = cli("clean", "try", page, "--set", "clean.filters=[{kind: length, min_words: 50}]")
    assert kept.out.rstrip().endswith("kept: it becomes a document")


def test_programs_get_all_of_it_and_text_can_stand_alone(page: Path, cli: Cli) -> None:
    told = json.loads(cli("clean", "try", page, "--json").out)
    assert told["url"] == page.as_uri() and told["title"] == "Mills"
    assert told["text"] == (PROSE * 5).strip() and told["num_bytes"] == len(HTML)
    assert told["verdict"]["reason"] == "top_2_gram" or told["verdict"]["value"]
    (words,) = [one for one in told["signals"] if one["signal"] == "num_words"]
    assert words["value"] == len(PROSE.split()) * 5
    assert cli("clean", "try", page, "--text").out == (PROSE * 5).strip() + "\n"


def test_the_recipe_decides(page: Path, cli: Cli, tiny_recipe: Path) -> None:
    asked = ("clean", "try", page, "--recipe", tiny_recipe)
    assert "kept: it" in cli(*asked).out
    assert "dropped: other_language" in cli(*asked, "--set", "clean.languages=[vi]").out


def test_the_address_is_what_filters_of_urls_see(page: Path, cli: Cli) -> None:
    knob = "clean.filters=[{kind: url_blocklist, domains: [bad.example]}]"
    asked = ("clean", "try", page, "--set", knob)
    assert "kept: it" in cli(*asked).out
    said = cli(*asked, "--url", "HTTP://www.Bad.example:80/a")
    assert "dropped: blocked_domain" in said.out and "http://www.bad.example/a" in said.out


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"<p>a page</p>", "a page"), (b"1 < 2\n", "1 < 2"), (b"\xef\xbb\xbf<p>a", "a")],
)
def test_standard_input_is_html_or_text(
    body: bytes, text: str, stdin: io.BytesIO, cli: Cli
) -> None:
    stdin.write(body)
    stdin.seek(0)
    told = json.loads(cli("clean", "try", "-", "--json", "--set", "clean.filters=[]").out)
    assert (told["url"], told["text"]) == ("file:///stdin", text)


def test_a_charset_may_be_given(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "a.html"
    path.write_bytes("<p>Ngôi nhà cạnh dòng sông đã cũ</p>".encode("utf-16-le"))
    assert cli("clean", "try", path, "--charset", "utf-16le", "--text").out.startswith("Ngôi nhà")
    said = cli("clean", "try", path, "--charset", "klingon")
    assert said.code == 2 and "--charset: found 'klingon'" in said.err


def test_what_is_no_page_is_refused(tmp_path: Path, stdin: io.BytesIO, cli: Cli) -> None:
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "book.epub").write_bytes(b"PK")
    (tmp_path / "huge.txt").write_bytes(b"word " * 2_000_001)
    for name, found in [
        ("binary", "a binary file"),
        ("book.epub", "a binary file"),
        ("huge.txt", "more than 10,000,000 bytes"),
        ("none.html", "No such file"),
        ("nul\0", "null byte"),
        ("", "Is a directory"),
    ]:
        said = cli("clean", "try", tmp_path / name)
        assert said.code == 2 and found in said.err, said.err
    (tmp_path / "empty.html").write_bytes(b"")
    assert "dropped: no_text" in cli("clean", "try", tmp_path / "empty.html").out


def test_options_that_would_do_nothing_are_refused(page: Path, cli: Cli) -> None:
    said = cli("clean", "try", page, "--contact", "me@example.org")
    assert said.code == 2 and "--contact" in said.err
    said = cli(
        "clean", "try", "http://a.example/", "--url", "http://b.example/", "--charset", "utf-8"
    )
    assert said.code == 2 and "--url" in said.err and "--charset" in said.err
    assert "--url: found 'nowhere'" in cli("clean", "try", page, "--url", "nowhere").err
    said = cli("clean", "try", page, "--set", "clean.langauges=[vi]")
    assert said.code == 2 and "Did you mean `languages`?" in said.err


# --- a crawl --------------------------------------------------------------------------------------


def test_a_page_of_a_crawl_is_taken_from_it(tmp_path: Path, cli: Cli) -> None:
    made = seal_cleaned(tmp_path / "store", tmp_path)
    for of in ("crawl", made.label):
        asked = ("clean", "try", "--of", of, "--store", tmp_path / "store")
        told = json.loads(cli(*asked, "http://a/cp1252", "--json").out)
        assert told["url"] == "http://a/cp1252" and told["text"].endswith("café")
    assert "dropped: no_text" in cli(*asked, "a/empty").out
    said = cli(*asked, "http://a/shrot")
    assert said.code == 2 and "Did you mean" in said.err and "http://a/short" in said.err
    assert len(PAGES) == json.loads(cli("clean", "funnel", *asked[4:], "--json").out)["pages"]


# --- the web --------------------------------------------------------------------------------------


def test_a_page_is_fetched_by_the_crawlers_rules(
    tiny_site: TinySite, tiny_recipe: Path, cli: Cli
) -> None:
    asked = len(tiny_site.requests)
    said = cli("clean", "try", f"{tiny_site.url}silt.mod1.html", "--recipe", tiny_recipe, "--json")
    told = json.loads(said.out)
    assert told["verdict"] is None and "silt.mod1" in told["text"]
    assert tiny_site.requests[asked] == "/robots.txt"
    assert tiny_site.requests[-1] == "/silt.mod1.html"
    missing = cli("clean", "try", f"{tiny_site.url}nowhere.html", "--recipe", tiny_recipe)
    assert missing.code == 2 and "http_404 (404); expected 200" in missing.err


def test_private_addresses_are_refused(tiny_site: TinySite, cli: Cli) -> None:
    before = len(tiny_site.requests)
    said = cli("clean", "try", f"{tiny_site.url}silt.mod1.html", "--contact", "me@example.org")
    assert said.code == 2 and "private_address (127.0.0.1)" in said.err
    assert "allow_private_addresses" in said.err
    assert len(tiny_site.requests) == before


def test_a_host_is_told_who_asks(cli: Cli) -> None:
    said = cli("clean", "try", "http://a.example/")
    assert said.code == 2 and "`contact` is missing" in said.err and "--contact you@" in said.err
    assert cli("clean", "try", "http://").code == 2
