"""A takedown: written down first, then looked for in all that there is, then marked on models.

Each step is safe to do again: the same command finishes what a kill left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.forget.models import Models, Saw
from flows.forget.target import find_page_url, new_takedown, parse_target
from flows.holding import UNITS, Search
from flows.stages import STAGES
from flows.trace.target import UNREADABLE, follow_redirects
from storage import takedown
from storage.manifest import Manifest
from storage.parquet import find_rows
from storage.sealing import quarantined
from storage.store import Store
from storage.takedown import Forgotten, Kind, Takedown


@dataclass(frozen=True)
class Holder:
    """One artifact that holds some of it: `amount` rows, of so many pages or documents."""

    artifact: str
    amount: int
    unit: str
    documents: int
    quarantined: bool
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What came of it.

    `alike` are URLs that are not covered and have the same or nearly the same text, by dedup;
    `moved` those that a URL was redirected to; `unreadable` artifacts that may hold some of it.
    """

    takedown: Takedown
    is_new: bool
    holders: tuple[Holder, ...]
    models: tuple[Saw, ...]
    alike: tuple[str, ...]
    moved: tuple[str, ...]
    unreadable: Mapping[str, str]


@dataclass(frozen=True)
class Recorded:
    """One takedown, the artifacts that still hold it, and the models that are marked with it."""

    takedown: Takedown
    holders: tuple[str, ...]
    models: tuple[str, ...]


def list_takedowns(store: Store) -> list[Recorded]:
    """All takedowns, oldest first, from what was found before: no table is read."""
    known = takedown.read(store.backend)
    everything, _ = every_manifest(store)
    marks = {path.rpartition(".")[0] for path in store.backend.sizes("marks")}
    return [
        Recorded(
            one,
            holders=tuple(
                m.label for m in everything if m.digest in known.holders.get(one.id, frozenset())
            ),
            models=tuple(m.label for m in everything if f"{m.name}/{m.version}/{one.id}" in marks),
        )
        for one in sorted(known.all, key=lambda one: one.at)
    ]


def forget(store: Store, asked: str, why: str | None) -> Found:
    """Take a URL, a domain or a document down, and find what holds it.

    Raises RequestError for another target, and without a reason if it was not recorded before.
    """
    kind, value = parse_target(asked)
    before = next((t for t in takedown.read(store.backend).all if _is(t, kind, value)), None)
    return look(store, before or _record(store, kind, value, why), is_new=before is None)


def _is(one: Takedown, kind: Kind, value: str) -> bool:
    return (one.kind, one.value) == (kind, value)


def _record(store: Store, kind: Kind, value: str, why: str | None) -> Takedown:
    page_url = ""
    if kind == "document":
        page_url = find_page_url(store, [*store.manifests(), *quarantined(store)], value)
    return takedown.record(store.backend, new_takedown(kind, value, why, page_url))


def look(store: Store, taken: Takedown, *, is_new: bool = False) -> Found:
    """Find what holds it and which models saw it, and write both down."""
    everything, in_quarantine = every_manifest(store)
    search = Search(store, everything, Forgotten((taken,)))
    holding = [manifest for manifest in everything if search.ids(manifest)]
    for manifest in everything:
        search.doubt(manifest)
    takedown.add_holders(store.backend, taken, holding)
    models = Models(store, search, taken).mark(everything)
    register = store.aliases.read()
    holders = [
        Holder(
            artifact=m.label,
            amount=search.amount(m),
            unit=UNITS[m.name],
            documents=len(search.ids(m)),
            quarantined=m.label in in_quarantine,
            aliases=tuple(register.of(m.name, m.version)),
        )
        for m in holding
    ]
    crawls = [m for m in everything if m.name == "crawl"]
    moved = follow_redirects(store, crawls, [taken.value]) if taken.kind == "url" else set()
    return Found(
        takedown=taken,
        is_new=is_new,
        holders=tuple(holders),
        models=tuple(models),
        alike=_alike(store, everything, search, taken),
        moved=tuple(sorted(moved - {taken.value})),
        unreadable=search.unreadable,
    )


def every_manifest(store: Store) -> tuple[list[Manifest], frozenset[str]]:
    """All that is sealed or in quarantine, in the order of the river, oldest first within a stage;
    and the labels of what is in quarantine."""
    sealed, held = list(store.manifests()), quarantined(store)
    labels = frozenset(m.label for m in held) - {m.label for m in sealed}
    order = list(STAGES)
    everything = [m for m in (*sealed, *(m for m in held if m.label in labels)) if m.name in STAGES]
    return sorted(everything, key=lambda m: (order.index(m.name), m.version)), labels


def _alike(
    store: Store, manifests: Sequence[Manifest], search: Search, taken: Takedown
) -> tuple[str, ...]:
    """Where the same text is, or nearly the same: the clusters that dedup found it in.

    Of a document that was taken down by its id, also what else was found at its URL.
    """
    forgotten, found = Forgotten((taken,)), set[str]()
    for manifest in _distinct(manifests, "dedup"):
        try:
            paths = store.files(manifest, "duplicates.parquet")
            found |= _cluster(paths, search.documents, forgotten)
        except UNREADABLE as error:
            search.unreadable[manifest.label] = str(error)
    for manifest in _distinct(manifests, "clean") if taken.page_url else ():
        paths = store.files(manifest, "documents/")
        rows = find_rows(paths, "url", [taken.page_url], ["document_id"])
        others = {row["document_id"] for row in rows} - {taken.value}
        found |= {f"{taken.page_url} as document {other}" for other in others}
    return tuple(sorted(found))


def _distinct(manifests: Iterable[Manifest], name: str) -> Iterable[Manifest]:
    return {m.digest: m for m in manifests if m.name == name}.values()


def _cluster(paths: Sequence[Path], ids: frozenset[str], forgotten: Forgotten) -> set[str]:
    columns = ("document_id", "url", "kept_id", "kept_url")
    dropped = find_rows(paths, "document_id", ids, columns) if ids else []
    kept = ids | {row["kept_id"] for row in dropped}
    rows = dropped + (find_rows(paths, "kept_id", kept, columns) if kept else [])
    pairs = {(row[f"{side}url"], row[i]) for row in rows for side, i in _SIDES}
    return {url for url, identity in pairs if forgotten.covers(url, identity) is None}


_SIDES = (("", "document_id"), ("kept_", "kept_id"))
