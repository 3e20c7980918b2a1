"""Which artifacts hold content that was taken down: asked of each content once, then remembered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow.compute as pc

from storage.errors import DamagedArtifact, UnknownArtifact
from storage.lookup import read_columns
from storage.manifest import Manifest
from storage.store import Store
from storage.takedown import Forgotten

# The table that holds an artifact's content, with the columns that tell whose it is.
_TABLES = {
    "crawl": ("pages/", "page_id"),
    "clean": ("documents/", "document_id"),
    "dedup": ("documents/", "document_id"),
}
_DOCUMENTS = {"shard": ("train/", "validation/"), "finetune": ("pairs/",)}


def held(store: Store, manifest: Manifest, forgotten: Forgotten) -> set[str]:
    """Ids of the pages (of a crawl) or documents of this artifact that were taken down.

    Tokenizers and base models hold no content that can be told apart: always empty.
    """
    if manifest.name in _TABLES:
        return set(_covered(store, manifest, forgotten))
    if manifest.name not in _DOCUMENTS:
        return set()
    wanted = {t.value for t in forgotten.takedowns if t.kind == "document"}
    wanted.update(*(_covered(store, source, forgotten) for source in _documents(store, manifest)))
    return wanted.intersection(_named(store, manifest)) if wanted else set()


def _covered(store: Store, manifest: Manifest, forgotten: Forgotten) -> Iterator[str]:
    folder, key = _TABLES[manifest.name]
    paths = store.files(manifest, folder)
    if paths:
        table = read_columns(paths, [key, "url"])
        for identity, url in zip(table[key].to_pylist(), table["url"].to_pylist(), strict=True):
            if forgotten.covers(url, identity) is not None:
                yield identity


def _documents(store: Store, manifest: Manifest) -> Iterator[Manifest]:
    """The documents that an artifact was made from: of each, the URL is known."""
    for reference in manifest.inputs.values():
        if reference.name in _TABLES:
            try:
                source = store.manifest(reference.name, reference.version)
            except (UnknownArtifact, DamagedArtifact):
                continue
            if store.is_whole(source):
                yield source


def _named(store: Store, manifest: Manifest) -> Iterator[str]:
    """Ids of all documents of which an artifact holds tokens or quotations."""
    for folder in _DOCUMENTS[manifest.name]:
        paths = store.files(manifest, folder)
        if not paths:
            continue
        if manifest.name == "shard":
            spans = pc.list_flatten(read_columns(paths, ["spans"])["spans"].combine_chunks())
            yield from pc.unique(spans.field("document_id")).to_pylist()
        else:
            yield from pc.unique(read_columns(paths, ["document_id"])["document_id"]).to_pylist()


def holders(store: Store, manifests: Iterable[Manifest], forgotten: Forgotten) -> list[Manifest]:
    """Those of `manifests` that hold some of it; equal contents are read once."""
    known: dict[str, bool] = {}
    found = []
    for manifest in manifests:
        if manifest.digest not in known:
            known[manifest.digest] = bool(held(store, manifest, forgotten))
        if known[manifest.digest]:
            found.append(manifest)
    return found
