"""What differs between two versions: recipe, inputs, code, figures, files, and the rows of tables.

Counts are in full; of rows the first few are examples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.diff.rows import Positions, Row, diff_rows, read_rows
from flows.plan import differences
from flows.stages import open_artifact
from storage.errors import DamagedArtifact, Fault, RequestError
from storage.manifest import FileEntry, Manifest
from storage.parquet import find_rows
from storage.store import Store
from tasks.artifacts.artifact import Artifact, Finding

_TABLE = re.compile(r"(.+?)(/part-\d+-of-\d+)?\.parquet")


@dataclass(frozen=True)
class Change:
    """One value that is not the same; `change` is the difference of two numbers."""

    name: str
    old: Any
    new: Any
    change: float | None = None


@dataclass(frozen=True)
class InputDiff:
    """One input, in another version, or only on one side (then a version is None)."""

    name: str
    old: str | None
    new: str | None
    same_content: bool


@dataclass(frozen=True)
class FileDiff:
    """One file that is not the same; sizes in bytes, None where there is no such file."""

    path: str
    old: int | None
    new: int | None
    volatile: bool


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


@dataclass(frozen=True)
class Diff:
    """Everything that differs; what is the same is left out, except in `tables`.

    `drift` is what the artifacts' type compares itself.
    """

    old: str
    new: str
    same_content: bool
    same_recipe: bool
    recipes: tuple[str, str]
    digests: tuple[str, str]
    configuration: tuple[Change, ...]
    inputs: tuple[InputDiff, ...]
    code: tuple[Change, ...]
    figures: tuple[Change, ...]
    checks: tuple[Change, ...]
    takedowns: tuple[Change, ...]
    files: tuple[FileDiff, ...]
    same_files: int
    tables: tuple[TableDiff, ...]
    drift: Finding | None = None


def diff(store: Store, old: Manifest, new: Manifest, num_examples: int = 5) -> Diff:
    """Compare two versions, with up to `num_examples` rows of each kind of each table.

    Raises RequestError if they are not of one stage, DamagedArtifact if a table that differs cannot
    be read.
    """
    if old.stage != new.stage:
        raise RequestError(
            Fault(
                "phusa diff",
                f"{old.label} and {new.label}",
                "two versions of one artifact, or of two that the same stage made",
                f"Compare {old.label} with another version: `phusa artifacts {old.name}`.",
                "different_stages",
            )
        )
    files = tuple(_diff_files(old, new))
    sides = open_artifact(store, old), open_artifact(store, new)
    return Diff(
        old=old.label,
        new=new.label,
        same_content=old.digest == new.digest,
        same_recipe=old.fingerprint == new.fingerprint,
        recipes=(old.run.recipe, new.run.recipe),
        digests=(old.digest, new.digest),
        configuration=_changes(old.config, new.config),
        inputs=tuple(_diff_inputs(old, new)),
        code=_changes(old.code.model_dump(), new.code.model_dump()),
        figures=_changes(_figures(old), _figures(new)),
        checks=_changes(_checks(old), _checks(new)),
        takedowns=_changes(dict.fromkeys(old.forgotten, True), dict.fromkeys(new.forgotten, True)),
        files=files,
        same_files=len({e.path for m in (old, new) for e in m.files}) - len(files),
        tables=tuple(_diff_tables(*sides, num_examples)),
        drift=_drift(*sides) if old.digest != new.digest else None,
    )


def _drift(old: Artifact, new: Artifact) -> Finding | None:
    """Compare what their type compares. What lacks files is told by its manifest alone."""
    return new.type.drift(old, new) if old.is_whole() and new.is_whole() else None


# --- what manifests say ---------------------------------------------------------------------------


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    return tuple(
        Change(path, one, other, other - one if _is_number(one) and _is_number(other) else None)
        for path, one, other in differences(old, new)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _figures(manifest: Manifest) -> dict[str, Any]:
    own = {name: getattr(manifest, name) for name in ("rows_in", "rows_out", "seconds")}
    return {**own, "bytes": manifest.num_bytes, **manifest.stats}


def _checks(manifest: Manifest) -> dict[str, Any]:
    return {
        f"{check.measure} ({check.severity})": {"value": check.value, "passed": check.passed}
        for check in manifest.checks
    }


def _diff_inputs(old: Manifest, new: Manifest) -> Iterator[InputDiff]:
    for name in sorted({*old.inputs, *new.inputs}):
        sides = old.inputs.get(name), new.inputs.get(name)
        if sides[0] != sides[1]:
            there = [reference for reference in sides if reference is not None]
            same = len(there) == 2 and there[0].digest == there[1].digest
            alike = len({reference.name for reference in there}) == 1
            one, other = (None if r is None else r.version if alike else r.label for r in sides)
            yield InputDiff(name, one, other, same)


def _diff_files(old: Manifest, new: Manifest) -> Iterator[FileDiff]:
    before, after = ({entry.path: entry for entry in m.files} for m in (old, new))
    for path in sorted({*before, *after}):
        sides = before.get(path), after.get(path)
        there = [entry for entry in sides if entry is not None]
        if len({entry.sha256 for entry in there}) > 1 or len(there) == 1:
            one, other = (None if entry is None else entry.size for entry in sides)
            yield FileDiff(path, one, other, all(entry.volatile for entry in there))


# --- what tables say ------------------------------------------------------------------------------


def _diff_tables(old: Artifact, new: Artifact, num_examples: int) -> Iterator[TableDiff]:
    """Compare all tables by name; files that both sides hold are not read."""
    before, after = _tables(old.manifest), _tables(new.manifest)
    for name in sorted({*before, *after}):
        one, other = before.get(name, []), after.get(name, [])
        same = TableDiff(name, sum(e.rows or 0 for e in one), sum(e.rows or 0 for e in other))
        try:
            paths = _paths(old, one, other), _paths(new, other, one)
            yield _compare(same, (old, new), paths, num_examples) if any(paths) else same
        except (OSError, pa.ArrowException) as error:
            raise DamagedArtifact(
                f"table {name} of {old.label} or {new.label} cannot be read ({error}); expected "
                "the Parquet files that their manifests name. Run the stage again with --force."
            ) from error


def _tables(manifest: Manifest) -> dict[str, list[FileEntry]]:
    """Group Parquet files by table: `documents/part-*.parquet` are one, `rejects.parquet` one."""
    tables: dict[str, list[FileEntry]] = {}
    for entry in manifest.files:
        if found := _TABLE.fullmatch(entry.path):
            tables.setdefault(found[1], []).append(entry)
    return tables


def _paths(
    artifact: Artifact, these: Iterable[FileEntry], others: Iterable[FileEntry]
) -> list[Path]:
    """List the files whose content the other side does not have: equal files hold equal rows."""
    shared = Counter(entry.sha256 for entry in others)
    paths = []
    for entry in these:
        if shared[entry.sha256]:
            shared[entry.sha256] -= 1
        else:
            paths.append(artifact.folder(entry.path) / entry.path)
    return paths


def _compare(
    table: TableDiff,
    of: tuple[Artifact, Artifact],
    paths: tuple[Sequence[Path], Sequence[Path]],
    num_examples: int,
) -> TableDiff:
    found = diff_rows(*paths)

    def rows(side: int, positions: Positions) -> list[Row]:
        return read_rows(paths[side], positions[:num_examples].tolist())

    changed = [
        Example(new.get("url"), new, {n: (a, b) for n, a, b in differences(old, new)})
        for old, new in zip(*(rows(side, found.changed[side]) for side in (0, 1)), strict=True)
    ]
    gone, added = (
        [Example(row.get("url"), row, {}) for row in rows(side, positions)]
        for side, positions in enumerate((found.gone, found.added))
    )
    return replace(
        table,
        key=found.key,
        columns_gone=found.columns_gone,
        columns_added=found.columns_added,
        gone=len(found.gone),
        added=len(found.added),
        changed=len(found.changed[0]),
        same_url=found.same_url,
        examples_gone=_with_urls(of[0], gone),
        examples_added=_with_urls(of[1], added),
        examples_changed=_with_urls(of[1], changed),
    )


def _with_urls(artifact: Artifact, examples: Sequence[Example]) -> tuple[Example, ...]:
    """Fill in URLs of rows that only have an id, from the artifact's own tables or its inputs'."""
    wanted = {_identity(example.row) for example in examples if example.url is None} - {None}
    urls: dict[str | None, str] = {}
    for holder in (artifact, *artifact.inputs()) if wanted else ():
        if holder is not artifact and not holder.is_whole():
            continue  # no longer in the store: its rows stay without a URL
        for column, folder in (("document_id", "documents/"), ("page_id", "pages/")):
            left = {identity for identity in wanted if identity is not None} - urls.keys()
            rows = find_rows(holder.files(folder), column, left, (column, "url")) if left else []
            urls |= {row[column]: row["url"] for row in rows}
    return tuple(
        replace(one, url=urls.get(_identity(one.row))) if one.url is None else one
        for one in examples
    )


def _identity(row: Row) -> str | None:
    """Give the id of the document or page that a row is about; of a sequence, the first one's."""
    spans = row.get("spans") or [{}]
    found = row.get("document_id") or row.get("page_id") or spans[0].get("document_id")
    return None if found is None else str(found)
