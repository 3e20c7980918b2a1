"""One shard of a crawl to documents, origins and rejects."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from storage.errors import DamagedArtifact
from storage.identities import document_id
from storage.records import DOCUMENT, ORIGIN, REJECT
from storage.workspace import Workspace
from tasks.children import call_in_child
from tasks.clean import task
from tasks.clean.clean import (
    TABLES,
    CleanPaths,
    PageShard,
    clean_shard,
    count_reasons,
    count_trimmed,
    describe,
)
from tasks.clean.config import CleanConfig, Replacement, Sandbox
from tasks.clean.extractors import Resiliparse
from tasks.clean.filters import Length, Repetition
from tasks.clean.judging import Verdicts
from tasks.clean.trims import Boilerplate, C4Lines, Menus
from tests.tasks.clean.bad_extractors import Obedient
from tests.tasks.clean.conftest import Page, WriteShard

Row = dict[str, Any]
PATHS = CleanPaths(*(f"{table}/a.parquet" for table in TABLES))
FILES = (PATHS.documents, PATHS.origins, PATHS.rejects)
SCHEMAS = (DOCUMENT, ORIGIN, REJECT)
WORDS = ["river", "spring", "hill", "town", "water", "stone", "bridge", "mill", "road", "field"]


def _html(text: str, title: str = "A title") -> bytes:
    return f"<html><head><title>{title}</title></head><body><main><p>{text}</p></main>".encode()


def _prose(seed: int, sentences: int = 12) -> str:
    draw = random.Random(seed)
    return " ".join(
        f"The {draw.choice(WORDS)} of the {draw.choice(WORDS)} is near the {draw.choice(WORDS)} "
        f"and we have seen {draw.randrange(1000)}."
        for _ in range(sentences)
    )


VIETNAMESE = "Hôm nay trời đẹp, chúng tôi đi dạo trong công viên rồi ăn phở với bạn bè. " * 5
PAGES = (
    *(Page(f"http://a/{n}", _html(_prose(n))) for n in range(6)),
    Page("http://a/vi", _html(VIETNAMESE), "utf-8"),
    Page("http://a/cp1252", _html(_prose(50) + " caf\xe9").decode().encode("cp1252"), "latin1"),
    Page("http://a/short", _html("The end of the story.")),
    Page("http://a/repeats", _html("<br>".join(["The same of the line and that."] * 20))),
    Page("http://a/empty", b""),
    Page("http://a/binary", bytes(range(256)) * 8),
    Page("http://a/spaces", _html(" &nbsp;\n ")),
)
ALIKE = Repetition(max_top_gram_shares=(1, 1, 1), max_repeated_gram_shares=(1,) * 6)
CONFIG = CleanConfig(
    extractor=Resiliparse(),
    languages=("en", "vi"),
    min_language_score=0.3,
    filters=(Length(min_words=20), ALIKE),  # the pages' sentences are
)


def _clean(shard: PageShard, root: Path, config: CleanConfig = CONFIG) -> tuple[list[Row], ...]:
    workspace = Workspace(root)
    clean_shard(shard, config, workspace, PATHS)
    return tuple(pq.read_table(workspace.data / file).to_pylist() for file in FILES)


def _bytes(root: Path) -> list[bytes]:
    return [(root / "data" / file).read_bytes() for file in FILES]


@pytest.fixture
def shard(write_shard: WriteShard) -> PageShard:
    return write_shard(PAGES)


def test_every_page_ends_in_exactly_one_place(shard: PageShard, tmp_path: Path) -> None:
    documents, origins, rejects = _clean(shard, tmp_path / "out")
    ends = [row["url"] for row in (*documents, *rejects)]
    assert sorted(ends) == sorted(page.url for page in PAGES)
    reasons = {row["url"].rpartition("/")[2]: row["reason"] for row in rejects}
    assert reasons["short"] == "too_few_words"
    assert reasons["repeats"] == "repeated_lines"
    assert reasons["empty"] == reasons["spaces"] == "no_text"
    assert {row["url"].rpartition("/")[2] for row in documents} == {
        *map(str, range(6)),
        "vi",
        "cp1252",
    }
    assert all(row["stage"] == "clean" and row["value"] and row["threshold"] for row in rejects)
    pages = {page.url: page.page_id for page in PAGES}
    urls = {row["document_id"]: row["url"] for row in documents}
    assert {row["document_id"]: row["page_id"] for row in origins} == {
        key: pages[url] for key, url in urls.items()
    }


def test_a_document_is_what_its_page_says(shard: PageShard, tmp_path: Path) -> None:
    documents, _, _ = _clean(shard, tmp_path / "out")
    by_url = {row["url"]: row for row in documents}
    row = by_url["http://a/3"]
    assert row["text"] == _prose(3)
    assert row["document_id"] == document_id("http://a/3", row["text"])
    assert (row["title"], row["extractor"], row["language"]) == ("A title", "resiliparse", "en")
    assert row["num_words"] == len(_prose(3).split())
    assert row["repeated_share"] == 0
    assert 0.3 <= row["language_score"] <= 1
    assert by_url["http://a/vi"]["language"] == "vi"
    assert by_url["http://a/vi"]["text"] == VIETNAMESE.strip()
    assert by_url["http://a/cp1252"]["text"].endswith("café")


def test_files_follow_their_schemas_and_are_sorted(shard: PageShard, tmp_path: Path) -> None:
    documents, origins, rejects = _clean(shard, tmp_path / "out")
    for file, schema in zip(FILES, SCHEMAS, strict=True):
        assert pq.read_schema(tmp_path / "out" / "data" / file).equals(schema)
    assert [r["document_id"] for r in documents] == sorted(r["document_id"] for r in documents)
    assert [r["document_id"] for r in origins] == [r["document_id"] for r in documents]
    keys = [(row["id"], row["url"]) for row in rejects]
    assert keys == sorted(keys)
    entries = {entry.path: entry.volatile for entry in Workspace(tmp_path / "out").entries()}
    assert entries == {
        PATHS.documents: False,
        PATHS.origins: True,
        PATHS.rejects: True,
        PATHS.signals: True,
    }


def test_output_depends_neither_on_order_nor_on_the_run(
    write_shard: WriteShard, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    _clean(write_shard(PAGES), first)
    shuffled = random.Random(1).sample(PAGES, len(PAGES))
    _clean(write_shard(shuffled), second)
    assert _bytes(first) == _bytes(second)


def test_a_page_whose_text_stays_gives_the_same_documents(
    write_shard: WriteShard, tmp_path: Path
) -> None:
    changed = [Page(p.url, p.body.replace(b"<main>", b"<main id=x>"), p.charset) for p in PAGES]
    first, second = (
        _clean(write_shard(PAGES), tmp_path / "1"),
        _clean(write_shard(changed), tmp_path / "2"),
    )
    assert first[0] == second[0]
    assert first[2] == second[2]
    assert first[1] != second[1]


def test_a_finished_shard_is_skipped(shard: PageShard, tmp_path: Path) -> None:
    _clean(shard, tmp_path / "out")
    shard.pages.unlink()  # nothing is read again
    workspace = Workspace(tmp_path / "out")
    clean_shard(shard, CONFIG, workspace, PATHS, advance=_never)


@pytest.mark.parametrize("lost", FILES)
def test_a_half_finished_shard_is_made_again(shard: PageShard, tmp_path: Path, lost: str) -> None:
    _clean(shard, tmp_path / "out")
    before = _bytes(tmp_path / "out")
    file = tmp_path / "out" / "data" / lost
    file.write_bytes(file.read_bytes()[:-5])  # torn
    _clean(shard, tmp_path / "out")
    assert _bytes(tmp_path / "out") == before


def _never() -> None:
    raise AssertionError("a finished shard was worked on")


def test_progress_counts_every_page(shard: PageShard, tmp_path: Path) -> None:
    counted: list[int] = []
    clean_shard(shard, CONFIG, Workspace(tmp_path / "o"), PATHS, lambda: counted.append(1))
    assert len(counted) == len(PAGES)


def test_a_large_shard_is_cleaned_in_a_process_of_its_own(
    shard: PageShard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same task, with the same result."""
    told: list[int] = []

    def call(*args: Any, advance: Callable[[int], object], **kwargs: Any) -> None:
        call_in_child(*args, advance=told.append, **kwargs)

    monkeypatch.setattr(task, "call_in_child", call)
    made = {}
    for worth in (len(PAGES) + 1, len(PAGES)):
        monkeypatch.setattr(task, "_WORTH_A_PROCESS", worth)
        root = tmp_path / str(worth)
        documents = task.clean_pages.fn(1, 1, shard, CONFIG, root)
        assert documents == root / "data" / CleanPaths.of(0, 1).documents
        made[worth] = {
            path.relative_to(root): path.read_bytes() for path in root.rglob("*.parquet")
        }
        assert sum(told) == (0 if worth > len(PAGES) else len(PAGES))
    here, there = made.values()
    assert here == there
    assert len(here) == len(TABLES)


