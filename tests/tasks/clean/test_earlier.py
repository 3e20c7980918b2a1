"""Pages that did not change are copied from an earlier cleaning: the same bytes, for less work."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.identities import document_id
from storage.records import DOCUMENT
from storage.takedown import NOTHING, Forgotten, Kind, Takedown, identify
from storage.workspace import Workspace
from tasks.clean import clean
from tasks.clean.clean import TABLES, CleanPaths, PageShard, clean_shard, count_reused
from tasks.clean.config import CleanConfig, Sandbox
from tasks.clean.earlier import EarlierShard, SealedFile
from tasks.clean.extractors import Extraction, Extractor, Resiliparse
from tasks.clean.filters import Length, Verdict
from tasks.clean.sandbox import extract_page
from tasks.clean.text import decode
from tasks.progress import SilentReporter, reporting_to
from tests.tasks.clean.conftest import Page, write_crawl_shard

CONFIG = CleanConfig(extractor=Resiliparse(), filters=(Length(min_words=5),))
NUM_PAGES = 12
TEXTS = (
    "the river carries {} down to the sea in spring",
    "number {} is an entirely different text of some words",
    "short {}",
    "",
    "!crash {}",
    "a caf\xe9 that another charset reads otherwise, {}",
)

extracted: list[str] = []
"""The URLs of the pages that were extracted since it was last cleared."""


class InProcess:
    """Stands in for the sandbox, whose child takes 0.2 s to start; a page that begins with `!`
    crashes it.
    """

    def __init__(self, extractor: Extractor, limits: Sandbox) -> None:
        self._extractor = extractor

    def __enter__(self) -> InProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def extract(self, body: bytes, charset: str, url: str) -> Extraction | Verdict:
        extracted.append(url)
        if b"!crash" in body:
            return Verdict("extractor_crashed", f"crash {len(extracted)}", "exit code 0")
        found = extract_page(self._extractor, body, charset, url)
        assert found is not None
        return found


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(clean, "ExtractionSandbox", InProcess)
    extracted.clear()
    yield


def page(number: int, kind: int = 0, charset: str = "utf-8") -> Page:
    """Page `number` with one of TEXTS."""
    text = TEXTS[kind].format(number)
    return Page(f"http://site{number % 2}.a/{number}", f"<p>{text}</p>".encode(), charset)


def document(of: Page) -> str:
    """The id of a page's document, or what it would be."""
    html = decode(of.body, of.charset)
    return document_id(of.url, html.removeprefix("<p>").removesuffix("</p>"))


def forgotten(*rules: tuple[Kind, str]) -> Forgotten:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return Forgotten(
        tuple(
            Takedown(id=identify(kind, value), kind=kind, value=value, why="", by="", at=at)
            for kind, value in rules
        )
    )


@dataclass(frozen=True)
class Night:
    """What was crawled on one night, in how many shards, and what was taken down by then."""

    pages: tuple[Page, ...]
    num_shards: int = 2
    rules: tuple[tuple[Kind, str], ...] = ()
    config: CleanConfig = CONFIG


@dataclass(frozen=True)
class Cleaned:
    """A night's cleaning: the bytes of all its files, and what the next may copy from."""

    files: dict[str, bytes]
    shards: dict[str, EarlierShard]
    reused: int


def crawl(night: Night, root: Path) -> dict[str, PageShard]:
    """Shards as a crawl writes them, by the name of their page file."""
    parts: list[list[Page]] = [[] for _ in range(night.num_shards)]
    for one in night.pages:
        parts[xxhash.xxh3_64_intdigest(one.url.encode()) % night.num_shards].append(one)
    return {
        f"part-{i}-of-{night.num_shards}": write_crawl_shard(part, root / f"crawl-{i}")
        for i, part in enumerate(parts)
    }


def cleaning(
    night: Night,
    root: Path,
    earlier: Cleaned | None = None,
    crawled: dict[str, PageShard] | None = None,
) -> Cleaned:
    """Clean a night's crawl as the flow does, with what an earlier night can lend."""
    workspace = Workspace(root / "work")
    shards = crawled or crawl(night, root)
    for name, shard in shards.items():
        lent: Sequence[EarlierShard] = ()
        if earlier is not None:
            lent = [earlier.shards[name]] if name in earlier.shards else [*earlier.shards.values()]
        clean_shard(
            shard, night.config, workspace, paths(name), forgotten=forgotten(*night.rules),
            earlier=lent,
        )  # fmt: skip
    entries = {entry.path: entry for entry in workspace.entries()}

    def sealed(path: str) -> SealedFile | None:
        return SealedFile(workspace.data / path, entries[path].sha256) if path in entries else None

    made = {
        name: EarlierShard(hashed(shard.pages), sealed(paths(name).documents),
                           sealed(paths(name).rejects), sealed(paths(name).signals))
        for name, shard in shards.items()
    }  # fmt: skip
    files = {path: (workspace.data / path).read_bytes() for path in entries}
    return Cleaned(files, made, count_reused(workspace))


