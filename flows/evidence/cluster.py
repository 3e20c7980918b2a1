"""One cluster of duplicates with all that can be known of it: why, and what differs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from flows.evidence.differences import Difference, Unit, compare
from flows.trace.page import problem_of
from flows.trace.target import UNREADABLE, parse_target
from storage.errors import Fault, RequestError
from storage.manifest import Manifest
from storage.parquet import find_rows
from storage.store import Store
from tasks.dedup.config import KeepRule
from tasks.dedup.evidence import ClusterSize, biggest_clusters, find_clusters, read_evidence
from tasks.dedup.ranking import Decision, decide, rule_columns, rule_name
from tasks.dedup.trace import evidence_columns

DUPLICATES = "duplicates.parquet"
_ID = re.compile("[0-9a-f]{4,32}")
_POLICY: TypeAdapter[tuple[KeepRule, ...]] = TypeAdapter(tuple[KeepRule, ...])
_MANY = 5  # clusters that are named where one was asked for
_COMPARED = 20_000  # URLs; difflib takes 10 µs for each

Row = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """A document that was dropped.

    `decision` is None where the kept one lies in an earlier corpus, which keeps what it has, and
    where a text is gone; `difference` is None where a text is gone.
    """

    document_id: str
    url: str
    similarity: float
    method: str
    decision: Decision | None
    difference: Difference | None


@dataclass(frozen=True)
class Cluster:
    """A kept document and those dropped for it, the least alike first.

    `members` are the first of all `num_dropped`. `problems` say which texts cannot be shown.
    """

    artifact: str
    kept_id: str
    kept_url: str
    kept_in: str
    threshold: float
    keep: tuple[str, ...]
    num_dropped: int
    members: tuple[Member, ...]
    problems: tuple[str, ...]


def top_clusters(store: Store, of: str, count: int) -> tuple[Manifest, list[ClusterSize]]:
    """The artifact that `of` names, and its biggest clusters."""
    manifest = _dedup(store, of)
    columns = ["kept_id", "kept_url", "kept_in", "similarity"]
    return manifest, biggest_clusters(read_evidence(_paths(store, manifest), columns), count)


def show_cluster(store: Store, asked: str, of: str, unit: Unit, most: int) -> Cluster:
    """The cluster that an id, its beginning, or a member's URL names, with `most` members.

    Raises RequestError if that is no cluster, or several.
    """
    manifest = _dedup(store, of)
    paths = _paths(store, manifest)
    kept_id = _find(store, manifest, asked)
    rows = find_rows(paths, "kept_id", {kept_id}, evidence_columns(paths))
    rows.sort(key=lambda row: (row["similarity"], row["url"], row["document_id"]))
    rules = _POLICY.validate_python(manifest.config["keep"])
    kept_in = rows[0].get("kept_in", "")
    texts = _Texts(store, manifest, rules)
    members = texts.members(kept_id, kept_in, rows[:most], unit)
    return Cluster(
        artifact=manifest.label,
        kept_id=kept_id,
        kept_url=rows[0]["kept_url"],
        kept_in=kept_in,
        threshold=float(str(manifest.config["threshold"])),
        keep=tuple(map(rule_name, rules)),
        num_dropped=len(rows),
        members=members,
        problems=tuple(texts.problems),
    )


def _dedup(store: Store, of: str) -> Manifest:
    manifest = store.resolve(of)
    if manifest.name != "dedup":
        raise RequestError(
            Fault("--of", manifest.label, "a deduplication", "Such as dedup, or dedup@VERSION.")
        )
    return manifest


def _paths(store: Store, manifest: Manifest) -> list[Path]:
    return store.files(manifest, DUPLICATES)


def _find(store: Store, manifest: Manifest, asked: str) -> str:
    """The id of the one cluster that is meant."""
    columns = ["document_id", "url", "kept_id", "kept_url"]
    evidence = read_evidence(_paths(store, manifest), columns)
    text = asked.strip()
    urls: tuple[str, ...] = ()
    if _ID.fullmatch(text.lower()):
        found = find_clusters(evidence, prefix=text.lower())
    else:
        urls = (text, *parse_target(text).urls)
        found = find_clusters(evidence, urls=urls)
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(found[:_MANY]) + (", …" if len(found) > _MANY else "")
        what = f"{len(found):,} clusters that {asked!r} may name: {several}"
        raise _refusal(manifest, what, "one of them", "Give more of its id.")
    alone = _is_kept(store, manifest, text.lower(), urls)
    what = f"no duplicate of {asked!r}, which was kept" if alone else f"no cluster of {asked!r}"
    number = len(evidence["kept_id"].unique())
    expected = f"an id, its first 4 digits or more, or a URL of one of {number:,} clusters"
    known = evidence["kept_url"].unique().to_pylist()[:_COMPARED]
    close = difflib.get_close_matches(asked, known, n=3, cutoff=0.6)
    remedy = f"Did you mean {', '.join(close)}?" if close else "`phusa dedup top` lists some."
    raise _refusal(manifest, what, expected, remedy)


def _refusal(manifest: Manifest, found: str, expected: str, remedy: str) -> RequestError:
    return RequestError(Fault(manifest.label, found, expected, remedy))


def _is_kept(store: Store, manifest: Manifest, document_id: str, urls: Sequence[str]) -> bool:
    documents = store.files(manifest, "documents/")
    key, values = ("url", set(urls)) if urls else ("document_id", {document_id})
    return bool(find_rows(documents, key, values, ["document_id"]))


class _Texts:
    """The texts of documents, from the cleaning and from earlier corpora, or why there are none."""

    def __init__(self, store: Store, manifest: Manifest, rules: Sequence[KeepRule]) -> None:
        self._store, self._manifest, self._rules = store, manifest, rules
        self.problems: list[str] = []

    def members(
        self, kept_id: str, kept_in: str, rows: Sequence[Row], unit: Unit
    ) -> tuple[Member, ...]:
        """The dropped documents of these rows of evidence."""
        clean = self._manifest.inputs["clean"].label
        wanted = {row["document_id"] for row in rows}
        held = self._read(clean, wanted if kept_in else wanted | {kept_id})
        kept = (self._read(kept_in, {kept_id}) if kept_in else held).get(kept_id)
        of = [held.get(row["document_id"]) for row in rows]
        decisions = [None] * len(rows) if kept_in else self._decide(kept, of)
        found = []
        for row, document, decision in zip(rows, of, decisions, strict=True):
            difference = None
            if kept is not None and document is not None:
                difference = compare(kept["text"], document["text"], unit)
            facts = {name: row[name] for name in ("document_id", "url", "similarity", "method")}
            found.append(Member(**facts, decision=decision, difference=difference))
        return tuple(found)

    def _decide(self, kept: Row | None, of: Sequence[Row | None]) -> list[Decision | None]:
        if kept is None:
            return [None] * len(of)
        known = [document for document in of if document is not None]
        columns = rule_columns(self._rules)
        table = pa.table({name: [row[name] for row in (kept, *known)] for name in columns})
        why = iter(decide(self._rules, table))
        return [None if document is None else next(why) for document in of]

    def _read(self, label: str, ids: Collection[str]) -> dict[str, Row]:
        """The documents of these ids, as the artifact has them."""
        columns = [*rule_columns(self._rules), "text"]
        try:
            documents = self._store.files(self._store.resolve(label), "documents/")
            rows = find_rows(documents, "document_id", ids, columns)
        except UNREADABLE as error:
            self.problems.append(f"{label}: {problem_of(error)}; its texts cannot be shown")
            return {}
        if "quality" in columns and label == self._manifest.inputs["clean"].label:
            self._fill_in_scores(rows)
        missing = len(set(ids) - {row["document_id"] for row in rows})
        if missing:
            self.problems.append(f"{label}: {missing} of {len(ids)} texts are not in it any more")
        return {row["document_id"]: row for row in rows}

    def _fill_in_scores(self, rows: Sequence[Row]) -> None:
        """Cleaning knows none: the quality stage gave them."""
        quality = self._store.resolve(self._manifest.inputs["quality"].label)
        scored = self._store.files(quality, "scores/")
        ids = {row["document_id"] for row in rows}
        scores = find_rows(scored, "document_id", ids, ["document_id", "score"])
        of = {row["document_id"]: row["score"] for row in scores}
        for row in rows:
            row["quality"] = of.get(row["document_id"], row["quality"])
