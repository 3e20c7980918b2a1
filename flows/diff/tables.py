"""What differs between the tables of two artifacts: counts in full, and the first few rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.diff.rows import Row, RowDiff, diff_rows, read_rows
from flows.plan import differences
from storage.errors import DamagedArtifact, PhusaError
from storage.manifest import FileEntry, Manifest
from storage.store import Store

_PART = re.compile(r"(.+)/part-\d+-of-\d+\.parquet")
_TABLE = re.compile(r"(.+)\.parquet")


@dataclass(frozen=True)
class Example:
    """A row that differs: its columns, and where it changed, the changed ones as old and new."""

    url: str | None
    row: Row
    changes: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class TableDiff:
    """The rows of one table; the numbers are of all rows, the examples are the first few.

    `same_url` of the rows gone were replaced by another row at the same URL. `key` is what tells
    rows apart; without one, whole rows are compared and none counts as changed.
    """

    name: str
    rows_old: int
    rows_new: int
    key: tuple[str, ...] = ()
    columns_gone: tuple[str, ...] = ()
    columns_added: tuple[str, ...] = ()
    gone: int = 0
    added: int = 0
    changed: int = 0
    same_url: int = 0
    examples_gone: tuple[Example, ...] = ()
    examples_added: tuple[Example, ...] = ()
    examples_changed: tuple[Example, ...] = ()


def diff_tables(
    store: Store, old: Manifest, new: Manifest, num_examples: int
) -> Iterator[TableDiff]:
    """Compare all tables by name; files that both sides hold are not read.

    Raises DamagedArtifact if a table that differs cannot be read.
    """
    before, after = _tables(old), _tables(new)
    for name in sorted({*before, *after}):
        one, other = before.get(name, []), after.get(name, [])
        same = TableDiff(name, sum(e.rows or 0 for e in one), sum(e.rows or 0 for e in other))
        first, second = _without_shared(one, other), _without_shared(other, one)
        try:
            paths = _paths(store, old, first), _paths(store, new, second)
            yield _filled(same, (store, old, new), paths, num_examples) if any(paths) else same
        except (OSError, pa.ArrowException) as error:
            raise DamagedArtifact(
                f"table {name} of {old.label} or {new.label} cannot be read ({error}); expected "
                "the Parquet files that their manifests name. Run the stage again with --force."
            ) from error


def _filled(
    table: TableDiff,
    of: tuple[Store, Manifest, Manifest],
    paths: tuple[Sequence[Path], Sequence[Path]],
    num_examples: int,
) -> TableDiff:
    store, old, new = of
    found = diff_rows(*paths)
    gone, added, changed = _examples(found, *paths, num_examples)
    return replace(
        table,
        key=found.key,
        columns_gone=found.columns_gone,
        columns_added=found.columns_added,
        gone=len(found.gone),
        added=len(found.added),
        changed=len(found.changed[0]),
        same_url=found.same_url,
        examples_gone=_with_urls(store, old, gone),
        examples_added=_with_urls(store, new, added),
        examples_changed=_with_urls(store, new, changed),
    )


def _tables(manifest: Manifest) -> dict[str, list[FileEntry]]:
    """The Parquet files by table: `documents/part-*.parquet` are one, `rejects.parquet` another."""
    tables: dict[str, list[FileEntry]] = {}
    for entry in manifest.files:
        if found := _PART.fullmatch(entry.path) or _TABLE.fullmatch(entry.path):
            tables.setdefault(found[1], []).append(entry)
    return tables


def _without_shared(these: Iterable[FileEntry], others: Iterable[FileEntry]) -> list[FileEntry]:
    """The files whose content the other side does not have: equal files hold equal rows."""
    shared = Counter(entry.sha256 for entry in others)
    kept = []
    for entry in these:
        if shared[entry.sha256]:
            shared[entry.sha256] -= 1
        else:
            kept.append(entry)
    return kept


def _paths(store: Store, manifest: Manifest, entries: Iterable[FileEntry]) -> list[Path]:
    return [store.folder(manifest, entry.path) / entry.path for entry in entries]


def _examples(
    found: RowDiff, old: Sequence[Path], new: Sequence[Path], num: int
) -> tuple[list[Example], list[Example], list[Example]]:
    gone = read_rows(old, found.gone[:num].tolist())
    added = read_rows(new, found.added[:num].tolist())
    before = read_rows(old, found.changed[0][:num].tolist())
    after = read_rows(new, found.changed[1][:num].tolist())
    return (
        [Example(row.get("url"), row, {}) for row in gone],
        [Example(row.get("url"), row, {}) for row in added],
        [
            Example(other.get("url"), other, {n: (a, b) for n, a, b in differences(one, other)})
            for one, other in zip(before, after, strict=True)
        ],
    )


# --- URLs of rows that only have an id --------------------------------------------------------


def _with_urls(
    store: Store, manifest: Manifest, examples: Sequence[Example]
) -> tuple[Example, ...]:
    """Fill in the URLs, looked up in the artifact's own tables and its inputs'."""
    wanted = {_identity(e.row) for e in examples if e.url is None} - {None}
    urls: dict[str, str] = {}
    for holder in _holders(store, manifest) if wanted else ():
        for column, folder in (("document_id", "documents/"), ("page_id", "pages/")):
            for path in store.files(holder, folder):
                urls |= _lookup(path, column, [each for each in wanted if each not in urls])
    return tuple(
        e if e.url is not None else Example(urls.get(_identity(e.row) or ""), e.row, e.changes)
        for e in examples
    )


def _holders(store: Store, manifest: Manifest) -> Iterator[Manifest]:
    yield manifest
    for reference in manifest.inputs.values():
        try:
            yield store.resolve(f"{reference.name}@{reference.version}")
        except PhusaError:
            continue  # no longer in the store: its rows stay without a URL


def _identity(row: Row) -> str | None:
    """The id of the document or page that a row is about; of a sequence, the first document."""
    spans = row.get("spans") or [{}]
    found = row.get("document_id") or row.get("page_id") or spans[0].get("document_id")
    return None if found is None else str(found)


def _lookup(path: Path, column: str, wanted: Sequence[str | None]) -> dict[str, str]:
    if not wanted:
        return {}
    table = pq.read_table(path, columns=[column, "url"])
    rows = table.filter(pc.is_in(table[column], pa.array(wanted))).to_pylist()
    return {row[column]: row["url"] for row in rows}