def paths(name: str) -> CleanPaths:
    return CleanPaths(*(f"{table}/{name}.parquet" for table in TABLES))


def hashed(path: Path) -> SealedFile:
    return SealedFile(path, hashlib.sha256(path.read_bytes()).hexdigest())


def reasons(cleaned: Cleaned) -> dict[str, str]:
    """Why each page that was dropped was, by its URL."""
    tables = (pq.read_table(pa.BufferReader(d)) for p, d in cleaned.files.items() if "rej" in p)
    return {row["url"]: row["reason"] for table in tables for row in table.to_pylist()}


PAGES = tuple(page(n, n % 3) for n in range(NUM_PAGES))

# --- equality -----------------------------------------------------------------------------------

a_page = st.builds(
    page,
    st.integers(0, NUM_PAGES - 1),
    st.integers(0, len(TEXTS) - 1).filter(lambda kind: not TEXTS[kind].startswith("!")),
    st.sampled_from(["utf-8", "latin-1"]),
)
a_rule = st.one_of(
    a_page.map(lambda p: ("document", document(p))),
    a_page.map(lambda p: ("url", p.url)),
    st.just(("domain", "site1.a")),
)
a_night = st.builds(
    Night,
    st.lists(a_page, max_size=NUM_PAGES, unique_by=lambda p: p.url).map(tuple),
    st.sampled_from([1, 2, 3]),
    st.lists(a_rule, max_size=2).map(tuple),
)


@settings(max_examples=30)  # 0.2 s each: mostly fsync
@given(st.lists(a_night, min_size=2, max_size=3))
def test_any_nights_copied_from_each_other_are_as_from_scratch(nights: list[Night]) -> None:
    """All tables of every night, byte for byte: pages changed, new, gone or back, in another
    charset, other numbers of shards, and takedowns that came or went."""
    last: Cleaned | None = None
    with tempfile.TemporaryDirectory() as name:
        for number, night in enumerate(nights):
            root = Path(name) / str(number)
            shards = crawl(night, root)
            scratch = cleaning(night, root / "scratch", None, shards)
            last = cleaning(night, root / "copied", last, shards)
            assert last.files == scratch.files
            assert scratch.reused == 0


# --- what is copied, and what is not ------------------------------------------------------------


@pytest.mark.parametrize("num_shards", [1, 2, 5])
def test_only_pages_that_changed_are_cleaned(tmp_path: Path, num_shards: int) -> None:
    before = cleaning(Night(PAGES), tmp_path / "1")
    assert sorted(extracted) == sorted(p.url for p in PAGES)
    changed, new = page(0, 1), page(NUM_PAGES)
    night = Night((changed, *PAGES[2:], new), num_shards)
    extracted.clear()
    again = cleaning(night, tmp_path / "2", before)
    assert sorted(extracted) == sorted([changed.url, new.url])
    assert again.reused == NUM_PAGES - 2
    assert again.files == cleaning(night, tmp_path / "3").files


def test_nothing_is_read_of_pages_that_did_not_change(tmp_path: Path) -> None:
    before = cleaning(Night(PAGES), tmp_path / "1")
    night = Night(PAGES)
    shards = crawl(night, tmp_path / "2")
    workspace = Workspace(tmp_path / "out")
    for name, shard in shards.items():
        for warc in shard.warc.iterdir():
            warc.unlink()
        lent = [before.shards[name]]
        clean_shard(shard, CONFIG, workspace, paths(name), forgotten=NOTHING, earlier=lent)
    files = {e.path: (workspace.data / e.path).read_bytes() for e in workspace.entries()}
    assert files == before.files


def test_a_page_of_the_same_bytes_in_another_charset_is_cleaned_again(tmp_path: Path) -> None:
    pages = [page(0, 5, "utf-8"), page(1, 5, "utf-8")]
    before = cleaning(Night(tuple(pages)), tmp_path / "1")
    other = replace(pages[0], charset="latin-1")
    assert other.page_id == pages[0].page_id
    extracted.clear()
    night = Night((other, pages[1]))
    again = cleaning(night, tmp_path / "2", before)
    assert extracted == [other.url]
    assert again.files == cleaning(night, tmp_path / "3").files != before.files


