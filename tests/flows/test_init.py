"""`phusa init`: from a place of pages to a recipe that runs as it is."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml

from flows import init as rules
from flows import sizing, survey
from tasks.clean.extractors import Auto, Extraction, Extractor
from tasks.clean.filters import Bound
from tasks.crawl.captures import Capture
from tasks.crawl.live.sampling import SiteSample
from tests.flows.conftest import Cli
from tests.site import TinySite
from tests.tasks.clean.test_earlier import InProcess

TEXT = (
    "phù sa là đất mịn mà dòng sông để lại sau mỗi mùa nước nổi và người dân của đồng bằng trồng "
    "lúa trên đó chương này kể về những con kênh được đào trong năm thứ nhất với các cánh đồng "
    "không còn ngập một cây cầu cho làng bên đường những ai đã ở lại từ thuở xưa"
)


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children and probes take seconds; test_judging and test_sizing have them."""
    monkeypatch.setattr(survey, "ExtractionSandbox", InProcess)
    monkeypatch.setattr(sizing, "probed", lambda machine: machine)


@pytest.fixture
def site() -> Iterator[TinySite]:
    with TinySite() as served:
        yield served


def text_of(number: int) -> str:
    """Two hundred Vietnamese words, in another order each time."""
    chance = random.Random(number)
    sentences = [" ".join(chance.sample(TEXT.split(), 20)) for _ in range(10)]
    return "Phù sa. " + " ".join(f"{one.capitalize()}." for one in sentences)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty texts in Vietnamese."""
    place = tmp_path / "pages"
    place.mkdir()
    for number in range(40):
        (place / f"{number}.txt").write_text(text_of(number))
    return place


def written(cli: Cli, out: Path, *words: object) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The recipe, its text, and what was told of it; it has been planned by then."""
    said = cli("init", *words, "--out", out, "--json")
    assert said.code == 0, said.err
    assert cli("plan", out, "--json", "--store", out.parent / "store").code == 0
    text = out.read_text()
    return yaml.safe_load(text), text, json.loads(said.out)


def refusal(cli: Cli, *words: object, code: int = 2) -> str:
    said = cli("init", *words, "--json")
    assert said.code == code, said.out
    fault: dict[str, str] = json.loads(said.err)["error"]["faults"][0]
    assert fault["found"] and fault["expected"] and fault["remedy"]
    return fault["code"]


# --- what is written ------------------------------------------------------------------------------


def test_a_site_gives_a_recipe_with_its_scope_its_filters_and_a_reason_for_each_value(
    cli: Cli, site: TinySite, tmp_path: Path
) -> None:
    recipe, text, told = written(cli, tmp_path / "r.yaml", site.url, "--hours", 1)
    source = recipe["crawl"]["source"]
    assert source["seeds"] == [site.url] and source["allow_private_addresses"] is True
    assert "contact" not in source
    assert recipe["clean"]["languages"] == ["en"]
    assert [rule["kind"] for rule in recipe["clean"]["filters"]] == [
        *("length", "gopher_quality", "repetition")
    ]
    assert set(told) >= {"pages", "kind", "language", "text", "machine", "time", "sizing"}
    assert recipe["pretrain"]["tokens"] == told["sizing"]["tokens"]
    lines = text.splitlines()
    for key in ("languages", "vocab_size", "sequence_length", "hidden_size", "batch_sequences"):
        (line,) = [line for line in lines if line.strip().startswith(f"{key}:")]
        assert re.search(r"# \w", line), line
    assert max(map(len, lines)) <= 120


def test_reference_pages_are_taught_from_and_others_are_not(
    cli: Cli, site: TinySite, folder: Path, tmp_path: Path
) -> None:
    recipe, _, told = written(cli, tmp_path / "r.yaml", site.url)
    assert "reference" in told["kind"]
    assert recipe["finetune"]["pairs"]["kind"] == "definitions"
    assert all(prompt.startswith("What is silt.") for prompt in recipe["prompts"])
    recipe, _, _ = written(cli, tmp_path / "f.yaml", folder)
    assert "finetune" not in recipe


