"""What must hold of a shard of any pages at all."""

from __future__ import annotations

import math
import re
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.identities import document_id
from storage.records import DOCUMENT, ORIGIN, REJECT, signals_schema
from storage.workspace import Workspace
from tasks.clean import clean
from tasks.clean.clean import TABLES, CleanPaths, clean_shard
from tasks.clean.config import CleanConfig, Sandbox
from tasks.clean.extractors import Auto, Extractor, Resiliparse, Trafilatura
from tasks.clean.filters import (
    C4,
    Adult,
    BiasTerms,
    FineWeb,
    GopherQuality,
    Harmful,
    Length,
    Repetition,
    UrlBlocklist,
    WordBlocklist,
)
from tasks.clean.filters.gopher_quality import STOP_WORDS
from tasks.clean.judging import Verdicts
from tasks.clean.pii import mask
from tasks.clean.sandbox import ExtractionSandbox
from tasks.clean.text import tidy
from tasks.clean.trims import Boilerplate, C4Lines, Menus
from tasks.words import UNSPACED
from tests.tasks.clean.conftest import Page, write_crawl_shard
from tests.tasks.clean.test_earlier import InProcess

Row = dict[str, Any]
LIMIT_S, LIMIT_S_PER_MB = 2.0, 8.0
"""CPU seconds that a page may take: any, and for each MB of it."""

_FILES = CleanPaths(*(f"{table}/a.parquet" for table in TABLES))
_UNTIDY = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LISTS = (
    UrlBlocklist(
        hosts=("www.example.org",), domains=("example",), substrings=("đường", "shareddoc")
    ),
    WordBlocklist(terms=("river", "phở", "川", "the town")),
)
_MEASURING = (
    Length(min_words=0, max_words=1_000_000_000),
    GopherQuality(
        min_mean_word_length=0,
        max_mean_word_length=1e9,
        max_symbol_share=1,
        max_bullet_line_share=1,
        max_ellipsis_line_share=1,
        min_alphabetic_share=0,
        min_stop_words=0,
    ),
    Repetition(
        max_repeated_line_share=1,
        max_repeated_character_share=1,
        max_repeated_paragraph_share=1,
        max_repeated_paragraph_character_share=1,
        max_top_gram_shares=(1, 1, 1),
        max_repeated_gram_shares=(1,) * 6,
    ),
    C4(max_fillers=1_000_000, max_curly_brackets=1_000_000, min_sentences=0),
    FineWeb(
        min_terminal_line_share=0,
        max_short_line_share=1,
        max_repeated_line_characters=1,
        max_line_feeds_per_word=1e9,
    ),
    Adult(max_weight_per_word=1e9),
    Harmful(max_weight_per_word=1e9),
    BiasTerms(),
    *_LISTS,
)
"""Every filter, with bounds that keep most of what has text: a reject's text is not seen."""

EXTRACTORS: tuple[Extractor, ...] = (
    Auto(),
    Auto(markdown=True),
    Resiliparse(),
    Auto(way="article", markdown=True),
    Auto(way="reference"),
    Resiliparse(main_content=False),
    Trafilatura(),
    Auto(way="article"),
    Auto(way="reference", markdown=True),
    Trafilatura(favor="recall", include_tables=False),
)
TRIMS: tuple[tuple[Any, ...], ...] = ((), (C4Lines(), Boilerplate(), Menus()), (Boilerplate(),))


@dataclass(frozen=True)
class Trial:
    """Pages that are cleaned as one shard."""

    pages: Sequence[Page]
    variant: int
    """By which the extractor, the trims and the filters are chosen."""
    is_sandboxed: bool = False

    @property
    def config(self) -> CleanConfig:
        return CleanConfig(
            extractor=EXTRACTORS[self.variant % len(EXTRACTORS)],
            trims=TRIMS[self.variant % len(TRIMS)],
            filters=CleanConfig().filters if self.variant % 7 == 0 else _MEASURING,
            sandbox=Sandbox(timeout_s=20, memory_bytes=2 << 30),
        )


@dataclass
class _Clock:
    """CPU time of each page, told by the shard's progress."""

    pages: Iterator[Page]
    faults: list[str] = field(default_factory=list)
    last: float = field(default_factory=time.process_time)

    def tick(self) -> None:
        now, page = time.process_time(), next(self.pages)
        taken, self.last = now - self.last, now
        limit = LIMIT_S + LIMIT_S_PER_MB * len(page.body) / 1e6
        if taken > limit:
            self.faults.append(f"{page.url}: {taken:.1f} s of CPU time, over {limit:.1f}")


