"""`phusa head`: what documents look like, kept and dropped, and the page of it."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.head import draw_head
from flows.head_page import page
from flows.takedown.record import forget
from storage.errors import DamagedArtifact, RequestError
from storage.identities import document_id
from storage.records import DOCUMENT, DUPLICATE, PAIR, REJECT, SCORE, sequence_schema
from storage.store import Store
from tasks.artifacts.excerpts import Excerpt, Wanted
from tasks.lm.tokens import TextEncoder
from tasks.tokenizer.config import SMALLEST_VOCABULARY, TokenizerConfig
from tasks.tokenizer.train import save_tokenizer, train_tokenizer
from tests.flows.cleaned import seal_cleaned
from tests.flows.conftest import Cli
from tests.flows.river import PART, River, table
from tests.flows.sealed import seal

TEXTS = {
    "0": "<script>document.title = 'owned'</script><img src=x onerror=alert(1)> </div></article>",
    "1": "مرحبا بالعالم، هذا نص بالعربية",
    "2": "phở 🇻🇳 \x1b[31mred\x00\u202e",
    "3": "plain text " * 200,
}


def _documents(*names: str) -> list[dict[str, Any]]:
    """Documents by the names of their texts; the second is Arabic."""
    return [
        {"document_id": name * 32, "url": f"http://a.org/{name}?<b>", "title": "<i>a title</i>"}
        | {"text": TEXTS[name], "language": "ar" if name == "1" else "vi"}
        for name in names
    ]


@pytest.fixture
def river(tmp_path: Path) -> River:
    """Four documents, of which a classifier drops one and deduplication two others."""
    made = River(tmp_path)
    crawl = made.crawl("http://a.org/0")
    clean = made.put("clean", {f"documents/{PART}": table(DOCUMENT, *_documents(*"0123"))}, crawl)
    low = {"id": "3" * 32, "url": "http://a.org/3?<b>", "reason": "low_quality", "value": "0.1"}
    scores = [{k: r[k] for k in ("document_id", "url", "language")} for r in _documents(*"0123")]
    scored = table(SCORE, *({**row, "score": 0.5} for row in scores))
    rejects = table(REJECT, low)
    scoring = made.put(
        "quality", {f"scores/{PART}": scored, f"rejects/{PART}": rejects}, clean,
        stats={"dropped": {"low_quality": 1}}, rows_in=4, rows_out=3,
    )  # fmt: skip
    twin = {"document_id": "0" * 32, "url": "http://a.org/0?<b>", "kept_id": "2" * 32}
    twin |= {"kept_url": "http://a.org/2", "similarity": 0.93, "method": "minhash"}  # type: ignore[dict-item]
    short = {"id": "1" * 32, "url": "http://a.org/1?<b>", "reason": "<x>short", "value": "3"}
    files = {
        f"documents/{PART}": table(DOCUMENT, *_documents("2")),
        "duplicates.parquet": table(DUPLICATE, twin),
        f"rejects/{PART}": table(REJECT, short),
    }
    made.put("dedup", files, clean, scoring, config={"threshold": 0.8})
    return made


def _draw(store: Store, of: str, characters: int = 0, **asked: Any) -> dict[str, Excerpt]:
    """What was drawn of one side, by id."""
    wanted = Wanted(**{"dropped": True, "count": 999, **asked})
    found = draw_head(store, of, [wanted], characters)
    side = found.dropped if wanted.dropped else found.kept
    assert side is not None and side.total == len(side.rows)
    return {row.id: row for row in side.rows}


# --- a cleaning -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cleaning(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("cleaned")
    seal_cleaned(root / "store", root / "work")
    return Store(root / "store")


def test_the_very_text_that_was_dropped_is_made_again(cleaning: Store) -> None:
    found = {row.reason: row for row in _draw(cleaning, "clean").values()}
    assert {"repeated_lines", "too_few_words", "no_text", "other_language"} == {*found}
    short = found["too_few_words"]
    assert short.text == "The end of the story." and short.title == "A title"
    assert (short.language, short.value, short.threshold, short.note) == ("en", "5", ">= 20", "")
    for row in found.values():
        assert not row.text or document_id(row.url, row.text) == row.id
    assert found["no_text"].text == "" and "no text" in found["no_text"].note


def test_reason_and_language_choose(cleaning: Store) -> None:
    assert {r.reason for r in _draw(cleaning, "clean", reason="no_text").values()} == {"no_text"}
    assert {r.language for r in _draw(cleaning, "clean", language="en").values()} == {"en"}
    assert _draw(cleaning, "clean", reason="no_text", language="en") == {}
    (row,) = _draw(cleaning, "clean", 10, dropped=False, language="vi").values()
    assert row.url.endswith("/vi") and len(row.text) == 10 and row.characters > 100


@pytest.fixture
def copied(cleaning: Store, tmp_path: Path) -> Store:
    shutil.copytree(cleaning.address, tmp_path / "copied")
    return Store(tmp_path / "copied")


def test_a_text_that_would_be_another_now_says_so(copied: Store) -> None:
    made = copied.resolve("clean")
    path = Path(copied.address) / "versions/clean" / made.version / "manifest.json"
    other = made.model_copy(update={"config": {**made.config, "drop_lines": ["^The same"]}})
    path.write_bytes(other.to_json())
    by_url = {row.url: row for row in _draw(copied, "clean", reason="too_few_words").values()}
    assert by_url["http://a/short"].note == ""
    (repeats,) = _draw(copied, "clean", reason="repeated_lines").values()
    assert repeats.text == "" and repeats.note


def test_without_its_crawl_or_taken_down_no_text_is_made(copied: Store) -> None:
    forget(copied, "http://a/short", "asked")
    (short,) = _draw(copied, "clean", reason="too_few_words").values()
    assert short.text == short.title == "" and "url http://a/short" in short.note
    (kept,) = (r for r in _draw(copied, "clean", dropped=False).values() if r.url == "http://a/0")
    assert kept.text
    (warc,) = copied.files(copied.resolve("crawl"), "warc/")
    warc.unlink()
    (row,) = _draw(copied, "clean", reason="repeated_lines").values()
    assert row.text == "" and "no longer in the store" in row.note
    with pytest.raises(DamagedArtifact) as caught:
        _draw(copied, "crawl@2026")
    assert caught.value.faults[0].code == "no_data"


# --- the other types ------------------------------------------------------------------------------


def test_duplicates_name_what_was_kept_for_them(river: River) -> None:
    found = _draw(river.store, "dedup")
    twin, short = found["0" * 32], found["1" * 32]
    assert (twin.reason, twin.text, twin.language) == ("duplicate", TEXTS["0"], "vi")
    assert "93.0%" in twin.value and "80%" in twin.threshold and "http://a.org/2" in twin.note
    assert (short.reason, short.text, short.language) == ("<x>short", TEXTS["1"], "ar")
    assert [*_draw(river.store, "dedup", reason="duplicate")] == ["0" * 32]
    assert [*_draw(river.store, "dedup", language="ar")] == ["1" * 32]
    assert [*_draw(river.store, "dedup", dropped=False)] == ["2" * 32]


def test_scores_show_texts_of_the_documents_they_are_of(river: River) -> None:
    (low,) = _draw(river.store, "quality").values()
    assert (low.reason, low.text) == ("low_quality", TEXTS["3"])
    kept = _draw(river.store, "quality", dropped=False)
    assert {*kept} == {n * 32 for n in "012"} and "0.5" in kept["0" * 32].note
    assert kept["1" * 32].text == TEXTS["1"]
    assert [*_draw(river.store, "quality", dropped=False, language="ar")] == ["1" * 32]


def test_a_crawl_shows_pages_as_they_came_and_rejects(cleaning: Store, river: River) -> None:
    pages = {row.url: row for row in _draw(cleaning, "crawl", dropped=False).values()}
    assert "<title>A title</title>" in pages["http://a/short"].text
    assert "text/html" in pages["http://a/short"].note
    (moved,) = _draw(river.store, "crawl").values()
    assert (moved.reason, moved.url) == ("redirected", "http://a.org/moved")


def test_tokens_entries_and_pairs_are_rows_too(tmp_path: Path) -> None:
    config = TokenizerConfig(vocab_size=SMALLEST_VOCABULARY)
    (tmp_path / "t").mkdir()
    save_tokenizer(train_tokenizer(["the silt of the river"], config), tmp_path / "t")
    river = River(tmp_path / "store")
    tokenizer = river.put("tokenizer", {f.name: f.read_bytes() for f in (tmp_path / "t").iterdir()})
    spans = [{"document_id": "a", "start": 1, "end": 3}]
    ids = TextEncoder.load(tmp_path / "t").encode("the silt")
    rows = pa.Table.from_pylist([{"input_ids": ids, "spans": spans}], schema=sequence_schema(300))
    river.put("shard", {f"train/{PART}": rows}, tokenizer)
    (sequence,) = _draw(river.store, "shard", dropped=False).values()
    assert sequence.text == "the silt" and "1 document" in sequence.note
    entries = _draw(river.store, "tokenizer", dropped=False)
    assert len(entries) == SMALLEST_VOCABULARY and all(row.note for row in entries.values())
    pair = {"name": "x", "prompt": "What is x?", "answer": "y", "document_id": "a"}
    river.put("finetune", {"pairs/train.parquet": table(PAIR, pair)})
    assert "prompt: What is x?" in _draw(river.store, "finetune", dropped=False)["a"].text


def test_a_type_of_which_nothing_is_known_shows_its_first_table(tmp_path: Path) -> None:
    seal(tmp_path, "mine", "1", {"rows/a.parquet": pa.table({"url": ["http://a"], "n": [7]})})
    (row,) = _draw(Store(tmp_path), "mine", dropped=False).values()
    assert (row.url, row.text) == ("http://a", "url: http://a\nn: 7")


@pytest.mark.parametrize(
    ("of", "asked", "code"),
    [
        ("clean", {"reason": "nonsense"}, "unknown_reason"),
        ("crawl", {"language": "vi"}, "cannot_show"),
        ("shard", {}, "cannot_show"),
        ("pretrain", {"dropped": False}, "cannot_show"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    cleaning: Store, tmp_path: Path, of: str, asked: dict[str, Any], code: str
) -> None:
    for name in ("shard", "pretrain"):
        seal(tmp_path, name, "1", {"a": b""})
    place = cleaning if of in cleaning.names() else Store(tmp_path)
    with pytest.raises(RequestError) as caught:
        _draw(place, of, **asked)
    assert caught.value.faults[0].code == code


# --- as it is shown -------------------------------------------------------------------------------


class _Tags(HTMLParser):
    """The tags of a page, and the text outside of its style."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_any_text_as_text_and_loads_nothing(river: River, tmp_path: Path) -> None:
    both = [Wanted(dropped=side, count=9) for side in (False, True)]
    html = page(draw_head(river.store, "dedup", both, 300))
    found = _Tags()
    found.feed(html)
    names = {tag for tag, _ in found.tags}
    assert not names & {"script", "img", "link", "iframe", "i", "b", "x"}
    loads = [
        a for tag, attrs in found.tags for a in attrs if a in ("src", "style") or a[:2] == "on"
    ]
    assert loads == [] and "@import" not in html and "url(" not in html
    assert TEXTS["0"] in found.text and TEXTS["1"] in found.text and "🇻🇳" in found.text
    assert "<x>short" in found.text and not {"\x1b", "\x00", "\u202e"} & {*html}
    radios = [attrs["id"] for tag, attrs in found.tags if tag == "input"]
    assert radios == ["all", "r0", "r1"]
    classes = {attrs.get("class") for tag, attrs in found.tags if tag == "article"}
    assert classes == {"", "r0", "r1"} and all(f"#{r}:checked" in html for r in radios[1:])