def test_pairs_ask_in_the_language_of_the_pages(
    cli: Cli, site: TinySite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(question.count("{name}") == 1 for question in rules._QUESTIONS.values())
    monkeypatch.setitem(rules._QUESTIONS, "en", rules._QUESTIONS["vi"])  # the pages are English
    recipe, _, _ = written(cli, tmp_path / "r.yaml", site.url)
    assert recipe["finetune"]["pairs"]["question"] == "{name} là gì?"
    assert all(re.fullmatch(r"silt\.\S+ là gì\?", prompt) for prompt in recipe["prompts"])


def test_robots_and_scope_are_heeded_while_sampling(
    cli: Cli, site: TinySite, tmp_path: Path
) -> None:
    site.pages["/robots.txt"] = b"User-agent: *\nDisallow: /silt.copy\n"
    written(cli, tmp_path / "r.yaml", site.url, "--sample", 60)
    assert site.requests.count("/robots.txt") == 1
    assert not [path for path in site.requests if path.startswith("/silt.copy")]
    fetched = [path for path in site.requests if path.endswith(".html")]
    assert len(fetched) == len(set(fetched)) > 40


def test_a_sitemap_tells_how_many_pages_there_are(cli: Cli, site: TinySite, tmp_path: Path) -> None:
    urls = "".join(f"<url><loc>{site.url}silt.mod{i}.html</loc></url>" for i in range(48))
    site.pages["/robots.txt"] = f"Sitemap: {site.url}map.txt\n".encode()
    site.pages["/map.txt"] = f"<urlset>{urls}</urlset>".encode()
    site.pages["/"] = b'<html><body><a href="/silt.mod1.html">one</a></body></html>'
    _, _, told = written(cli, tmp_path / "r.yaml", site.url)
    assert "48 of them in sitemaps" in told["pages"] and "about" in told["pages"]


def test_a_folder_of_vietnamese_texts_is_known_for_it(
    cli: Cli, folder: Path, tmp_path: Path
) -> None:
    recipe, text, told = written(cli, tmp_path / "r.yaml", folder, "--language", "vi-VN")
    assert recipe["crawl"]["source"] == {"kind": "files", "path": str(folder)}
    assert recipe["clean"]["languages"] == ["vi"]
    assert told["pages"].startswith("about 40") and "Phù sa" in text
    assert recipe["shard"]["validation_share"] > 0.05  # of forty documents two are few


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_the_columns_of_a_table_are_found(cli: Cli, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"Tập 1{suffix}"
    rows = [
        {"id": str(i), "url": f"https://example.org/{i}", "body": f"<p>{text_of(i)}</p>"}
        for i in range(40)
    ]
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    recipe, _, told = written(cli, tmp_path / "r.yaml", path)
    source = recipe["crawl"]["source"]
    assert source["kind"] == "records" and source["paths"] == [str(path)]
    assert (source["text_column"], source["url_column"]) == ("body", "url")
    assert source["content_type"] == "text/html" and told["pages"].startswith("40;")


def test_what_pages_say_stays_text(cli: Cli, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        path.write_text(f"x: [bold] # \x1b[31m 'a\"b {path.stem} {path.read_text()}")
    folder = folder.rename(folder.parent / "a\n  b: [c] #")
    recipe, text, _ = written(cli, tmp_path / "r.yaml", folder)
    assert recipe["crawl"]["source"]["path"] == str(folder)
    assert "\x1b" not in text and all("[bold]" in prompt for prompt in recipe["prompts"])


def test_bounds_that_most_pages_break_are_moved_and_no_further_than_they_may() -> None:
    short = Bound("too_few_words", "num_words", min=50)
    lines = Bound("repeated_lines", "repeated_line_share", max=0.3)
    assert rules._moved(short, [30.0] * 10 + [90.0] * 10, "manual") == pytest.approx(28.5)
    assert rules._moved(short, [3.0] * 10 + [90.0] * 10, "manual") == 20
    assert rules._moved(short, [30.0] * 20, "article") == 50
    assert rules._moved(short, [30.0] + [90.0] * 19, "manual") is None
    assert rules._moved(lines, [0.5] * 20, "reference") == pytest.approx(0.53)
    assert rules._moved(lines, [0.5] * 20, "article") == pytest.approx(0.45)
    assert rules._moved(lines, [], "article") is None


def test_links_that_half_the_pages_share_tell_how_many_there_are() -> None:
    chance = random.Random(1)
    urls = [f"http://a/{i}" for i in range(600)]
    links = [{"http://a/menu", *chance.sample(urls, 15)} for _ in range(21)]
    sample = SiteSample("http://a/", links=links)
    assert 400 < sample.estimate() < 800 and len(sample.known) < 300
    whole = SiteSample("http://a/", links=[set(urls), *links[1:]])
    assert whole.estimate() == len(whole.known) == 602
    apart = SiteSample(
        "http://a/", links=[{f"http://a/{i}/{j}" for j in range(9)} for i in range(20)]
    )
    assert apart.estimate() == 3 * len(apart.known)


def test_an_extractor_that_takes_too_little_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def extracted(captures: list[Capture], extractor: Extractor) -> list[Extraction]:
        text, way = (
            ("all of it" * 9, "") if extractor.kind == "resiliparse" else ("all", "reference")
        )
        return [Extraction("", text, way) for _ in captures]

    monkeypatch.setattr(survey, "_extracted", extracted)
    pages = [Capture(f"http://a/{i}", b"<p>", "text/html", "", datetime.now(UTC)) for i in range(4)]
    found = extracted(pages, Auto())
    assert survey._kept_of_whole(pages, found) == pytest.approx(3 / 81)
    articles = [replace(one, extractor="article") for one in found]
    assert survey._kept_of_whole(pages, articles) == 0


# --- what is refused ------------------------------------------------------------------------------


def test_refusals_have_codes(cli: Cli, site: TinySite, folder: Path, tmp_path: Path) -> None:
    empty, there = tmp_path / "empty", tmp_path / "there.yaml"
    empty.mkdir()
    there.write_text("mine")
    new = ("--out", tmp_path / "new.yaml")
    assert refusal(cli) == "no_place"
    assert refusal(cli, "https://example.org/", *new) == "no_contact"
    assert refusal(cli, empty, *new) == "no_such_place"
    assert refusal(cli, tmp_path / "nowhere", *new) == "no_such_place"
    assert refusal(cli, there, *new) == "no_such_place"  # a single file
    assert refusal(cli, folder, "--out", there) == "file_exists"
    assert refusal(cli, folder, "--out", tmp_path / "no" / "r.yaml") == "no_folder"
    assert refusal(cli, folder, "--hours", 0, *new) == "bad_hours"
    assert refusal(cli, folder, "--language", "Vietnamese", *new) == "unknown_language"
    assert refusal(cli, folder, "--language", "fr", *new) == "other_language"
    for path in list(folder.iterdir())[2:]:
        path.unlink()
    assert refusal(cli, folder, *new) == "too_little_text"
    assert there.read_text() == "mine" and not (tmp_path / "new.yaml").exists()


def test_a_site_that_forbids_or_does_not_answer_is_left(
    cli: Cli, site: TinySite, tmp_path: Path
) -> None:
    new = ("--out", tmp_path / "new.yaml")
    assert refusal(cli, f"{site.url}missing.html", *new) == "no_page"
    with TinySite() as other:
        other.pages["/robots.txt"] = b"User-agent: *\nDisallow: /\n"
        assert refusal(cli, other.url, *new) == "forbidden_by_site"
        assert other.requests == ["/robots.txt", "/.well-known/tdmrep.json"]
        gone = other.url
    assert refusal(cli, gone, *new, code=1) == "no_answer"


def test_force_writes_over(cli: Cli, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.yaml"
    out.write_text("mine")
    assert "name" in written(cli, out, folder, "--force")[0]


def test_without_arguments_a_terminal_is_asked(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = [], iter([str(folder), "vi", 0.5, str(tmp_path / "r.yaml")])

    def prompt(text: str, **options: object) -> object:
        asked.append(text)
        return next(answers)

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    said = cli("init")
    assert said.code == 0 and len(asked) == 4
    assert "phusa run" in said.out and yaml.safe_load((tmp_path / "r.yaml").read_text())
