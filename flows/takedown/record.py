"""A takedown: written down first, then looked for in all that there is, then marked on models.

Each step is safe to do again: the same command finishes what a kill left.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flows.stages import STAGES, in_order, type_of
from flows.takedown.search import Search
from flows.trace.page import follow_redirects
from storage import takedown
from storage.errors import Fault, RequestError
from storage.manifest import Manifest, utc_now
from storage.parquet import find_rows
from storage.sealing import quarantined
from storage.store import Store
from storage.takedown import Forgotten, Kind, Takedown, identify
from tasks.artifacts.artifact import Artifact, Saw
from tasks.artifacts.documents import DOCUMENTS, DUPLICATES
from tasks.artifacts.pages import PAGES
from tasks.crawl.urls import canonical_url, recorded_url

_DOCUMENT_ID = re.compile("[0-9a-f]{32}")
_LABEL = re.compile(r"[^\W_]([\w-]*[^\W_])?")


@dataclass(frozen=True)
class Holder:
    """One artifact that holds some of it: `amount` rows, of so many pages or documents."""

    artifact: str
    amount: int
    unit: str
    documents: int
    quarantined: bool
    aliases: tuple[str, ...]

    def __str__(self) -> str:
        amount = _count(self.amount, self.unit)
        if self.unit in ("sequences", "pairs"):
            amount += f" of {_count(self.documents, 'documents')}"
        state = ", in quarantine" if self.quarantined else ""
        return f"{self.artifact}{_named(self.aliases)}: {amount}{state}"


@dataclass(frozen=True, kw_only=True)
class MarkedModel(Saw):
    """One model, adapter or tokenizer that saw some of it."""

    artifact: str
    aliases: tuple[str, ...]

    def __str__(self) -> str:
        parts = [_count(self.pairs, "pairs")] if self.pairs else []
        if self.base is not None:
            tokens = "some" if self.tokens is None else f"{self.tokens:,}"
            parts.append(f"{tokens} tokens through {self.base}")
        elif self.tokens is not None:
            parts.append(f"{self.tokens:,} tokens")
        elif self.documents is not None:
            parts.append(_count(self.documents, "documents"))
        seen = ", ".join(parts) or "an amount that was not kept"
        return f"{self.artifact}{_named(self.aliases)}: {seen}"


def _when(taken: Takedown) -> str:
    return f"{taken.at:%Y-%m-%d %H:%M} UTC by {taken.by}: {taken.why}"


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit if number != 1 else unit[:-1]}"


def _named(aliases: Sequence[str]) -> str:
    return f" ({', '.join(aliases)})" if aliases else ""


@dataclass(frozen=True)
class Found:
    """What came of it.

    `alike` are URLs that are not covered and have the same or nearly the same text, by dedup;
    `moved` those that a URL was redirected to; `unreadable` artifacts that may hold some of it.
    """

    takedown: Takedown
    is_new: bool
    holders: tuple[Holder, ...]
    models: tuple[MarkedModel, ...]
    alike: tuple[str, ...]
    moved: tuple[str, ...]
    unreadable: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        """Tell people what holds it, which models saw it, and where the same text is."""
        taken = self.takedown
        if self.is_new:
            *stages, last = [stage.name for stage in STAGES.values() if stage.leaves_out]
            who = f"{', '.join(stages)} and {last}"
            yield f"{taken.rule}: taken down; {who} leave it out from now on"
        else:
            yield f"{taken.rule}: taken down {_when(taken)}"
        if not self.holders:
            yield "nothing holds it now"
        unreadable = [f"{label}: {problem}" for label, problem in self.unreadable.items()]
        lists: dict[str, Sequence[object]] = {
            "held by": self.holders,
            "seen by, and marked": self.models,
            "it redirects to another URL, which is not covered:": self.moved,
            "the same or nearly the same text is also at, and is not covered:": self.alike,
            "cannot be looked into, and may hold it:": unreadable,
        }
        for title, items in lists.items():
            if items:
                yield title
                yield from (f"  {item}" for item in items)


@dataclass(frozen=True)
class Recorded:
    """One takedown, the artifacts that still hold it, and the models that are marked with it."""

    takedown: Takedown
    holders: tuple[str, ...]
    models: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Tell people when, by whom and why, and what holds it still."""
        taken = self.takedown
        yield taken.rule
        yield f"  {_when(taken)}"
        yield f"  held by {', '.join(self.holders) or 'nothing any more'}"
        if self.models:
            yield f"  seen by {', '.join(self.models)}"