def test_an_empty_shard_gives_empty_files(write_shard: WriteShard, tmp_path: Path) -> None:
    assert _clean(write_shard([]), tmp_path / "out") == ([], [], [])
    for file, schema in zip(FILES, SCHEMAS, strict=True):
        assert pq.read_schema(tmp_path / "out" / "data" / file).equals(schema)


def test_bad_pages_cost_themselves_only(write_shard: WriteShard, tmp_path: Path) -> None:
    orders = ("kill", "raise", "hang", "exit")
    pages = [Page(f"http://a/{n}", body.encode()) for n, body in enumerate([*orders, "hello all"])]
    config = CleanConfig(filters=(), sandbox=Sandbox(timeout_s=1.5)).model_copy(
        update={"extractor": Obedient()}
    )
    documents, _, rejects = _clean(write_shard(pages), tmp_path / "out", config)
    assert [row["text"] for row in documents] == ["hello all of http://a/4"]
    assert [(row["id"], row["reason"]) for row in rejects] == [
        ("http://a/0", "extractor_crashed"),
        ("http://a/1", "extractor_failed"),
        ("http://a/2", "extractor_timeout"),
        ("http://a/3", "extractor_crashed"),
    ]


def _verdicts(rejects: Sequence[Row]) -> dict[str, tuple[str, str, str]]:
    return {
        row["url"].rpartition("/")[2]: (row["reason"], row["value"], row["threshold"])
        for row in rejects
    }


