"""`phusa dedup top` and `show`: clusters of duplicates, and of one all that can be known.

Why each document was dropped, which rule decided, and what its text and the kept one differ by.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter
from rich.console import Console
from rich.text import Text

from flows.duplicates.differences import Difference, Piece, Unit, compare
from flows.stages import inputs_by, open_artifact
from flows.trace.page import UNREADABLE, parse_target, problem_of
from storage.errors import Fault, RequestError
from storage.parquet import find_rows
from storage.store import Store
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.documents import DUPLICATES, duplicate_columns
from tasks.artifacts.scores import SCORES, fill_in_scores
from tasks.dedup.config import KeepRule
from tasks.dedup.evidence import ClusterSize, biggest_clusters, find_clusters, read_evidence
from tasks.dedup.ranking import BY_ID, Decision, Value, decide, rule_columns, rule_name

_ID = re.compile("[0-9a-f]{4,32}")
_POLICY: TypeAdapter[tuple[KeepRule, ...]] = TypeAdapter(tuple[KeepRule, ...])
_MANY = 5  # clusters that are named where one was asked for
_COMPARED = 20_000  # URLs; difflib takes 10 µs for each

_STYLES = {"both": "dim", "kept": "red", "dropped": "green"}
_MARKS = {"both": ("", ""), "kept": ("[-", "-]"), "dropped": ("{+", "+}")}
_UNITS = {"longest": " words", "shortest_url": " characters"}

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


def top_clusters(store: Store, of: str, count: int) -> tuple[str, list[ClusterSize]]:
    """Give the label of the artifact that `of` names, and its biggest clusters."""
    artifact = _deduplication(store, of)
    columns = ["kept_id", "kept_url", "kept_in", "similarity"]
    evidence = read_evidence(artifact.files(DUPLICATES), columns)
    return artifact.label, biggest_clusters(evidence, count)


def read_cluster(store: Store, asked: str, of: str, unit: Unit, most: int) -> Cluster:
    """Read the cluster that an id, its beginning, or a member's URL names, with `most` members.

    Raises RequestError if that is no cluster, or several.
    """
    artifact = _deduplication(store, of)
    config, paths = artifact.manifest.config, artifact.files(DUPLICATES)
    kept_id = _find(artifact, asked)
    rows = find_rows(paths, "kept_id", {kept_id}, duplicate_columns(paths))
    rows.sort(key=lambda row: (row["similarity"], row["url"], row["document_id"]))
    rules = _POLICY.validate_python(config.get("keep", ()))
    kept_in = rows[0].get("kept_in", "")
    problems: list[str] = []
    return Cluster(
        artifact=artifact.label,
        kept_id=kept_id,
        kept_url=rows[0]["kept_url"],
        kept_in=kept_in,
        threshold=float(str(config.get("threshold", 0))),
        keep=tuple(map(rule_name, rules)),
        num_dropped=len(rows),
        members=_members(artifact, rules, kept_id, kept_in, rows[:most], unit, problems),
        problems=tuple(problems),
    )


def _deduplication(store: Store, of: str) -> Artifact:
    artifact = open_artifact(store, store.resolve(of))
    if not artifact.has(DUPLICATES):
        remedy = "Such as dedup, or dedup@VERSION."
        raise RequestError(Fault("--of", artifact.label, "a deduplication", remedy))
    return artifact


def _find(artifact: Artifact, asked: str) -> str:
    """Find the id of the one cluster that is meant."""
    columns = ["document_id", "url", "kept_id", "kept_url"]
    evidence = read_evidence(artifact.files(DUPLICATES), columns)
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
        remedy = "Give more of its id."
        raise RequestError(Fault(artifact.label, what, "one of them", remedy))
    key, values = ("url", set(urls)) if urls else ("document_id", {text.lower()})
    is_kept = find_rows(artifact.files("documents/"), key, values, ["document_id"])
    what = f"no duplicate of {asked!r}, which was kept" if is_kept else f"no cluster of {asked!r}"
    number = len(evidence["kept_id"].unique())
    expected = f"an id, its first 4 digits or more, or a URL of one of {number:,} clusters"
    known = evidence["kept_url"].unique().to_pylist()[:_COMPARED]
    close = difflib.get_close_matches(asked, known, n=3, cutoff=0.6)
    remedy = f"Did you mean {', '.join(close)}?" if close else "`phusa dedup top` lists some."
    raise RequestError(Fault(artifact.label, what, expected, remedy))


# --- texts ----------------------------------------------------------------------------------------


def _members(
    artifact: Artifact,
    rules: Sequence[KeepRule],
    kept_id: str,
    kept_in: str,
    rows: Sequence[Row],
    unit: Unit,
    problems: list[str],
) -> tuple[Member, ...]:
    """Hold the dropped documents of these rows of evidence against the kept one."""
    columns = [*rule_columns(rules), "text"]
    wanted = {row["document_id"] for row in rows}
    held: dict[str, Row] = {}
    for reference in inputs_by(artifact.manifest, "documents"):
        ids = wanted if kept_in else wanted | {kept_id}
        held = _read(artifact, reference.label, ids, columns, problems)
        for scores in artifact.inputs(SCORES):  # what was cleaned has none: they were given later
            fill_in_scores(held.values(), scores)
    earlier = _read(artifact, kept_in, {kept_id}, columns, problems) if kept_in else held
    kept = earlier.get(kept_id)
    documents = [held.get(row["document_id"]) for row in rows]
    decisions = [None] * len(rows) if kept_in else _decide(rules, kept, documents)
    found = []
    for row, document, decision in zip(rows, documents, decisions, strict=True):
        difference = None
        if kept is not None and document is not None:
            difference = compare(kept["text"], document["text"], unit)
        facts = {name: row[name] for name in ("document_id", "url", "similarity", "method")}
        found.append(Member(**facts, decision=decision, difference=difference))
    return tuple(found)


def _decide(
    rules: Sequence[KeepRule], kept: Row | None, documents: Sequence[Row | None]
) -> list[Decision | None]:
    if kept is None:
        return [None] * len(documents)
    known = [document for document in documents if document is not None]
    columns = rule_columns(rules)
    table = pa.table({name: [row[name] for row in (kept, *known)] for name in columns})
    why = iter(decide(rules, table))
    return [None if document is None else next(why) for document in documents]


def _read(
    artifact: Artifact,
    label: str,
    ids: Collection[str],
    columns: Sequence[str],
    problems: list[str],
) -> dict[str, Row]:
    """Read documents by id from the artifact of a label, and say which are not to be had."""
    store = artifact.store
    try:
        documents = store.files(store.resolve(label), "documents/")
        rows = find_rows(documents, "document_id", ids, columns)
    except UNREADABLE as error:
        problems.append(f"{label}: {problem_of(error)}; its texts cannot be shown")
        return {}
    missing = len(set(ids) - {row["document_id"] for row in rows})
    if missing:
        problems.append(f"{label}: {missing} of {len(ids)} texts are not in it any more")
    return {row["document_id"]: row for row in rows}


# --- for people -----------------------------------------------------------------------------------


def show_top(console: Console, label: str, found: Sequence[ClusterSize]) -> None:
    """Print one row for each cluster."""
    if not found:
        console.print(f"{label} dropped no duplicate", highlight=False)
        return
    _say(console, f"biggest clusters of {label}", "bold")
    _say(console, "cluster       documents  least alike  kept", "bold")
    for one in found:
        where = f"  in {one.kept_in}" if one.kept_in else ""
        size, least = one.num_dropped + 1, one.least_similarity
        _say(console, f"{one.kept_id[:12]}  {size:>9,}  {least:>11.1%}  {one.kept_url}{where}")
    _say(console, f"phusa dedup show {found[0].kept_id[:12]} shows the first of them")


def show_cluster(console: Console, found: Cluster) -> None:
    """Print the kept document, then each dropped one with why and what differs."""
    _say(console, f"cluster {found.kept_id} of {found.artifact}", "bold")
    where = f", in the earlier corpus {found.kept_in}" if found.kept_in else ""
    _say(console, f"kept     {found.kept_url}{where}", "bold")
    policy = ", ".join((*found.keep, BY_ID))
    _say(
        console,
        f"dropped  {found.num_dropped:,}; threshold {found.threshold:.0%}, kept first by {policy}",
    )
    for problem in found.problems:
        _say(console, problem, "red")
    if any(member.difference for member in found.members):
        _say(console, "[-only in the kept one-] {+only in the dropped one+}", "dim")
    for number, member in enumerate(found.members, 1):
        _show_member(console, found, number, member)
    hidden = found.num_dropped - len(found.members)
    if hidden:
        _say(
            console,
            f"\n{hidden:,} more, as much alike or more; --most {found.num_dropped} shows all",
        )


def _show_member(console: Console, cluster: Cluster, number: int, member: Member) -> None:
    console.print()
    _say(console, f"{number}. {member.url}", "cyan")
    _say(
        console,
        f"   {member.similarity:.1%} alike, found by {member.method}; {_why(cluster, member)}",
    )
    if member.difference is not None:
        _show_difference(console, member.difference)


def _why(cluster: Cluster, member: Member) -> str:
    if cluster.kept_in:
        return f"{cluster.kept_in} keeps what it has"
    if member.decision is None:
        return "which rule kept the other is not known without the texts"
    return _tell(member.decision)


def _tell(decision: Decision) -> str:
    kept, dropped = (_value(decision.rule, v) for v in (decision.kept, decision.dropped))
    if decision.rule == BY_ID:
        return f"equal by all rules, so the lower id stays: {kept} before {dropped}"
    return f"{decision.rule}: {kept} before {dropped}"


def _value(rule: str, value: Value) -> str:
    if value is None:
        return "no pattern"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}{_UNITS.get(rule, '')}"
    return value


def _show_difference(console: Console, found: Difference) -> None:
    if not found.pieces:
        _say(console, "   the same text, white space aside")
        return
    counts = (f"{found.only_kept:,}", f"{found.only_dropped:,}")
    _say(console, f"   {found.unit} in the kept one alone {counts[0]}, in this one {counts[1]}:")
    text = Text()
    for piece in found.pieces:
        text.append_text(_mark(piece, found.unit))
    if found.more:
        text.append(f"\n… {found.more:,} more differences", "dim")
    for line in text.split("\n"):
        if line.plain.strip():
            console.print(Text("   │ ") + line, soft_wrap=True)


def _mark(piece: Piece, unit: str) -> Text:
    """Mark the piece; white space after it stays outside of its marks."""
    text = piece.text
    body = text.rstrip()
    before, after = _MARKS[piece.where]
    shown = Text(style=_STYLES[piece.where])
    folded = f" … {_count(piece.folded, unit)} … " if piece.folded else ""
    if piece.where == "both":
        return shown.append(text + folded)
    return shown.append(before + body + folded.rstrip() + after).append(text[len(body) :])


def _count(number: int, units: str) -> str:
    return f"{number:,} {units if number != 1 else units.removesuffix('s')}"


def _say(console: Console, text: str, style: str = "") -> None:
    # URLs are printed as they are, and whole, however narrow the terminal.
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
