"""The other way round: how much of each domain and language a model saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pyarrow.compute as pc

from flows.trace.page import problem_of, reading_of
from flows.trace.target import UNREADABLE
from storage.errors import Fault, RequestError
from storage.manifest import Manifest
from storage.parquet import strings
from storage.store import Store
from tasks.crawl.urls import host_of
from tasks.dedup.trace import read_sources
from tasks.finetune.trace import reads_by_document
from tasks.shard.trace import count_rows, tokens_by_document

Unit = Literal["tokens", "pairs"]


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
    unit: Unit
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
    """What `NAME[@VERSION]` saw. Raises RequestError for anything but a base or tuned model."""
    if name.partition("@")[0] not in ("pretrain", "finetune"):
        expected = "pretrain or finetune, with @VERSION for another than the newest"
        raise RequestError(Fault("--model", repr(name), expected, "Other artifacts see no tokens."))
    manifest = store.resolve(name)
    if manifest.name == "pretrain":
        return ModelTrace(manifest.label, (_seen(store, manifest, "tokens", _tokens),))
    own = _seen(store, manifest, "pairs", _pairs)
    reference = manifest.inputs["pretrain"]
    base = _seen(store, store.manifest(reference.name, reference.version), "tokens", _tokens)
    return ModelTrace(manifest.label, (own, base))


def _seen(
    store: Store,
    manifest: Manifest,
    unit: Unit,
    count: Callable[[Store, Manifest], tuple[Manifest, dict[str, int]]],
) -> Seen:
    """Add up, by domain and language, what `count` says was read of each document."""
    try:
        documents, amounts = count(store, manifest)
        sources = read_sources(store.files(documents, "documents/"))
    except UNREADABLE as error:
        return Seen(manifest.label, unit, 0, 0, (), (), problem_of(error))
    read = {document_id: amount for document_id, amount in amounts.items() if amount}
    table = sources.filter(pc.is_in(sources["document_id"], value_set=strings(read)))
    amount_of = [read[document_id] for document_id in table["document_id"].to_pylist()]
    domains = [host_of(url) for url in table["url"].to_pylist()]
    return Seen(
        artifact=manifest.label,
        unit=unit,
        amount=sum(amount_of),
        documents=len(amount_of),
        domains=_shares(domains, amount_of),
        languages=_shares(table["language"].to_pylist(), amount_of),
    )


def _tokens(store: Store, manifest: Manifest) -> tuple[Manifest, dict[str, int]]:
    """The documents' artifact and the tokens of each that a base model learnt from."""
    shard = _input(store, manifest, "shard")
    train = store.files(shard, "train/")
    read = reading_of(store, manifest, count_rows(train))
    times = read.order.times_read(read.num_steps)
    return _input(store, shard, "dedup"), tokens_by_document(train, times)


def _pairs(store: Store, manifest: Manifest) -> tuple[Manifest, dict[str, int]]:
    """The documents' artifact and how often a pair of each was learnt from."""
    train, steps = (store.files(manifest, f"pairs/{side}.parquet") for side in ("train", "steps"))
    return _input(store, manifest, "dedup"), reads_by_document(train, steps)


def _input(store: Store, manifest: Manifest, name: str) -> Manifest:
    reference = manifest.inputs[name]
    return store.manifest(reference.name, reference.version)


def _shares(names: list[str], amounts: list[int]) -> tuple[Share, ...]:
    """One share for each name, the largest first."""
    total = max(sum(amounts), 1)
    sums: dict[str, int] = {}
    documents: dict[str, int] = {}
    for name, amount in zip(names, amounts, strict=True):
        sums[name] = sums.get(name, 0) + amount
        documents[name] = documents.get(name, 0) + 1
    order = sorted(sums, key=lambda name: (-sums[name], name))
    return tuple(Share(n, sums[n] / total, sums[n], documents[n]) for n in order)
