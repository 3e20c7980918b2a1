"""`phusa trace` for people: one section for each artifact, in the order of the river."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, assert_never

from rich.console import Console
from rich.table import Column, Table

from flows.render import size
from flows.stages import STAGES
from flows.trace.model import ModelTrace, Seen, Share
from flows.trace.page import Finding, FinetuneTrace, PretrainTrace, TokenizerTrace, Trace, Visit
from tasks.clean.trace import CleanTrace
from tasks.crawl.trace import REDIRECTED, CrawlTrace
from tasks.dedup.trace import DedupTrace, Duplicate
from tasks.finetune.trace import TracedPair
from tasks.quality.trace import QualityTrace
from tasks.rejects import Rejected
from tasks.shard.trace import ShardTrace

_FEW, _SOME, _TOP = 3, 10, 20

T = TypeVar("T")


def show_trace(console: Console, found: Trace) -> None:
    """What each artifact knows; stages where it does not occur are named at the end."""
    for url in found.urls or (found.asked,):
        _print(console, url, style="bold")
    absent = []
    for stage in STAGES:
        visits = [visit for visit in found.visits if visit.stage == stage]
        telling = [visit for visit in visits if visit.finding or visit.problem]
        for visit in telling:
            _show_visit(console, visit)
        if visits and not telling:
            absent.append(stage)
    if absent:
        _print(console, f"\nnot in {', '.join(absent)}")


def _show_visit(console: Console, visit: Visit) -> None:
    console.print(f"\n[cyan]{visit.artifact}[/] [dim](recipe {visit.recipe})[/]", highlight=False)
    if visit.problem:
        _print(console, f"  {visit.problem}", style="red")
    elif visit.finding:
        for line in _tell(visit.finding):
            _print(console, f"  {line}")


def _print(console: Console, text: str, style: str = "") -> None:
    # URLs and names are printed as they are, and whole, however narrow the terminal.
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _tell(finding: Finding) -> Iterator[str]:
    """What a finding says, line by line."""
    match finding:
        case CrawlTrace():
            lines = _tell_crawl(finding)
        case CleanTrace():
            lines = _tell_clean(finding)
        case QualityTrace():
            lines = _tell_quality(finding)
        case DedupTrace():
            lines = _tell_dedup(finding)
        case TokenizerTrace():
            lines = iter(["trained on it"])
        case ShardTrace():
            lines = _tell_shard(finding)
        case PretrainTrace():
            lines = _tell_pretrain(finding)
        case FinetuneTrace():
            lines = _tell_finetune(finding)
        case _:
            assert_never(finding)
    return lines


def _tell_crawl(found: CrawlTrace) -> Iterator[str]:
    for page in found.pages:
        yield (
            f"fetched {page.fetched_at:%Y-%m-%d %H:%M:%S} UTC: status {page.status}, "
            f"depth {page.depth}, robots: {page.robots}"
        )
        yield f"in warc/{page.warc_file} at byte {page.warc_offset:,}"
        yield f"as page {page.page_id}, {page.content_type}, {size(page.num_bytes)}"
    for reject in found.rejected:
        if reject.reason == REDIRECTED:
            yield f"{reject.url} redirected to {reject.value}"
        else:
            yield f"not kept: {_verdict(reject)}"


def _tell_clean(found: CleanTrace) -> Iterator[str]:
    for document in found.documents:
        yield f"kept as document {document.document_id}, from page {document.page_id}"
        yield (
            f"{document.num_words:,} words, language {document.language} "
            f"({document.language_score:.2f}), {document.repeated_share:.0%} in repeated lines, "
            f"extracted by {document.extractor}"
        )
        said = {"of": document.date, "by": document.author, "under": document.licence}
        if any(said.values()):
            yield " ".join(f"{word} {what}" for word, what in said.items() if what)
        if document.canonical:
            yield f"gives {document.canonical} as its own address"
        if document.pii:
            replaced = sorted(Counter(document.pii).items())
            yield "replaced: " + ", ".join(f"{number} {kind}" for kind, number in replaced)
    for reject in found.rejected:
        yield f"dropped: {_verdict(reject)}"


def _tell_quality(found: QualityTrace) -> Iterator[str]:
    if not found.is_scored:
        yield "passed: no classifier is on"
    dropped = {reject.id for reject in found.rejected}
    for document in found.scored:
        kept = "not kept" if document.document_id in dropped else "kept"
        yield f"{kept}: scored {document.score:.4g}, language {document.language}"
    for reject in found.rejected:
        yield f"dropped: {_verdict(reject)}"


def _verdict(reject: Rejected) -> str:
    return f"{reject.reason}: {reject.value}, wanted {reject.threshold}"


def _tell_dedup(found: DedupTrace) -> Iterator[str]:
    policy = ", ".join(found.keep)
    for document in found.kept:
        if document.dropped:
            yield (
                f"kept, first by {policy} in the cluster {document.document_id}; "
                f"{_count(len(document.dropped), 'document')} dropped for it:"
            )
            yield from _first(document.dropped, _SOME, lambda d: f"  {_likeness(d)}: {d.url}")
        else:
            yield f"kept; none was dropped for it (threshold {found.threshold:.0%} alike)"
    for duplicate in found.dropped:
        why = f"comes first by {policy}"
        if duplicate.kept_in:
            why = f"{duplicate.kept_in} holds"
        yield (
            f"dropped: {_likeness(duplicate)} (threshold {found.threshold:.0%}) to "
            f"{duplicate.kept_url}, which {why}"
        )
        yield f"cluster {duplicate.kept_id}"
    for reject in found.rejected:
        yield f"dropped: {_verdict(reject)}"
    for cut in found.cuts:
        yield (
            f"{_count(cut.num_passages, 'passage')} of {cut.num_characters:,} characters cut out "
            f"by {cut.method}"
        )


def _likeness(duplicate: Duplicate) -> str:
    return f"{duplicate.similarity:.1%} alike by {duplicate.method}"


def _tell_shard(found: ShardTrace) -> Iterator[str]:
    for document in found.documents:
        first, last = document.spans[0], document.spans[-1]  # one document lies in one file
        rows = f"row {first.row:,}" if first == last else f"rows {first.row:,} to {last.row:,}"
        yield f"{document.split}: {_count(document.tokens, 'token')} in {rows} of {first.file}"
        yield from _first(
            document.spans, _FEW, lambda s: f"  row {s.row:,}: input_ids[{s.start}:{s.end}]"
        )


def _tell_pretrain(found: PretrainTrace) -> Iterator[str]:
    for document in found.learnt:
        if document.steps:
            yield (
                f"learnt from it at {len(document.steps):,} of {found.num_steps:,} steps, "
                f"{_count(document.tokens, 'token')} in all: {_steps(document.steps)}"
            )
        else:
            yield f"never read: training ended after {found.num_steps:,} steps, before its rows"
    for _ in found.held_out:
        yield "held out: not learnt from, but measured on"


def _tell_finetune(found: FinetuneTrace) -> Iterator[str]:
    train = [pair for pair in found.pairs if pair.split == "train"]
    for side, pairs in (
        ("in the train split", train),
        ("held out", [pair for pair in found.pairs if pair.split == "validation"]),
    ):
        if pairs:
            yield f"{_count(len(pairs), 'pair')} {side}:"
            yield from _first(pairs, _SOME, lambda p: f"  {p.name}{_pair_steps(p, found)}")
    if not found.pairs:
        yield "no pair of it"
    if found.base:
        yield f"through its base {found.base_artifact}:"
        yield from (f"  {line}" for line in _tell_pretrain(found.base))
    else:
        yield f"through its base {found.base_artifact}: {found.base_problem or 'not in it'}"


def _pair_steps(pair: TracedPair, found: FinetuneTrace) -> str:
    if pair.split == "validation":
        return ""
    if not found.steps_recorded:
        return ": steps not recorded (made before finetune's stage version 2)"
    if not pair.steps:
        return ": left out, longer than the model's context"
    return f": {_steps(pair.steps)}"


def _steps(steps: Sequence[int]) -> str:
    """`steps 3, 17, 804 (+12 more)`."""
    more = f" (+{len(steps) - _FEW:,} more)" if len(steps) > _FEW else ""
    return f"step{'s' * (len(steps) > 1)} {', '.join(f'{s:,}' for s in steps[:_FEW])}{more}"


def _first(items: Sequence[T], count: int, line: Callable[[T], str]) -> Iterator[str]:
    yield from (line(item) for item in items[:count])
    if len(items) > count:
        yield f"  (+{len(items) - count:,} more)"


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'s' * (number != 1)}"


def show_model(console: Console, found: ModelTrace) -> None:
    """What a model saw, by domain and by language, and the same of its base."""
    for seen in found.seen:
        of = "" if seen.artifact == found.artifact else f", the base of {found.artifact}"
        _print(console, f"{seen.artifact}{of}", style="bold")
        if seen.problem:
            _print(console, f"  {seen.problem}", style="red")
            continue
        times = "learnt from" if seen.unit == "pairs" else "predicted in training"
        documents = _count(seen.documents, "document")
        _print(console, f"{seen.amount:,} {seen.unit} {times}, of {documents}; repeats count")
        console.print(_shares_table("domain", seen, seen.domains))
        console.print(_shares_table("language", seen, seen.languages))


def _shares_table(kind: str, seen: Seen, shares: Sequence[Share]) -> Table:
    right = (Column(title, justify="right") for title in ("share", seen.unit, "documents"))
    table = Table(Column(kind, overflow="fold"), *right)
    for share in shares[:_TOP]:
        table.add_row(share.name, f"{share.share:.1%}", f"{share.amount:,}", f"{share.documents:,}")
    if rest := shares[_TOP:]:
        table.add_row(
            f"{len(rest):,} others",
            f"{sum(s.share for s in rest):.1%}",
            f"{sum(s.amount for s in rest):,}",
            f"{sum(s.documents for s in rest):,}",
        )
    return table
