"""Which artifacts hold content that was taken down, and what of it; equal ones are read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pyarrow.compute as pc

from flows.trace.page import problem_of
from flows.trace.target import UNREADABLE
from storage.errors import DamagedArtifact, UnknownArtifact
from storage.manifest import Manifest
from storage.parquet import find_rows, read_columns
from storage.store import Store
from storage.takedown import Forgotten
from tasks.finetune import trace as finetune
from tasks.shard import trace as shard

T = TypeVar("T")

UNITS = {
    "crawl": "pages",
    "clean": "documents",
    "quality": "scores",
    "dedup": "documents",
    "shard": "sequences",
    "finetune": "pairs",
}
"""What is counted in the artifacts that hold content which can be told apart."""

_DOCUMENTS = {"clean": "documents/", "quality": "scores/", "dedup": "documents/"}
"""Where artifacts name their documents with their URLs."""


class Search:
    """What was taken down, in some artifacts of a store.

    A document that was taken down by its id came from a page of the crawl. Which one, a cleaning of
    that crawl says; before there is one, any page at the document's URL may be it, and counts.
    """

    def __init__(self, store: Store, manifests: Iterable[Manifest], forgotten: Forgotten) -> None:
        self._store, self._forgotten = store, forgotten
        self._manifests = tuple(manifests)
        self._known: dict[tuple[str, str], object] = {}
        self._gave: dict[str, set[str]] = {}
        self._urls_known: set[str] = set()
        self.unreadable: dict[str, str] = {}
        """Artifacts that were asked and cannot be read: they may hold some of it."""

    def ids(self, manifest: Manifest) -> frozenset[str]:
        """Ids of its pages (of a crawl) or documents that were taken down.

        Tokenizers and base models hold no content that can be told apart: always empty.
        """
        if manifest.name == "crawl":
            return frozenset(self.pages(manifest))
        if manifest.name in _DOCUMENTS:
            return self._once(manifest, self._covered, frozenset())
        if manifest.name == "shard":
            return frozenset(d.document_id for d in self.sharded(manifest).documents)
        if manifest.name == "finetune":
            return frozenset(pair.document_id for pair in self.pairs(manifest))
        return frozenset()

    def amount(self, manifest: Manifest) -> int:
        """How many rows of it, in its unit, hold some."""
        if manifest.name == "shard":
            documents = self.sharded(manifest).documents
            return len({(s.file, s.row) for document in documents for s in document.spans})
        return len(self.pairs(manifest) if manifest.name == "finetune" else self.ids(manifest))

    def pages(self, manifest: Manifest) -> dict[str, str]:
        """The rule for each page of this crawl that was taken down, by its id."""
        return self._once(manifest, self._pages, {})

    def sharded(self, manifest: Manifest) -> shard.ShardTrace:
        """Where the documents lie in this shard artifact."""

        def find(manifest: Manifest) -> shard.ShardTrace:
            train, validation = (self._store.files(manifest, p) for p in ("train/", "validation/"))
            return shard.trace_documents(train, validation, self.documents)

        return self._once(manifest, find, shard.ShardTrace(0, ()))

    def pairs(self, manifest: Manifest) -> tuple[finetune.TracedPair, ...]:
        """The pairs of this adapter that quote the documents."""

        def find(manifest: Manifest) -> tuple[finetune.TracedPair, ...]:
            return finetune.trace_documents(*pair_files(self._store, manifest), self.documents)

        return self._once(manifest, find, ())

    @cached_property
    def documents(self) -> frozenset[str]:
        """The ids of all documents that were taken down, as far as these artifacts, and those that
        they were made from, know their URLs."""
        found = set(self._forgotten.documents)
        for manifest in [*self._manifests, *self._sources]:
            if manifest.name in _DOCUMENTS:
                found |= self.ids(manifest)
        return frozenset(found)

    def doubt(self, manifest: Manifest) -> None:
        """Note as unreadable what names documents that no artifact knows the URL of any more."""
        if manifest.name not in ("shard", "finetune") or self._is_known(manifest):
            return
        try:
            named = set(self._named(manifest))
        except UNREADABLE as error:
            self.unreadable[manifest.label] = problem_of(error)
            return
        unknown = len(named - self._urls_known - self.documents)
        if unknown:
            says = f"{unknown} of its documents are in no table with their URL any more"
            self.unreadable.setdefault(manifest.label, says)

    def _is_known(self, manifest: Manifest) -> bool:
        """Whether the documents that it was made from can still be asked for their URLs."""
        reference = manifest.inputs.get("dedup")
        labels = (m.label for m in [*self._manifests, *self._sources])
        if reference is None or all(t.kind == "document" for t in self._forgotten.takedowns):
            return True
        return reference.label in labels

    def _named(self, manifest: Manifest) -> Iterator[str]:
        """Ids of all documents of which an artifact holds tokens or quotations."""
        if manifest.name == "shard":
            paths = self._store.files(manifest, "train/") + self._store.files(manifest, "valid")
            spans = pc.list_flatten(read_columns(paths, ["spans"])["spans"].combine_chunks())
            yield from pc.unique(spans.field("document_id")).to_pylist()
        train, validation, _ = pair_files(self._store, manifest)
        for path in [*train, *validation]:
            yield from read_columns([path], ["document_id"])["document_id"].to_pylist()

    @cached_property
    def _sources(self) -> tuple[Manifest, ...]:
        """The documents that these artifacts were made from, where they are not given as well."""
        given = {manifest.label for manifest in self._manifests}
        found: dict[str, Manifest] = {}
        for manifest in self._manifests:
            reference = manifest.inputs.get("dedup")
            if reference is None or reference.label in given | found.keys():
                continue
            try:
                source = self._store.manifest(reference.name, reference.version)
            except (UnknownArtifact, DamagedArtifact):
                continue
            if self._store.is_whole(source):
                found[source.label] = source
        return tuple(found.values())

    def _once(self, manifest: Manifest, find: Callable[[Manifest], T], nothing: T) -> T:
        key = (manifest.name, manifest.digest)
        if key not in self._known:
            try:
                self._known[key] = find(manifest)
            except UNREADABLE as error:
                self.unreadable[manifest.label] = problem_of(error)
                return nothing
        found: T = self._known[key]  # type: ignore[assignment]
        return found

    def _covered(self, manifest: Manifest) -> frozenset[str]:
        rows = list(
            self._rows(self._store.files(manifest, _DOCUMENTS[manifest.name]), "document_id")
        )
        for folder in ("cuts/", "contaminated/") if manifest.name == "dedup" else ():
            # Text of documents that may be dropped themselves.
            rows += self._rows(self._store.files(manifest, folder), "document_id")
        self._urls_known.update(document_id for document_id, _ in rows)
        return frozenset(i for i, url in rows if self._forgotten.covers(url, i) is not None)

    def _pages(self, manifest: Manifest) -> dict[str, str]:
        found, doubtful = {}, {}
        for page_id, url in self._rows(self._store.files(manifest, "pages/"), "page_id"):
            rule = self._forgotten.covers(url)
            if rule is not None:
                found[page_id] = rule
            elif url in self._forgotten.page_urls:
                doubtful[page_id] = url
        return found | (self._by_document(manifest, doubtful) if doubtful else {})

    def _by_document(self, crawl: Manifest, urls: dict[str, str]) -> dict[str, str]:
        """The rules for those pages that gave a document which was taken down, or may have."""
        for manifest in self._manifests:
            source = manifest.inputs.get("crawl")
            if manifest.name == "clean" and source is not None:
                self._learn(manifest, urls, is_of_crawl=source.digest == crawl.digest)
        rules = {t.page_url: t.rule for t in self._forgotten.takedowns if t.page_url}
        return {
            page_id: rules[url]
            for page_id, url in urls.items()
            if page_id not in self._gave or self._gave[page_id] & self._forgotten.documents
        }

    def _learn(self, clean: Manifest, urls: dict[str, str], *, is_of_crawl: bool) -> None:
        """What documents a cleaning saw in those pages: kept ones, and dropped ones by their URL,
        which names a page only within one crawl."""
        try:
            origins = self._store.files(clean, "origins/")
            for row in find_rows(origins, "page_id", urls, ("page_id", "document_id")):
                self._gave.setdefault(row["page_id"], set()).add(row["document_id"])
            pages = {url: page_id for page_id, url in urls.items()} if is_of_crawl else {}
            rejects = self._store.files(clean, "rejects/") if is_of_crawl else []
            for row in find_rows(rejects, "url", pages, ("id", "url")):
                if row["id"] != row["url"]:  # else no text was extracted
                    self._gave.setdefault(pages[row["url"]], set()).add(row["id"])
        except UNREADABLE as error:
            self.unreadable[clean.label] = problem_of(error)

    @staticmethod
    def _rows(paths: Sequence[Path], key: str) -> Iterator[tuple[str, str]]:
        """(id, URL) of every row."""
        if paths:
            table = read_columns(paths, [key, "url"])
            yield from zip(table[key].to_pylist(), table["url"].to_pylist(), strict=True)


def pair_files(store: Store, finetune: Manifest) -> tuple[list[Path], list[Path], list[Path]]:
    """The train pairs, the held-out ones, and which step learnt from which."""
    train, validation, steps = (
        store.files(finetune, f"pairs/{side}.parquet") for side in ("train", "validation", "steps")
    )
    return train, validation, steps
