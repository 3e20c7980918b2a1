"""One shard of pages to documents and rejects."""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.identities import document_id
from storage.lookup import read_columns
from storage.parquet import read_table, write_rows
from storage.records import DOCUMENT, ORIGIN, REJECT
from storage.takedown import NOTHING, Forgotten
from storage.warc import read_body
from storage.workspace import Workspace
from tasks.clean.config import CleanConfig
from tasks.clean.earlier import EarlierShard, recall
from tasks.clean.extractors import Extraction
from tasks.clean.filters import Candidate, Verdict, judge
from tasks.clean.language import LanguageDetector
from tasks.clean.plain import KIND, is_plain, read_plain
from tasks.clean.sandbox import ExtractionSandbox
from tasks.clean.text import tidy
from tasks.clean.trims import trim
from tasks.clean.xhtml import XHTML, closed

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
    num_reused: int = 0
    trimmed: Counter[str] = field(default_factory=Counter)


def clean_shard(
    shard: PageShard,
    config: CleanConfig,
    workspace: Workspace,
    paths: CleanPaths,
    advance: Callable[[], None] = lambda: None,
    forgotten: Forgotten = NOTHING,
    earlier: Sequence[EarlierShard] = (),
) -> None:
    """Clean one shard of pages: each gives a document, with its origin, or a reject.

    Pages and documents that are `forgotten` are rejects; such pages are not even read. Nor are
    those that are as an `earlier` cleaning with the same configuration found them: what it made of
    them is copied. Output depends on the pages' content alone; rows are sorted by id.
    """
    if all(map(workspace.entry, (paths.documents, paths.origins, paths.rejects))):
        return
    pages = read_table([shard.pages]).to_pylist()
    known = recall(earlier, pages)
    output = _clean(shard, pages, known, _Judge(config, forgotten), advance)
    output.documents.sort(key=lambda row: row["document_id"])
    output.origins.sort(key=lambda row: row["document_id"])
    output.rejects.sort(key=lambda row: (row["id"], row["url"]))
    _note(workspace, "reused", paths.documents, output.num_reused)
    _note(workspace, "trimmed", paths.documents, output.trimmed)
    write_rows(workspace, paths.documents, output.documents, DOCUMENT)
    write_rows(workspace, paths.origins, output.origins, ORIGIN, volatile=True)
    write_rows(workspace, paths.rejects, output.rejects, REJECT, volatile=True)


def _clean(
    shard: PageShard,
    pages: Sequence[Row],
    known: Mapping[str, Row],
    judge: _Judge,
    advance: Callable[[], None],
) -> _Output:
    """What becomes of each page; `known` are documents and rejects of some of them, by URL."""
    output = _Output()
    fetches = read_columns([shard.fetches], ["page_id", "warc_file", "warc_offset"])
    places = {row["page_id"]: row for row in fetches.to_pylist()}
    with ExtractionSandbox(judge.config.extractor, judge.config.sandbox) as sandbox:
        for page in pages:
            url = page["url"]
            rule = judge.forgotten.covers(url)
            if rule is not None:
                judge.page(page, _taken_down(rule), output)
            elif url in known:
                judge.again(page, known[url], output)
            else:
                place = places[page["page_id"]]
                body = read_body(shard.warc / place["warc_file"], place["warc_offset"])
                judge.page(page, _text_of(page, body, sandbox), output)
            advance()
    return output


def _text_of(page: Row, body: bytes, sandbox: ExtractionSandbox) -> Extraction | Verdict:
    kind = page["content_type"]
    if is_plain(kind):
        return read_plain(body, page["charset"], kind)
    if kind == XHTML:
        body = closed(body)
    return sandbox.extract(body, page["charset"], page["url"])


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


def count_reused(workspace: Workspace) -> int:
    """Of how many pages the outcome was copied from an earlier cleaning, interrupted attempts'
    finished shards included."""
    return sum(_notes(workspace, "reused"))


def count_trimmed(workspace: Workspace) -> dict[str, int]:
    """How many lines went for each reason, from the pages that were not copied."""
    counts = sum(map(Counter, _notes(workspace, "trimmed")), Counter[str]())
    return dict(sorted(counts.items()))


def _note(workspace: Workspace, what: str, documents: str, value: Any) -> None:
    """Beside the data: what is sealed is the same whether it was copied or made."""
    folder = workspace.scratch / what
    folder.mkdir(exist_ok=True)
    temporary = folder / f".tmp-{uuid.uuid4().hex}"
    temporary.write_text(json.dumps(value))
    temporary.replace(folder / f"{Path(documents).stem}.json")


def _notes(workspace: Workspace, what: str) -> list[Any]:
    return [json.loads(path.read_text()) for path in (workspace.scratch / what).glob("*.json")]


class _Judge:
    """Language, lines and filters: everything after extraction."""

    def __init__(self, config: CleanConfig, forgotten: Forgotten) -> None:
        self.config, self.forgotten = config, forgotten
        self._drop_lines = [re.compile(pattern) for pattern in config.drop_lines]
        self._replace = [(re.compile(r.pattern), r.text) for r in config.replace]
        self._bounds = [bound for rule in config.filters for bound in rule.bounds()]
        self._detector = LanguageDetector()

    def page(self, page: Row, found: Extraction | Verdict, output: _Output) -> None:
        """Put one page's document or reject into `output`."""
        if isinstance(found, Verdict):
            # Known by its URL: the page's id would change with every byte of it.
            output.rejects.append(_reject(page["url"], page["url"], found))
            return
        tidied = tidy(found.text, self._drop_lines, self._replace)
        trimmed = trim(self.config.trims, tidied)
        text = trimmed.text
        output.trimmed.update(trimmed.counts)
        language, score = self._detector.detect(text)
        candidate = Candidate(text, language, page["url"])
        identity = document_id(page["url"], text)
        rule = self.forgotten.covers(page["url"], identity)
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
                "extractor": KIND if is_plain(page["content_type"]) else self.config.extractor.kind,
                "language": language,
                "language_score": score,
                "num_words": candidate.num_words,
                "repeated_share": candidate.repeated_share,
            }
        )

    def again(self, page: Row, known: Row, output: _Output) -> None:
        """Put a page's earlier document or reject into `output`, unless it is to be forgotten."""
        output.num_reused += 1
        identity = known.get("document_id") or known["id"]
        rule = self.forgotten.covers(page["url"], identity)
        if rule is not None:
            output.rejects.append(reject_forgotten(identity, page["url"], rule))
        elif "document_id" in known:
            output.origins.append({"document_id": identity, "page_id": page["page_id"]})
            output.documents.append(known)
        else:
            output.rejects.append(known)

    def _judge(self, candidate: Candidate, score: float) -> Verdict | None:
        if not candidate.text:
            return Verdict("no_text", "0 characters", ">= 1")
        wanted = self.config.languages
        if wanted and candidate.language not in wanted:
            return Verdict("other_language", candidate.language, ", ".join(wanted))
        if wanted and score < self.config.min_language_score:
            least = f">= {self.config.min_language_score:g}"
            return Verdict("unsure_language", f"{score:.4g}", least)
        filters = self.config.filters
        signals = {k: v for rule in filters for k, v in rule.measure(candidate).items()}
        return judge(self._bounds, signals)


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