def list_takedowns(store: Store) -> list[Recorded]:
    """List all takedowns, oldest first, from what was found before: no table is read."""
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


def every_manifest(store: Store) -> tuple[list[Manifest], frozenset[str]]:
    """Give all that is sealed or in quarantine, what was made from others after these; and the
    labels of what is in quarantine."""
    sealed, held = list(store.manifests()), quarantined(store)
    labels = frozenset(m.label for m in held) - {m.label for m in sealed}
    return in_order([*sealed, *(m for m in held if m.label in labels)]), labels


def forget(store: Store, asked: str, why: str | None) -> Found:
    """Take a URL, a domain or a document down, and find what holds it.

    Raises RequestError for another target, and without a reason if it was not recorded before.
    """
    kind, value = parse_target(asked)
    for one in takedown.read(store.backend).all:
        if (one.kind, one.value) == (kind, value):
            return look(store, one)
    if not (why or "").strip():
        found = f"no reason to forget {kind} {value}"
        remedy = 'Say it with --why "the owner asked for it on 3 May".'
        raise RequestError(Fault("--why", found, "a reason, kept with the takedown", remedy))
    taken = Takedown(
        id=identify(kind, value),
        kind=kind,
        value=value,
        why=why or "",
        by=_user(),
        at=utc_now(),
        page_url=_find_page_url(store, value) if kind == "document" else "",
    )
    return look(store, takedown.record(store.backend, taken), is_new=True)


# --- what is asked for ----------------------------------------------------------------------------


def parse_target(asked: str) -> tuple[Kind, str]:
    """Tell the kind of a target by how it is written, and its canonical spelling.

    Raises RequestError for what is none of the three.
    """
    text = asked.strip()
    if _DOCUMENT_ID.fullmatch(text.lower()):
        return "document", text.lower()
    try:
        return ("url", recorded_url(text)) if "://" in text else ("domain", _domain(text))
    except ValueError as error:
        raise RequestError(
            Fault(
                "what to forget",
                repr(asked),
                "a URL with its scheme (http, https or file:///), a domain without port and path, "
                "or a document id of 32 hexadecimal digits",
                "Examples: https://example.org/page.html, example.org, "
                "cd4d080b65e4a98b47b6f0829da1362f.",
            )
        ) from error


def _domain(text: str) -> str:
    """Spell a domain as it stands in canonical URLs. Raises ValueError."""
    labels = text.removesuffix(".").split(".")
    if (len(labels) < 2 and text.lower() != "localhost") or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"{text!r} is no domain")
    return urlsplit(canonical_url(f"http://{'.'.join(labels)}/")).hostname or ""


def _find_page_url(store: Store, document_id: str) -> str:
    """Find the URL of a document that was kept or dropped somewhere, or nothing."""
    for manifest in [*store.manifests(), *quarantined(store)]:
        if type_of(manifest).serves(DOCUMENTS) and store.is_whole(manifest):
            for prefix, key in (("documents/", "document_id"), ("rejects/", "id")):
                for row in find_rows(store.files(manifest, prefix), key, [document_id], ["url"]):
                    return str(row["url"])
    return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        return "unknown"


# --- what is found --------------------------------------------------------------------------------


