"""Which artifacts hold content that was taken down, and what of it; equal ones are read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

from flows.stages import open_artifact
from flows.trace.page import UNREADABLE, problem_of
from storage.manifest import Manifest
from storage.parquet import read_columns
from storage.store import Store
from storage.takedown import Forgotten
from tasks.artifacts.artifact import Artifact, Held


class Search:
    """What was taken down, in some artifacts of a store, which the types know how to look into."""

    def __init__(self, store: Store, manifests: Iterable[Manifest], forgotten: Forgotten) -> None:
        self._store = store
        self.artifacts: Sequence[Artifact] = tuple(
            open_artifact(store, manifest) for manifest in manifests
        )
        self.forgotten = forgotten
        self.gave: dict[str, set[str]] = {}
        self.unreadable: dict[str, str] = {}
        """Artifacts that were asked and cannot be read: they may hold some of it."""
        self._held: dict[tuple[str, str], Held] = {}
        self._listed: set[str] = set()

    def of(self, manifest: Manifest) -> Held:
        """Give what an artifact of this store holds."""
        return self.held(open_artifact(self._store, manifest))

    def held(self, artifact: Artifact) -> Held:
        """Give what an artifact holds; each content is read once. Nothing if it is unreadable."""
        key = (artifact.type.name, artifact.manifest.digest)
        if key not in self._held:
            with self.reading(artifact):
                self._held[key] = artifact.type.held(artifact, self)
        return self._held.get(key, Held())

    @contextmanager
    def reading(self, artifact: Artifact) -> Iterator[None]:
        """Note, and go on, if an artifact cannot be read: it may hold something."""
        try:
            yield
        except UNREADABLE as error:
            self.unreadable[artifact.label] = problem_of(error)

    def covered(self, paths: Iterable[Path]) -> frozenset[str]:
        """Give the covered ones of the documents or pages that tables name with their URLs."""
        found = set[str]()
        for path in paths:
            names = pq.read_schema(path).names
            key = "document_id" if "document_id" in names else "page_id"
            if not {key, "url"} <= set(names):
                continue
            table = read_columns([path], [key, "url"])
            ids, urls = (table[name].to_pylist() for name in (key, "url"))
            self._listed.update(ids)
            covers = self.forgotten.covers
            found.update(i for i, url in zip(ids, urls, strict=True) if covers(url, i) is not None)
        return frozenset(found)

    @cached_property
    def documents(self) -> frozenset[str]:
        """Give the ids of all documents that were taken down, as far as these artifacts, and those
        that they were made from, know their URLs."""
        found = set(self.forgotten.documents)
        for artifact in (*self.artifacts, *self._sources):
            if artifact.type.lists_documents:
                found |= self.held(artifact).ids
        return frozenset(found)

    @cached_property
    def _sources(self) -> tuple[Artifact, ...]:
        """Open the documents that these were made from, where they are not given as well."""
        found = {artifact.label: artifact for artifact in self.artifacts}
        for artifact in self.artifacts:
            for source in () if artifact.type.lists_documents else artifact.inputs():
                lists = source.label not in found and source.type.lists_documents
                if lists and source.is_whole():
                    found[source.label] = source
        return tuple(found.values())[len(self.artifacts) :]

    def doubt(self, artifact: Artifact) -> None:
        """Note as unreadable what names documents that no artifact knows the URL of any more."""
        known = {one.label for one in (*self.artifacts, *self._sources) if one.type.lists_documents}
        by_url = any(taken.kind != "document" for taken in self.forgotten.takedowns)
        if not by_url or known & {ref.label for ref in artifact.manifest.inputs.values()}:
            return
        with self.reading(artifact):
            unknown = len(set(artifact.type.named(artifact)) - self.documents - self._listed)
            if unknown:
                says = f"{unknown} of its documents are in no table with their URL any more"
                self.unreadable.setdefault(artifact.label, says)
