"""What differs between two versions of one artifact: recipe, inputs, code, figures, files, rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flows.diff.tables import TableDiff, diff_tables
from flows.plan import differences
from storage.errors import Fault, RequestError
from storage.manifest import FileEntry, InputRef, Manifest
from storage.store import Store


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
class Diff:
    """Everything that differs; what is the same is left out, except in `tables`."""

    old: str
    new: str
    same_content: bool
    same_recipe: bool
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


def diff(store: Store, old: Manifest, new: Manifest, num_examples: int = 5) -> Diff:
    """Compare two versions, with up to `num_examples` rows of each kind of each table.

    Raises RequestError if they are not versions of one name, DamagedArtifact if a table that
    differs cannot be read.
    """
    if old.name != new.name:
        raise RequestError(
            Fault(
                "phusa diff",
                f"{old.label} and {new.label}",
                "two versions of one artifact",
                f"Compare {old.label} with another version: `phusa artifacts {old.name}`.",
            )
        )
    files = tuple(_file_diffs(old, new))
    return Diff(
        old=old.label,
        new=new.label,
        same_content=old.digest == new.digest,
        same_recipe=old.fingerprint == new.fingerprint,
        digests=(old.digest, new.digest),
        configuration=_changes(old.config, new.config),
        inputs=tuple(_input_diffs(old, new)),
        code=_changes(old.code.model_dump(), new.code.model_dump()),
        figures=_changes(_figures(old), _figures(new)),
        checks=_changes(_checks(old), _checks(new)),
        takedowns=_changes(dict.fromkeys(old.forgotten, True), dict.fromkeys(new.forgotten, True)),
        files=files,
        same_files=len({*_by_path(old), *_by_path(new)}) - len(files),
        tables=tuple(diff_tables(store, old, new, num_examples)),
    )


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    return tuple(
        Change(path, one, other, _difference(one, other))
        for path, one, other in differences(old, new)
    )


def _difference(old: Any, new: Any) -> float | None:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (old, new))
    return new - old if numbers else None


def _figures(manifest: Manifest) -> dict[str, Any]:
    own = {name: getattr(manifest, name) for name in ("rows_in", "rows_out", "seconds")}
    return {**own, "bytes": manifest.num_bytes, **manifest.stats}


def _checks(manifest: Manifest) -> dict[str, Any]:
    return {
        f"{check.measure} ({check.severity})": {"value": check.value, "passed": check.passed}
        for check in manifest.checks
    }


def _input_diffs(old: Manifest, new: Manifest) -> Iterator[InputDiff]:
    for name in sorted({*old.inputs, *new.inputs}):
        one, other = old.inputs.get(name), new.inputs.get(name)
        if one != other:
            same = one is not None and other is not None and one.digest == other.digest
            yield InputDiff(name, _version(one), _version(other), same)


def _version(reference: InputRef | None) -> str | None:
    return None if reference is None else reference.version


def _by_path(manifest: Manifest) -> dict[str, FileEntry]:
    return {entry.path: entry for entry in manifest.files}


def _file_diffs(old: Manifest, new: Manifest) -> Iterator[FileDiff]:
    before, after = _by_path(old), _by_path(new)
    for path in sorted({*before, *after}):
        one, other = before.get(path), after.get(path)
        if one is None or other is None or one.sha256 != other.sha256:
            entries = [entry for entry in (one, other) if entry is not None]
            sizes = (one.size if one else None, other.size if other else None)
            yield FileDiff(path, *sizes, volatile=all(entry.volatile for entry in entries))
