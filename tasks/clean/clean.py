"""One shard of pages to documents and rejects."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import read_columns, read_table, shard_name, write_rows
from storage.records import DOCUMENT, ORIGIN, REJECT, UNSCORED, signals_schema
from storage.takedown import NOTHING, Forgotten
from storage.warc import read_body
from storage.workspace import Workspace
from tasks.clean.config import CleanConfig
from tasks.clean.earlier import EarlierShard, Known, recall
from tasks.clean.extractors import Extraction
from tasks.clean.filters import Verdict
from tasks.clean.judging import Judge, taken_down, text_of
from tasks.clean.sandbox import ExtractionSandbox

Row = dict[str, Any]

TABLES = ("documents", "origins", "rejects", "signals")
"""The folders of the artifact."""


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
    signals: str

    @classmethod
    def of(cls, index: int, count: int) -> CleanPaths:
        """Of the shard `index`, from 0, of so many."""
        return cls(*(shard_name(table, index, count) for table in TABLES))


@dataclass
class _Output:
    documents: list[Row] = field(default_factory=list)
    origins: list[Row] = field(default_factory=list)
    rejects: list[Row] = field(default_factory=list)
    signals: list[Row] = field(default_factory=list)
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
    """Clean one shard of pages: each gives a document, with its origin, or a reject; all that have
    text also give the signals that decided.

    Pages and documents that are `forgotten` are rejects; such pages are not even read. Nor are
    those that are as an `earlier` cleaning with the same configuration found them: what it made of
    them is copied. Output depends on the pages' content alone; rows are sorted by id.
    """
    if all(map(workspace.entry, astuple(paths))):
        return
    pages = read_table([shard.pages]).to_pylist()
    judge = Judge(config, forgotten)
    names = judge.verdicts.signal_names
    known = recall(earlier, pages, names)
    output = _clean(shard, pages, known, judge, advance)
    output.documents.sort(key=lambda row: row["document_id"])
    output.origins.sort(key=lambda row: row["document_id"])
    output.rejects.sort(key=lambda row: (row["id"], row["url"]))
    output.signals.sort(key=lambda row: (row["id"], row["url"]))
    _note(workspace, paths.documents, {"reused": output.num_reused, "trimmed": output.trimmed})
    write_rows(workspace, paths.documents, output.documents, DOCUMENT)
    write_rows(workspace, paths.origins, output.origins, ORIGIN, volatile=True)
    write_rows(workspace, paths.rejects, output.rejects, REJECT, volatile=True)
    write_rows(workspace, paths.signals, output.signals, signals_schema(names), volatile=True)


def _clean(
    shard: PageShard,
    pages: Sequence[Row],
    known: Mapping[str, Known],
    judge: Judge,
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
                _put(page, taken_down(rule), judge, output)
            elif url in known:
                _put_again(page, known[url], judge.forgotten, output)
            else:
                place = places[page["page_id"]]
                body = read_body(shard.warc / place["warc_file"], place["warc_offset"])
                found = text_of(body, page["content_type"], page["charset"], url, sandbox)
                _put(page, found, judge, output)
            advance()
    return output


def reject_forgotten(identity: str, url: str, rule: str) -> Row:
    """The reject of a document, or of the page at a URL, that was taken down."""
    return _reject(identity, url, taken_down(rule))


def describe(paths: list[Path]) -> dict[str, Any]:
    """How many documents there are in each language, the most frequent first, their words, and
    how much personal data of each kind was replaced in them."""
    languages: Counter[str] = Counter()
    pii: Counter[str] = Counter()
    words = 0
    for path in paths:
        table = pq.read_table(path, columns=["language", "num_words", "pii"])
        languages.update(table["language"].to_pylist())
        pii.update(pc.list_flatten(table["pii"]).to_pylist())
        words += pc.sum(table["num_words"]).as_py() or 0
    ranked = sorted(languages.items(), key=lambda item: (-item[1], item[0]))
    return {"languages": dict(ranked), "words": words, "pii": dict(sorted(pii.items()))}


def count_reasons(paths: list[Path]) -> dict[str, int]:
    """How many rejects there are for each reason."""
    reasons = read_table(paths)["reason"].to_pylist() if paths else []
    return dict(sorted(Counter(reasons).items()))


def count_reused(workspace: Workspace) -> int:
    """Of how many pages the outcome was copied from an earlier cleaning, interrupted attempts'
    finished shards included."""
    return sum(note["reused"] for note in _notes(workspace))


def count_trimmed(workspace: Workspace) -> dict[str, int]:
    """How many lines went for each reason, from the pages that were not copied."""
    counts = sum((Counter(note["trimmed"]) for note in _notes(workspace)), Counter[str]())
    return dict(sorted(counts.items()))


def _note(workspace: Workspace, documents: str, counts: Row) -> None:
    """Beside the data: what is sealed is the same whether it was copied or made."""
    folder = workspace.scratch / "counts"
    folder.mkdir(exist_ok=True)
    temporary = folder / f".tmp-{uuid.uuid4().hex}"
    temporary.write_text(json.dumps(counts))
    temporary.replace(folder / f"{Path(documents).stem}.json")


def _notes(workspace: Workspace) -> list[Row]:
    return [json.loads(path.read_text()) for path in (workspace.scratch / "counts").glob("*.json")]


def _put(page: Row, found: Extraction | Verdict, judge: Judge, output: _Output) -> None:
    """Put one page's document or reject into `output`."""
    url = page["url"]
    if isinstance(found, Verdict):
        # Known by its URL: the page's id would change with every byte of it.
        output.rejects.append(_reject(url, url, found))
        return
    judged = judge.judge(url, found)
    identity, candidate, verdict = judged.identity, judged.candidate, judged.verdict
    output.trimmed.update(judged.trimmed)
    if judged.signals is not None:
        facts = {"id": identity, "url": url, "language": candidate.language}
        facts |= {"language_score": judged.score, "reason": verdict.reason if verdict else ""}
        output.signals.append({**facts, **judged.signals})
    if verdict is not None:
        output.rejects.append(_reject(identity, url, verdict))
        return
    output.origins.append({"document_id": identity, "page_id": page["page_id"]})
    output.documents.append(
        {
            "document_id": identity,
            "url": url,
            "title": judged.title,
            "date": found.date,
            "author": judged.author,
            "licence": page["licence"] or found.licence,
            "canonical": found.canonical,
            "text": candidate.text,
            "extractor": judged.extractor,
            "language": candidate.language,
            "language_score": judged.score,
            "num_words": candidate.num_words,
            "repeated_share": candidate.repeated_share,
            "pii": judged.pii,
            "quality": UNSCORED,
        }
    )


def _put_again(page: Row, known: Known, forgotten: Forgotten, output: _Output) -> None:
    """Put a page's earlier document or reject into `output`, unless it is to be forgotten."""
    output.num_reused += 1
    row, identity = known.row, known.identity
    rule = forgotten.covers(page["url"], identity)
    if rule is not None:
        output.rejects.append(reject_forgotten(identity, page["url"], rule))
        return
    if known.signals is not None:
        output.signals.append(known.signals)
    if known.is_document:
        output.origins.append({"document_id": identity, "page_id": page["page_id"]})
        output.documents.append(row)
    else:
        output.rejects.append(row)


def _reject(identity: str, url: str, verdict: Verdict) -> Row:
    return {"id": identity, "url": url, "stage": "clean", **vars(verdict)}
