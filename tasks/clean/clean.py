"""One shard of pages to documents and rejects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import read_table, write_rows
from storage.records import DOCUMENT, ORIGIN, REJECT, document_id
from storage.takedown import NOTHING, Forgotten
from storage.warc import read_body
from storage.workspace import Workspace
from tasks.clean.config import CleanConfig
from tasks.clean.extractors import Extraction
from tasks.clean.filters import Candidate, Verdict
from tasks.clean.language import LanguageDetector
from tasks.clean.sandbox import ExtractionSandbox
from tasks.clean.text import tidy

Row = dict[str, Any]


@dataclass(frozen=True)
class PageShard:
    """Where one shard of a crawl lies."""

    pages: Path
    fetches: Path
    warc: Path


@dataclass(frozen=True)
class CleanPaths:
    """Where one shard of output goes."""

    documents: str
    origins: str
    rejects: str


@dataclass
class _Output:
    documents: list[Row] = field(default_factory=list)
    origins: list[Row] = field(default_factory=list)
    rejects: list[Row] = field(default_factory=list)


def clean_shard(
    shard: PageShard,
    config: CleanConfig,
    workspace: Workspace,
    paths: CleanPaths,
    advance: Callable[[], None] = lambda: None,
    forgotten: Forgotten = NOTHING,
) -> None:
    """Clean one shard of pages: each gives a document, with its origin, or a reject.

    Pages and documents that are `forgotten` are rejects; such pages are not even read.

    Output depends on the pages' content alone; rows are sorted by id.
    """
    if all(map(workspace.entry, (paths.documents, paths.origins, paths.rejects))):
        return
    output = _Output()
    judge = _Judge(config, forgotten)
    offsets = {row["page_id"]: row for row in read_table([shard.fetches]).to_pylist()}
    with ExtractionSandbox(config.extractor, config.sandbox) as sandbox:
        for page in read_table([shard.pages]).to_pylist():
            rule = forgotten.covers(page["url"])
            if rule is not None:
                judge.page(page, _taken_down(rule), output)
            else:
                fetch = offsets[page["page_id"]]
                body = read_body(shard.warc / fetch["warc_file"], fetch["warc_offset"])
                judge.page(page, sandbox.extract(body, page["charset"], page["url"]), output)
            advance()
    output.documents.sort(key=lambda row: row["document_id"])
    output.origins.sort(key=lambda row: row["document_id"])
    output.rejects.sort(key=lambda row: (row["id"], row["url"]))
    write_rows(workspace, paths.documents, output.documents, DOCUMENT)
    write_rows(workspace, paths.origins, output.origins, ORIGIN, volatile=True)
    write_rows(workspace, paths.rejects, output.rejects, REJECT, volatile=True)


def reject_forgotten(identity: str, url: str, rule: str) -> Row:
    """The reject of a document, or of the page at a URL, that was taken down."""
    return _reject(identity, url, _taken_down(rule))


def describe(paths: list[Path]) -> dict[str, Any]:
    """How many documents there are in each language, the most frequent first, and their words."""
    languages: Counter[str] = Counter()
    words = 0
    for path in paths:
        table = pq.read_table(path, columns=["language", "num_words"])
        languages.update(table["language"].to_pylist())
        words += pc.sum(table["num_words"]).as_py() or 0
    ranked = sorted(languages.items(), key=lambda item: (-item[1], item[0]))
    return {"languages": dict(ranked), "words": words}


def count_reasons(paths: list[Path]) -> dict[str, int]:
    """How many rejects there are for each reason."""
    reasons = read_table(paths)["reason"].to_pylist() if paths else []
    return dict(sorted(Counter(reasons).items()))


class _Judge:
    """Language, lines and filters: everything after extraction."""

    def __init__(self, config: CleanConfig, forgotten: Forgotten) -> None:
        self._config, self._forgotten = config, forgotten
        self._drop_lines = [re.compile(pattern) for pattern in config.drop_lines]
        self._replace = [(re.compile(r.pattern), r.text) for r in config.replace]
        self._detector = LanguageDetector()

    def page(self, page: Row, found: Extraction | Verdict, output: _Output) -> None:
        """Put one page's document or reject into `output`."""
        if isinstance(found, Verdict):
            # Known by its URL: the page's id would change with every byte of it.
            output.rejects.append(_reject(page["url"], page["url"], found))
            return
        text = tidy(found.text, self._drop_lines, self._replace)
        language, score = self._detector.detect(text)
        candidate = Candidate(text, language)
        identity = document_id(page["url"], text)
        rule = self._forgotten.covers(page["url"], identity)
        verdict = self._judge(candidate, score) if rule is None else _taken_down(rule)
        if verdict is not None:
            output.rejects.append(_reject(identity, page["url"], verdict))
            return
        output.origins.append({"document_id": identity, "page_id": page["page_id"]})
        output.documents.append(
            {
                "document_id": identity,
                "url": page["url"],
                "title": " ".join(tidy(found.title).split()),
                "text": text,
                "extractor": self._config.extractor.kind,
                "language": language,
                "language_score": score,
                "num_words": len(candidate.words),
                "repeated_share": candidate.repeated_share,
            }
        )

    def _judge(self, candidate: Candidate, score: float) -> Verdict | None:
        if not candidate.text:
            return Verdict("no_text", "0 characters", ">= 1")
        wanted = self._config.languages
        if wanted and candidate.language not in wanted:
            return Verdict("other_language", candidate.language, ", ".join(wanted))
        if wanted and score < self._config.min_language_score:
            least = f">= {self._config.min_language_score:g}"
            return Verdict("unsure_language", f"{score:.4g}", least)
        verdicts = (rule.judge(candidate) for rule in self._config.filters)
        return next((verdict for verdict in verdicts if verdict is not None), None)


def _taken_down(rule: str) -> Verdict:
    return Verdict("forgotten", rule, "content that was not taken down")


def _reject(identity: str, url: str, verdict: Verdict) -> Row:
    return {
        "id": identity,
        "url": url,
        "stage": "clean",
        "reason": verdict.reason,
        "value": verdict.value,
        "threshold": verdict.threshold,
    }