def faults(trial: Trial) -> list[str]:
    """What is wrong with what becomes of the pages."""
    extracting = clean.ExtractionSandbox
    clean.ExtractionSandbox = ExtractionSandbox if trial.is_sandboxed else InProcess  # type: ignore[misc]
    try:
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_memory_disk()) as folder:
            return _faults(trial, Path(folder))
    finally:
        clean.ExtractionSandbox = extracting  # type: ignore[misc]


def _faults(trial: Trial, folder: Path) -> list[str]:
    shard = write_crawl_shard(trial.pages, folder / "crawl")
    config, clock = trial.config, _Clock(iter(trial.pages))
    clean_shard(shard, config, Workspace(folder / "out"), _FILES, clock.tick)
    data = folder / "out" / "data"
    names = Verdicts(config).signal_names
    schemas = (DOCUMENT, ORIGIN, REJECT, signals_schema(names))
    tables = [pq.read_table(data / file) for file in vars(_FILES).values()]
    found = list(clock.faults)
    for table, schema in zip(tables, schemas, strict=True):
        found += _of_table(table, schema)
    documents, origins, rejects, signals = (table.to_pylist() for table in tables)
    if sorted(r["url"] for r in (*documents, *rejects)) != sorted(p.url for p in trial.pages):
        found.append("a page is in two places or nowhere")
    if [row["document_id"] for row in origins] != [row["document_id"] for row in documents]:
        found.append("documents and their origins differ")
    for row in documents:
        found += [f"{row['url']}: {fault}" for fault in _of_document(row, config)]
    for row in signals:
        found += [f"{row['url']}: {fault}" for fault in _of_signals(row, names, config)]
    for row in rejects:
        if row["reason"] in ("extractor_failed", "extractor_crashed", "extractor_timeout"):
            found.append(f"{row['url']}: {row['reason']}, {row['value']}")
        if not (row["reason"] and row["value"] and row["threshold"]):
            found.append(f"{row['url']}: a reject that does not say why, {row}")
    return found


def _of_table(table: pa.Table, schema: pa.Schema) -> Iterator[str]:
    if not table.schema.equals(schema):
        yield f"another schema: {table.schema}"
    try:
        table.validate(full=True)  # of strings too: UTF-8
    except pa.ArrowInvalid as error:
        yield f"Arrow: {error}"


def _of_document(row: Row, config: CleanConfig) -> Iterator[str]:
    for name in ("text", "title"):
        value = row[name]
        if _UNTIDY.search(value) or not unicodedata.is_normalized("NFC", value):
            yield f"{name} has control characters or is not NFC"
        if tidy(value) != value:
            yield f"{name} would be tidied again"
        if mask(value, config.pii) != (value, []):
            yield f"{name} would be masked again: {mask(value, config.pii)[1]}"
    if not row["text"] or "\n" in row["title"]:
        yield "no text, or a title of lines"
    if row["document_id"] != document_id(row["url"], row["text"]):
        yield "the id is another's"
    if not 0 <= row["language_score"] <= 1 or not re.fullmatch("[a-z]{2,3}", row["language"]):
        yield f"language {row['language']!r}, score {row['language_score']}"
    if not 0 <= row["repeated_share"] <= 1 or row["num_words"] < 0 or not row["extractor"]:
        yield f"{row['repeated_share']}, {row['num_words']} words, by {row['extractor']!r}"
    for rule in config.trims:
        if tidy(again := rule.apply(row["text"]).text) != again:
            yield f"what {rule.kind} leaves would be tidied"


def _of_signals(row: Row, names: Sequence[str], config: CleanConfig) -> Iterator[str]:
    language = row["language"]
    unknown = {"mean_word_length"} if language in UNSPACED else set()
    unknown |= {"num_stop_words"} if language not in STOP_WORDS else set()
    for name in names:
        value = row[name]
        if math.isnan(value) != (name in unknown):
            yield f"{name} is {value} of a text in {language}"
        if value < 0 or math.isinf(value):
            yield f"{name} is {value}"
    verdict = Verdicts(config).decide(language, row["language_score"], row)
    if (verdict.reason if verdict else "") != row["reason"]:
        yield f"judged {row['reason']!r}, and {verdict} by its signals"


def _memory_disk() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