def test_a_crash_is_not_remembered(tmp_path: Path) -> None:
    """It, a timeout or a lack of memory may have been the machine's fault."""
    pages = (page(0), page(1, 4))
    before = cleaning(Night(pages), tmp_path / "1")
    assert reasons(before) == {pages[1].url: "extractor_crashed"}
    extracted.clear()
    assert cleaning(Night(pages), tmp_path / "2", before).reused == 1
    assert extracted == [pages[1].url]


def test_a_reject_is_remembered(tmp_path: Path) -> None:
    pages = (page(0), page(1, 2), page(2, 3))
    before = cleaning(Night(pages), tmp_path / "1")
    assert sorted(reasons(before).values()) == ["no_text", "too_few_words"]
    extracted.clear()
    assert cleaning(Night(pages), tmp_path / "2", before).files == before.files
    assert not extracted


# --- takedowns ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2])  # a document, another one, a reject
@pytest.mark.parametrize("kind", ["url", "domain", "document"])
def test_what_is_forgotten_now_is_not_copied(tmp_path: Path, number: int, kind: Kind) -> None:
    of = PAGES[number]
    domain = of.url.split("/")[2]
    rule = (kind, {"url": of.url, "domain": domain, "document": document(of)}[kind])
    before = cleaning(Night(PAGES), tmp_path / "1")
    extracted.clear()
    night = Night(PAGES, rules=(rule,))
    after = cleaning(night, tmp_path / "2", before)
    assert reasons(after)[of.url] == "forgotten"
    assert not extracted
    assert after.files == cleaning(night, tmp_path / "3").files


@pytest.mark.parametrize("kind", ["url", "document"])
def test_what_was_forgotten_and_is_not_any_more_is_cleaned_again(
    tmp_path: Path, kind: Kind
) -> None:
    rule = (kind, PAGES[0].url if kind == "url" else document(PAGES[0]))
    before = cleaning(Night(PAGES, rules=(rule,)), tmp_path / "1")
    extracted.clear()
    after = cleaning(Night(PAGES), tmp_path / "2", before)
    assert extracted == [PAGES[0].url]
    assert after.files == cleaning(Night(PAGES), tmp_path / "3").files


# --- what cannot be read ------------------------------------------------------------------------


class _Notes(SilentReporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # of the same size: only its sha256 tells
    path.write_bytes(data)


@pytest.mark.parametrize("table", ["pages", "documents", "rejects"])
@pytest.mark.parametrize("how", ["gone", "flipped"])
def test_a_damaged_shard_is_passed_over(tmp_path: Path, table: str, how: str) -> None:
    before = cleaning(Night(PAGES), tmp_path / "1")
    (name, damaged), _ = before.shards.items()
    path = getattr(damaged, table).path
    path.unlink() if how == "gone" else _flip(path)
    notes = _Notes()
    extracted.clear()
    with reporting_to(notes):
        after = cleaning(Night(PAGES), tmp_path / "2", before)
    assert after.files == before.files
    assert after.reused == NUM_PAGES - len(extracted) and 0 < len(extracted) < NUM_PAGES
    (said,) = notes.said
    assert said.startswith(f"clean: passed over {damaged.pages.path.name}") and path.name in said
    assert name in before.shards


def test_tables_of_another_schema_are_passed_over(tmp_path: Path) -> None:
    before = cleaning(Night(PAGES, num_shards=1), tmp_path / "1")
    ((name, shard),) = before.shards.items()
    assert shard.documents is not None
    rows = pq.read_table(shard.documents.path)
    pq.write_table(rows.rename_columns([*DOCUMENT.names[:-1], "other"]), shard.documents.path)
    other = replace(shard, documents=hashed(shard.documents.path))
    lent = replace(before, shards={name: other})
    after = cleaning(Night(PAGES, num_shards=1), tmp_path / "2", lent)
    assert after.files == before.files
    assert after.reused == len(reasons(before))


def test_a_shard_without_rows_is_no_file(tmp_path: Path) -> None:
    pages = tuple(page(n, 2) for n in range(4))
    before = cleaning(Night(pages, num_shards=1), tmp_path / "1")
    ((_, shard),) = before.shards.items()
    assert shard.documents is None
    assert cleaning(Night(pages, num_shards=1), tmp_path / "2", before).reused == 4


def test_interrupted_attempts_count(tmp_path: Path) -> None:
    before = cleaning(Night(PAGES), tmp_path / "1")
    first = cleaning(Night(PAGES), tmp_path / "2", before)
    work = Workspace(tmp_path / "2" / "work")
    assert count_reused(work) == first.reused == NUM_PAGES
    name = next(iter(first.shards))
    shard: Any = None  # finished: not looked at
    clean_shard(shard, CONFIG, work, paths(name))
    assert count_reused(work) == NUM_PAGES
