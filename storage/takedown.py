"""Takedowns: content that is to be left out from now on, and which artifacts hold it.

    takedowns/{id}.json                    what, why, by whom
    takedowns/{id}/holders/{digest}.json   an artifact's content that holds it: found once, for good

An artifact's content digest names what it holds, so whether a stage's input holds something is a
look at names, not at tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from storage.backends import Backend
from storage.layout import mark_key
from storage.manifest import Manifest, parsed, utc_now

Kind = Literal["url", "domain", "document"]


class Takedown(BaseModel):
    """One thing to leave out: a canonical URL, a domain with all below it, or a document id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: Kind
    value: str
    why: str
    by: str
    at: datetime
    page_url: str = Field("", description="of a document: the URL of its page, if it was known")

    @property
    def rule(self) -> str:
        """What it says, whoever recorded it and when: `domain example.org`."""
        return f"{self.kind} {self.value}"


class Mark(BaseModel):
    """A note on a sealed artifact: it has seen content that was taken down."""

    model_config = ConfigDict(frozen=True)

    takedown: str
    rule: str
    tokens: int | None
    at: datetime


@dataclass(frozen=True)
class Forgotten:
    """Takedowns as a stage asks them."""

    takedowns: tuple[Takedown, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.takedowns)

    @property
    def rules(self) -> tuple[str, ...]:
        """Sorted, so that it can be part of a fingerprint."""
        return tuple(sorted({takedown.rule for takedown in self.takedowns}))

    @cached_property
    def _values(self) -> Mapping[Kind, frozenset[str]]:
        return {
            kind: frozenset(t.value for t in self.takedowns if t.kind == kind)
            for kind in get_args(Kind)
        }

    @cached_property
    def page_urls(self) -> frozenset[str]:
        """Where the documents that are to be left out were found. Another text may be there now."""
        return frozenset(t.page_url for t in self.takedowns if t.page_url)

    @property
    def documents(self) -> frozenset[str]:
        """The document ids that were taken down as such."""
        return self._values["document"]

    @property
    def unplaced(self) -> tuple[Takedown, ...]:
        """Those of documents whose URL nothing knew: any page may turn out to hold them."""
        return tuple(t for t in self.takedowns if t.kind == "document" and not t.page_url)

    def covers(self, url: str, document_id: str = "") -> str | None:
        """The rule that says to leave this page or document out, or None."""
        values = self._values
        if url in values["url"]:
            return f"url {url}"
        if document_id in values["document"]:
            return f"document {document_id}"
        if values["domain"]:
            labels = (urlsplit(url).hostname or "").rstrip(".").split(".")
            for start in range(len(labels)):
                domain = ".".join(labels[start:])
                if domain in values["domain"]:
                    return f"domain {domain}"
        return None


NOTHING = Forgotten()


@dataclass(frozen=True)
class Takedowns:
    """All that a store has recorded."""

    all: tuple[Takedown, ...] = ()
    holders: Mapping[str, set[str]] = field(default_factory=dict)
    """By takedown id: the content digests that hold what it says."""

    @property
    def forgotten(self) -> Forgotten:
        return Forgotten(self.all)

    def held_by(self, manifests: Iterable[Manifest]) -> Forgotten:
        """Those takedowns whose content is in one of these artifacts."""
        digests = {manifest.digest for manifest in manifests}
        return Forgotten(tuple(t for t in self.all if digests & self.holders.get(t.id, set())))


def read(backend: Backend) -> Takedowns:
    """All takedowns; one listing where there is none. Raises DamagedArtifact for a broken record:
    leaving one out would let content back in."""
    records: list[str] = []
    holders: dict[str, set[str]] = {}
    for path in sorted(backend.sizes("takedowns")):
        identity, inside, file = path.partition("/holders/")
        if inside:
            holders.setdefault(identity, set()).add(file.removesuffix(".json"))
        elif "/" not in path:
            records.append(path)
    data = backend.read_all([f"takedowns/{path}" for path in records])
    takedowns = tuple(_parse(path, one) for path, one in zip(records, data, strict=True))
    return Takedowns(takedowns, holders)


def identify(kind: Kind, value: str) -> str:
    """The id of a takedown: of its rule alone, so that the same one is never recorded twice."""
    return hashlib.sha256(f"{kind} {value}".encode()).hexdigest()[:16]


def record(backend: Backend, takedown: Takedown) -> Takedown:
    """Write a takedown down, create-only: from now on every stage that begins knows of it.

    Returns what is recorded under its id: this one, or the one that was there before.
    """
    key = f"takedowns/{takedown.id}.json"
    data = takedown.model_dump_json(indent=2).encode()
    if backend.create(key, data):
        return takedown
    return _parse(key.removeprefix("takedowns/"), backend.read(key))


def add_holders(backend: Backend, takedown: Takedown, held: Collection[Manifest]) -> None:
    """Note which artifacts hold what a takedown says."""
    for manifest in held:
        key = f"takedowns/{takedown.id}/holders/{manifest.digest}.json"
        backend.create(key, json.dumps({"artifact": manifest.name}).encode())


def mark(backend: Backend, manifest: Manifest, takedown: Takedown, tokens: int | None) -> None:
    """Note on a model that it has seen that many tokens of what was taken down."""
    note = Mark(takedown=takedown.id, rule=takedown.rule, tokens=tokens, at=utc_now())
    key = mark_key(manifest.name, manifest.version, takedown.id)
    present = backend.read(key)
    backend.swap(key, note.model_dump_json().encode(), present)


def carry_marks(backend: Backend, old: Manifest, new: Manifest) -> None:
    """Note on `new`, which is `old` without some of its files' content, all that `old` has seen."""
    for note in marks(backend, old):
        key = mark_key(new.name, new.version, note.takedown)
        backend.create(key, note.model_dump_json().encode())


def marks(backend: Backend, manifest: Manifest) -> list[Mark]:
    """What was noted on an artifact. Raises DamagedArtifact for a note that cannot be read."""
    folder = f"marks/{manifest.name}/{manifest.version}"
    keys = [f"{folder}/{path}" for path in sorted(backend.sizes(folder))]
    found = zip(keys, backend.read_all(keys), strict=True)
    expected = "a mark. Restore it, or remove it and record the takedown again with `phusa forget`."
    return [parsed(Mark, data, key, expected) for key, data in found if data is not None]


def _parse(path: str, data: bytes | None) -> Takedown:
    expected = (
        "a takedown. Restore it, or remove it and record it again with `phusa forget`: until then "
        "no stage runs, since what was taken down could come back."
    )
    return parsed(Takedown, data or b"", f"takedowns/{path}", expected)