def test_the_command_answers_people_programs_and_files(river: River, cli: Cli) -> None:
    words = ("head", "dedup", "--store", river.store.address)
    row = json.loads(cli(*words, "--dropped", "--kept", "--characters", 5, "--json").out)
    assert row["kept"]["total"] == 1 and row["dropped"]["total"] == 2
    assert {len(one["text"]) for side in ("kept", "dropped") for one in row[side]["rows"]} == {5}
    said = json.loads(cli(*words, "--reason", "duplicate", "--json").out)
    assert said["kept"] is None and said["dropped"]["total"] == 1
    shown = cli(*words, "--dropped", "--kept").out
    assert "kept: 1 of 1" in shown and "dropped: 2 of 2" in shown and "<x>short: 3" in shown
    assert json.loads(cli(*words, "--json").out)["dropped"] is None
    path = Path(river.store.address) / "out.html"
    assert str(path) in cli(*words, "--dropped", "--html", path).out
    assert path.read_text().startswith("<!doctype html>")
    refused = cli(*words, "--html", path.parent / "not/there.html", "--json")
    assert refused.code == 2
    assert json.loads(refused.err)["error"]["faults"][0]["code"] == "unwritable_file"


@pytest.mark.fleet
@pytest.mark.skipif(not shutil.which("chromedriver"), reason="needs chromium and its driver")
def test_a_click_leaves_one_reason_and_nothing_runs(river: River, tmp_path: Path) -> None:
    from tests.flows.deployed.browser import browser  # selenium: 0.3 s

    both = [Wanted(dropped=side, count=9) for side in (False, True)]
    (tmp_path / "out.html").write_text(page(draw_head(river.store, "dedup", both, 300)))
    with browser() as chromium:
        chromium.open((tmp_path / "out.html").as_uri())
        assert chromium.driver.title.startswith("dedup@")
        chromium.driver.find_element("css selector", "label[for=r1]").click()
        articles = chromium.driver.find_elements("css selector", ".dropped article")
        assert sorted(one.is_displayed() for one in articles) == [False, True]
        assert chromium.driver.find_element("css selector", ".kept article").is_displayed()