def test_languages_and_their_scores(write_shard: WriteShard, tmp_path: Path) -> None:
    shard = write_shard(PAGES)
    only = CONFIG.model_copy(update={"languages": ("vi", "fr"), "min_language_score": 0.0})
    documents, _, rejects = _clean(shard, tmp_path / "vi", only)
    assert [row["language"] for row in documents] == ["vi"]
    assert _verdicts(rejects)["3"] == ("other_language", "en", "vi, fr")
    sure = CONFIG.model_copy(update={"min_language_score": 1.0})
    documents, _, rejects = _clean(shard, tmp_path / "sure", sure)
    reason, value, threshold = _verdicts(rejects)["3"]
    assert (reason, threshold) == ("unsure_language", ">= 1")
    assert 0.3 < float(value) < 1
    every = CONFIG.model_copy(update={"languages": (), "min_language_score": 1.0})
    documents, _, _ = _clean(shard, tmp_path / "every", every)
    assert {"en", "vi"} <= {row["language"] for row in documents}


def test_lines_are_replaced_and_dropped(write_shard: WriteShard, tmp_path: Path) -> None:
    body = "<p>The object at 0x7f12 of the story</p><p>Menu: all of it</p><p>The end</p>"
    config = CleanConfig(
        extractor=Resiliparse(main_content=False),
        filters=(),
        drop_lines=("^Menu:",),
        replace=(Replacement(pattern=" at 0x[0-9a-f]+"),),
    )
    shard = write_shard([Page("http://a/", f"<title>t</title><body>{body}".encode())])
    documents, _, _ = _clean(shard, tmp_path / "out", config)
    assert documents[0]["text"].split("\n\n") == ["The object of the story", "The end"]


def test_personal_data_is_replaced_before_all_that_follows(
    write_shard: WriteShard, tmp_path: Path
) -> None:
    text = _prose(1) + " Ask jean@falcot.com, at 93.184.216.34 or joe@falcot.org."
    shard = write_shard([Page("http://a/", _html(text, "Of jean@falcot.com"))])
    documents, _, _ = _clean(shard, tmp_path / "masked")
    row = documents[0]
    assert row["text"] == _prose(1) + " Ask <EMAIL>, at <IP_ADDRESS> or <EMAIL>."
    assert row["document_id"] == document_id("http://a/", row["text"])
    assert row["title"] == "Of <EMAIL>"
    assert row["pii"] == ["email", "email", "ip_address"]
    masked = [tmp_path / "masked" / "data" / PATHS.documents]
    assert describe(masked)["pii"] == {"email": 2, "ip_address": 1}
    documents, _, _ = _clean(shard, tmp_path / "plain", CONFIG.model_copy(update={"pii": ()}))
    assert (documents[0]["text"], documents[0]["pii"]) == (text, [])


