"""An artifact as a folder that its ecosystem loads: copied, verified, with a card; or nothing."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.export.cards import card
from flows.stages import open_artifact, type_of
from storage import takedown
from storage.errors import DamagedArtifact, Fault, RequestError, os_errors_named, suggestion
from storage.manifest import FileEntry, Manifest
from storage.store import Store
from tasks.artifacts.artifact import ExportForm

_CHUNK_BYTES = 1 << 20
_FREE = "no such path, or an empty folder"
_REFUSALS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}


def export(store: Store, manifest: Manifest, target: Path, form: str = "") -> Path:
    """Lay `manifest`'s files out in `target`, which must not exist or be empty; returns it.

    `form` is one of its type's `forms`, or what loads its own files, which is the default.

    Everything is written beside it first, so a kill leaves no half of it; the next export to the
    same place takes away what is left. Files are copied: a link would let whoever changes the
    folder change the store. Raises RequestError for a target that is taken or cannot be made, for
    an artifact that holds what was taken down and for a form that it cannot have, DamagedArtifact
    if a file is not what the manifest says, StoreFull if the disk is full.
    """
    other = _other_form(manifest, form)
    _check_forgotten(store, manifest)
    target = target.resolve()
    _check_free(target)
    with os_errors_named(target), _appearing(target) as folder:
        if other:
            _check_files(store, manifest)
            type_of(manifest).write_form(open_artifact(store, manifest), form, folder)
        else:
            _copy_files(store, manifest, folder)
        text = card(store, manifest, target.name, other)
        (folder / "README.md").write_text(text, encoding="utf-8")
    return target


def own_form(manifest: Manifest) -> str:
    """Name the form that an artifact's own files have, by what loads them."""
    return type_of(manifest).loader.partition(".")[0]


def _other_form(manifest: Manifest, form: str) -> ExportForm | None:
    own, forms = own_form(manifest), type_of(manifest).forms
    if form in ("", own):
        return None
    if form not in forms:
        known = (own, *forms)
        remedy = suggestion(form, known, "Leave --form out for the first of them.")
        fault = Fault("--form", form, f"one of {', '.join(known)}", remedy, "unknown_form")
        raise RequestError(fault)
    return forms[form]


def _check_files(store: Store, manifest: Manifest) -> None:
    """Read all files, as copying does: who writes another form of them trusts what it reads."""
    for entry in manifest.files:
        source = store.folder(manifest, entry.path) / entry.path
        _read(source, entry, manifest, lambda chunk: None)


def _copy_files(store: Store, manifest: Manifest, folder: Path) -> None:
    root = type_of(manifest).root
    # Tables without a row stay behind: `datasets` 5 cannot read them (ArrowInvalid).
    files = {e.path.removeprefix(root): e for e in manifest.files if e.rows != 0}
    for path, entry in sorted(files.items()):
        source = store.folder(manifest, entry.path) / entry.path
        _copy(source, folder / path, entry, manifest)


def _check_forgotten(store: Store, manifest: Manifest) -> None:
    held = takedown.read(store.backend).held_by([manifest])
    if held:
        remedy = "Run its stage again, which leaves it out, or `phusa forget` it with --purge."
        found = f"content that was taken down: {', '.join(held.rules)}"
        expected = "an artifact without it"
        raise RequestError(Fault(manifest.label, found, expected, remedy, "taken_down"))


def _check_free(target: Path) -> None:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        found = "a folder with files in it" if target.is_dir() else "a file"
        remedy = "Choose another, or remove it."
        raise RequestError(Fault(str(target), found, _FREE, remedy, "not_empty"))


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Make a folder beside `target` that becomes it at the end. One process at a time holds it."""
    folder = target.with_name(f".{target.name}.exporting")
    lock = _open(folder, target)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found, remedy = "another export at work", "Wait for it, or choose another folder."
            raise RequestError(Fault(str(target), found, _FREE, remedy, "not_empty")) from None
        try:
            _clear(folder)
            yield folder
            _check_free(target)
            folder.rename(target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def _open(folder: Path, target: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        found, expected = str(error.strerror), "a folder that can be made"
        remedy = "Choose another place."
        fault = Fault(str(target), found, expected, remedy, "unusable_folder")
        raise RequestError(fault) from error


def _clear(folder: Path) -> None:
    """Take away what a killed export left."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _copy(source: Path, target: Path, entry: FileEntry, manifest: Manifest) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as writing:
        _read(source, entry, manifest, writing.write)


def _read(
    source: Path, entry: FileEntry, manifest: Manifest, give: Callable[[bytes], object]
) -> None:
    """Give a file in chunks. Raises DamagedArtifact if it is not what the manifest says."""
    digest = hashlib.sha256()
    try:
        reading = source.open("rb")
    except FileNotFoundError:
        raise DamagedArtifact(_damage(manifest, entry, "missing")) from None
    with reading:
        while chunk := reading.read(_CHUNK_BYTES):
            digest.update(chunk)
            give(chunk)
    if digest.hexdigest() != entry.sha256:
        found = f"sha256 {digest.hexdigest()[:12]}"
        raise DamagedArtifact(_damage(manifest, entry, found))


def _damage(manifest: Manifest, entry: FileEntry, found: str) -> str:
    return (
        f"{entry.path} of {manifest.label}: {found}; expected sha256 {entry.sha256[:12]}. "
        "Run the stage again with --force, or export another version."
    )