def look(store: Store, taken: Takedown, *, is_new: bool = False) -> Found:
    """Find what holds it and which models saw it, and write both down."""
    everything, in_quarantine = every_manifest(store)
    search = Search(store, everything, Forgotten((taken,)))
    holding = [artifact for artifact in search.artifacts if search.held(artifact).ids]
    for artifact in search.artifacts:
        search.doubt(artifact)
    takedown.add_holders(store.backend, taken, [artifact.manifest for artifact in holding])
    models = tuple(_mark(store, search, taken))
    register = store.aliases.read()
    holders = [
        Holder(
            artifact=artifact.label,
            amount=held.amount,
            unit=held.unit or artifact.type.unit,
            documents=len(held.ids),
            quarantined=artifact.label in in_quarantine,
            aliases=tuple(register.of(artifact.manifest.name, artifact.manifest.version)),
        )
        for artifact in holding
        for held in [search.held(artifact)]
    ]
    crawls = [artifact for artifact in search.artifacts if artifact.type.serves(PAGES)]
    moved = follow_redirects(crawls, [taken.value]) if taken.kind == "url" else set()
    return Found(
        takedown=taken,
        is_new=is_new,
        holders=tuple(holders),
        models=models,
        alike=_alike(search, taken),
        moved=tuple(sorted(moved - {taken.value})),
        unreadable=search.unreadable,
    )


def _mark(store: Store, search: Search, taken: Takedown) -> Iterator[MarkedModel]:
    """Mark what learnt from it; a model comes after its base.

    A mark that is there stays as it is: what it was counted from may be gone by now.
    """
    register, earlier = store.aliases.read(), dict[str, Saw]()
    for artifact in search.artifacts:
        manifest = artifact.manifest
        marks = takedown.marks(store.backend, manifest)
        before = [mark.tokens for mark in marks if mark.takedown == taken.id]
        saw = artifact.type.saw(artifact, search, earlier)
        if saw is None and before:
            saw = Saw(tokens=before[0])
        if saw is not None:
            earlier[artifact.label] = saw
            if not before:
                takedown.mark(store.backend, manifest, taken, saw.tokens)
            aliases = tuple(register.of(manifest.name, manifest.version))
            yield MarkedModel(artifact=artifact.label, aliases=aliases, **vars(saw))


def _alike(search: Search, taken: Takedown) -> tuple[str, ...]:
    """Find where the same text is, or nearly the same: the clusters that dedup found it in.

    Of a document that was taken down by its id, also what else was found at its URL.
    """
    found = set[str]()
    for artifact in _distinct(search.artifacts, DUPLICATES):
        with search.reading(artifact):
            found |= _cluster(artifact.files(DUPLICATES), search.documents, search.forgotten)
    for artifact in _distinct(search.artifacts, "origins/") if taken.page_url else ():
        paths = artifact.files("documents/")
        rows = find_rows(paths, "url", [taken.page_url], ["document_id"])
        others = {row["document_id"] for row in rows} - {taken.value}
        found |= {f"{taken.page_url} as document {other}" for other in others}
    return tuple(sorted(found))


def _distinct(artifacts: Sequence[Artifact], table: str) -> Iterable[Artifact]:
    """Give one of each content of documents that has this table."""
    documents = (a for a in artifacts if a.type.serves(DOCUMENTS) and a.has(table))
    return {artifact.manifest.digest: artifact for artifact in documents}.values()


def _cluster(paths: Sequence[Path], ids: frozenset[str], forgotten: Forgotten) -> set[str]:
    columns = ("document_id", "url", "kept_id", "kept_url")
    dropped = find_rows(paths, "document_id", ids, columns) if ids else []
    kept = ids | {row["kept_id"] for row in dropped}
    rows = dropped + (find_rows(paths, "kept_id", kept, columns) if kept else [])
    sides = (("url", "document_id"), ("kept_url", "kept_id"))
    pairs = {(row[url], row[identity]) for row in rows for url, identity in sides}
    return {url for url, identity in pairs if forgotten.covers(url, identity) is None}
