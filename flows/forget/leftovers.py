"""What may hold content that was taken down and is no artifact: dead attempts, copies, scratch."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from flows.holding import UNITS
from storage.layout import data_key
from storage.manifest import Manifest
from storage.sealing import bury, quarantined, withdraw
from storage.store import Store
from storage.takedown import Forgotten
from tasks.crawl.catalogue import DATABASE, Catalogue


def drop_leftovers(
    store: Store,
    forgotten: Forgotten,
    documents: frozenset[str],
    gone: Iterable[Manifest],
    why: str,
) -> list[str]:
    """Drop cached copies of the artifacts that are gone, and what of other leftovers may hold it.

    `documents` are the ids of all documents that are `forgotten`. Returns a line for each of the
    latter. What a live build works on is left alone.
    """
    for manifest in gone:
        store.cache.drop(manifest.name, manifest.version, manifest.files)
    return [
        *(f"unsealed data: {label}" for label in _withdraw_unsealed(store, why)),
        *(f"data of a version that was taken: {label}" for label in _finish_burials(store, why)),
        *(f"abandoned work: {folder}" for folder in _drop_work(store, forgotten, documents)),
    ]


def _withdraw_unsealed(store: Store, why: str) -> Iterator[str]:
    """Data of attempts that died before they were sealed. A live one goes on under another name."""
    held = {manifest.label for manifest in quarantined(store)}
    for name in UNITS:
        for version in store.unsealed(name):
            label = f"{name}@{version}"
            if label not in held and withdraw(store, name, version, why):
                yield label


def _finish_burials(store: Store, why: str) -> Iterator[str]:
    """A kill may come between a version's tombstone and its data."""
    for path in store.backend.sizes("tombstones"):
        name, _, file = path.partition("/")
        version = file.removesuffix(".json")
        if store.backend.sizes(data_key(name, version)):
            bury(store, name, version, why)
            yield f"{name}@{version}"


def _drop_work(store: Store, forgotten: Forgotten, documents: frozenset[str]) -> Iterator[Path]:
    for folder in sorted(path for name in UNITS for path in (store.work / name).glob("*/")):
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            if folder.is_dir() and _may_hold(folder, forgotten, documents):
                shutil.rmtree(folder)
                yield folder


def _may_hold(folder: Path, forgotten: Forgotten, documents: frozenset[str]) -> bool:
    """Whether something in a work folder is known to hold it, or cannot be read."""
    collected = folder / "scratch" / DATABASE
    if collected.exists():
        return _fetched(collected, forgotten)
    return any(_names(path, forgotten, documents) for path in folder.rglob("*.parquet"))


def _fetched(path: Path, forgotten: Forgotten) -> bool:
    with Catalogue(path.parent) as catalogue:
        urls = (page.url for page in catalogue.pages())
        return any(forgotten.covers(url) or url in forgotten.page_urls for url in urls)


def _names(path: Path, forgotten: Forgotten, documents: frozenset[str]) -> bool:
    try:
        table = pq.read_table(path, columns=[*_KEYS & set(pq.read_schema(path).names)])
    except (pa.ArrowException, OSError):  # a kill came while it was written
        return True
    if "spans" in table.column_names:
        spans = pc.list_flatten(table["spans"].combine_chunks())
        return not documents.isdisjoint(spans.field("document_id").to_pylist())
    ids = table["document_id"].to_pylist() if "document_id" in table.column_names else []
    urls = table["url"].to_pylist() if "url" in table.column_names else []
    return not documents.isdisjoint(ids) or any(map(forgotten.covers, urls))


_KEYS = frozenset({"url", "document_id", "spans"})
