"""The other way round: how much of each domain and language a model saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Column, Table

from flows.render import say
from flows.stages import open_artifact
from flows.trace.page import UNREADABLE, problem_of
from storage.errors import Fault, RequestError
from storage.parquet import read_columns, strings
from storage.store import Store
from tasks.artifacts.artifact import Artifact, InputGone, Learnt
from tasks.artifacts.model import MODEL
from tasks.artifacts.prose import count
from tasks.crawl.urls import host_of

_TOP = 20


@dataclass(frozen=True)
class Share:
    """What came from one domain or language: `share` (0-1) of all, `amount` in the unit."""

    name: str
    share: float
    amount: int
    documents: int


@dataclass(frozen=True)
class Seen:
    """What training read, by where it came from; what was read twice counts twice.

    Tokens are those of documents; the marks between them belong to none. Empty, with a `problem`,
    where the data is gone.
    """

    artifact: str
    unit: str
    amount: int
    documents: int
    domains: tuple[Share, ...]
    languages: tuple[Share, ...]
    problem: str | None = None


@dataclass(frozen=True)
class ModelTrace:
    """What a model saw in its own training and, if it was tuned, in that of its base."""

    artifact: str
    seen: tuple[Seen, ...]


def trace_model(store: Store, name: str) -> ModelTrace:
    """Say what `NAME[@VERSION]` saw. Raises RequestError for anything but a model or adapter."""
    model = open_artifact(store, store.resolve(name))
    if not model.type.serves(MODEL):
        found = f"{name!r}, of type {model.type.name}"
        expected = "a model or an adapter, with @VERSION for another than the newest"
        raise RequestError(Fault("--model", found, expected, "Other artifacts see no tokens."))
    seen, one = [], model
    while True:
        seen.append(_seen(one))
        base = next(one.inputs(MODEL), None)
        if base is None:
            return ModelTrace(model.label, tuple(seen))
        one = base


def _seen(model: Artifact) -> Seen:
    """Add up, by domain and language, what was read of each document."""
    try:
        learnt = model.type.learnt(model)
        if learnt is None:
            raise InputGone("not looked into: nothing is known of how its stage trains")
        return _add_up(model, learnt)
    except UNREADABLE as error:
        problem = problem_of(error)
    except InputGone as error:
        problem = str(error)
    return Seen(model.label, model.type.learns, 0, 0, (), (), problem)


def _add_up(model: Artifact, learnt: Learnt) -> Seen:
    columns = ["document_id", "url", "language"]
    sources = read_columns(learnt.documents.files("documents/"), columns)
    read = {document_id: amount for document_id, amount in learnt.amounts.items() if amount}
    table = sources.filter(pc.is_in(sources["document_id"], value_set=strings(read)))
    amounts = [read[document_id] for document_id in table["document_id"].to_pylist()]
    return Seen(
        artifact=model.label,
        unit=model.type.learns,
        amount=sum(amounts),
        documents=len(amounts),
        domains=_shares([host_of(url) for url in table["url"].to_pylist()], amounts),
        languages=_shares(table["language"].to_pylist(), amounts),
    )


def _shares(names: list[str], amounts: list[int]) -> tuple[Share, ...]:
    """Give one share for each name, the largest first."""
    total = max(sum(amounts), 1)
    sums: dict[str, int] = {}
    documents: dict[str, int] = {}
    for name, amount in zip(names, amounts, strict=True):
        sums[name] = sums.get(name, 0) + amount
        documents[name] = documents.get(name, 0) + 1
    order = sorted(sums, key=lambda name: (-sums[name], name))
    return tuple(Share(n, sums[n] / total, sums[n], documents[n]) for n in order)


def show_model(console: Console, found: ModelTrace) -> None:
    """Print what a model saw, by domain and by language, and the same of its base."""
    for seen in found.seen:
        of = "" if seen.artifact == found.artifact else f", the base of {found.artifact}"
        say(console, [f"{seen.artifact}{of}"], style="bold")
        if seen.problem:
            say(console, [f"  {seen.problem}"], style="red")
            continue
        times = "learnt from" if seen.unit == "pairs" else "predicted in training"
        documents = count(seen.documents, "document")
        say(console, [f"{seen.amount:,} {seen.unit} {times}, of {documents}; repeats count"])
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