def test_date_author_and_licence_are_the_pages_own(write_shard: WriteShard, tmp_path: Path) -> None:
    said = (
        '<meta name="author" content="Jean, jean@falcot.com">'
        '<meta name="date" content="2024-05-01">'
        '<a rel="license" href="http://cc/by">'
    )
    body = _html(_prose(1)).replace(b"<head>", f"<head>{said}".encode())
    named = "http://cc/crawled"
    shard = write_shard(
        [
            Page("http://a/own", body),
            Page("http://a/crawled", body, licence=named),
            Page("http://a/z", _html(_prose(2))),
        ]
    )
    rows = {row["url"]: row for row in _clean(shard, tmp_path / "out")[0]}
    facts = ("date", "author", "licence")
    author = "Jean, <EMAIL>"
    assert [rows["http://a/own"][f] for f in facts] == ["2024-05-01", author, "http://cc/by"]
    assert [rows["http://a/crawled"][f] for f in facts] == ["2024-05-01", author, named]
    assert [rows["http://a/z"][f] for f in facts] == ["", "", ""]
    config = CONFIG.model_copy(update={"authors": False})
    assert {row["author"] for row in _clean(shard, tmp_path / "none", config)[0]} == {""}


def test_each_language_has_its_least_score(write_shard: WriteShard, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"language_scores": {"en": 1.0}})
    documents, _, rejects = _clean(write_shard(PAGES), tmp_path / "out", config)
    assert {row["language"] for row in documents} == {"vi"}
    assert _verdicts(rejects)["3"][0::2] == ("unsure_language", ">= 1")


def test_lines_are_trimmed_before_all_else_and_counted(
    write_shard: WriteShard, tmp_path: Path
) -> None:
    lines = [
        "Home",
        "We use cookies here.",
        "The story of the river is a long one.",
        "The end is near.",
    ]
    body = "".join(f"<p>{line}</p>" for line in lines)
    config = CleanConfig(
        extractor=Resiliparse(main_content=False), filters=(), trims=(Boilerplate(), C4Lines())
    )
    shard = write_shard([Page(f"http://a/{n}", f"<body>{body}".encode()) for n in range(2)])
    documents, _, _ = _clean(shard, tmp_path / "out", config)
    assert [row["text"].split("\n\n") for row in documents] == [lines[2:]] * 2
    assert [row["num_words"] for row in documents] == [13] * 2
    assert count_trimmed(Workspace(tmp_path / "out")) == {"cookie_line": 2, "unended_line": 2}


def test_each_kind_of_trim_stands_once() -> None:
    with pytest.raises(ValidationError, match=r"trims \['menus'\] stand there more than once"):
        CleanConfig(trims=(Menus(), Menus(min_lines=2)))


def test_a_damaged_crawl_is_named(shard: PageShard, tmp_path: Path) -> None:
    (shard.warc / "pages.warc.gz").write_bytes(b"")
    with pytest.raises(DamagedArtifact, match=r"pages\.warc\.gz holds no response record"):
        _clean(shard, tmp_path / "out")
    assert not Workspace(tmp_path / "out").entries()


def test_reasons_are_counted(write_shard: WriteShard, tmp_path: Path) -> None:
    shard = write_shard(PAGES)
    _, _, rejects = _clean(shard, tmp_path / "out")
    counts = count_reasons([tmp_path / "out" / "data" / PATHS.rejects])
    assert sum(counts.values()) == len(rejects)
    assert list(counts) == sorted(counts)
    assert counts["no_text"] >= 2
    assert count_reasons([]) == {}


def test_signals_of_all_that_has_text_decide_again_as_they_did(
    shard: PageShard, tmp_path: Path
) -> None:
    documents, _, rejects = _clean(shard, tmp_path / "out")
    signals = pq.read_table(tmp_path / "out" / "data" / PATHS.signals).to_pylist()
    reasons = {row["id"]: row["reason"] for row in rejects}
    without = {"no_text", "forgotten"}
    told = {i: r for i, r in reasons.items() if r not in without and not r.startswith("extractor_")}
    told |= {row["document_id"]: "" for row in documents}
    assert {row["id"]: row["reason"] for row in signals} == told and len(set(told.values())) > 2
    for row in signals:
        verdict = Verdicts(CONFIG).decide(row["language"], row["language_score"], row)
        assert (verdict.reason if verdict else "") == row["reason"]
