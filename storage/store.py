"""The artifact store: immutable, named, versioned artifacts, each sealed by its manifest.

    versions/{name}/{version}/data/**         immutable, unique to one attempt
    versions/{name}/{version}/manifest.json   written last, create-only: this is the commit
    refs/recipes/{name}/{fingerprint}         -> version: the cache index
    work/{name}/{fingerprint}/                resumable scratch, never an input
    work/{name}/{fingerprint}.lock            held by the process that builds

A crash before the manifest leaves nothing visible; a crash between manifest and reference leaves a
complete version that `commit` of the next attempt supersedes. Two attempts at one fingerprint end
with one artifact: the lock lets the second one wait, and where locks do not reach (another host),
the reference's compare-and-swap decides and the loser adopts the winner.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import JsonValue, ValidationError

from storage.backends import Backend, LocalBackend
from storage.errors import DamagedArtifact, Fault, UnknownArtifact
from storage.manifest import (
    CodeRef,
    InputRef,
    Manifest,
    RunRef,
    content_digest,
    utc_now,
)
from storage.workspace import Workspace


@dataclass(frozen=True)
class Draft:
    """Everything about an artifact but its files and its version."""

    name: str
    fingerprint: str
    config: Mapping[str, JsonValue]
    inputs: Mapping[str, InputRef]
    rows_in: int
    rows_out: int
    stats: Mapping[str, JsonValue]
    code: CodeRef
    run: RunRef


class Store:
    """Artifacts under one root folder."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        self._backend: Backend = LocalBackend(self.root)

    # --- looking up ---------------------------------------------------------------------------

    def find(self, name: str, fingerprint: str) -> Manifest | None:
        """The sealed artifact of this fingerprint, or None if there is none that is whole."""
        version = self._backend.read(_recipe_key(name, fingerprint))
        if version is None:
            return None
        try:
            manifest = self.manifest(name, version.decode())
        except (UnknownArtifact, DamagedArtifact, ValueError):  # ValueError: no version's name
            return None
        return None if self.damage(manifest) else manifest

    def manifest(self, name: str, version: str) -> Manifest:
        """The manifest of one version.

        Raises UnknownArtifact if there is none, DamagedArtifact if it cannot be read.
        """
        data = self._backend.read(f"{_version_key(name, version)}/manifest.json")
        if data is None:
            raise UnknownArtifact(self._unknown(name, version))
        try:
            return Manifest.model_validate_json(data)
        except ValidationError as error:
            raise DamagedArtifact(
                f"the manifest of {name}@{version} under {self.root} cannot be read "
                f"({error.error_count()} faults, the first: {error.errors()[0]['msg']}); expected "
                "a manifest of this phusa version. Remove that version's folder and run again."
            ) from error

    def resolve(self, reference: str, recipe: str | None = None) -> Manifest:
        """`NAME`, `NAME@latest` or `NAME@VERSION` (a unique beginning is enough) to its manifest.

        `recipe` restricts the latest version to those that this recipe made.
        """
        name, _, wanted = reference.partition("@")
        if wanted in ("", "latest"):
            manifest = self.latest(name, recipe)
            if manifest is None:
                raise UnknownArtifact(self._unknown(name, "latest", recipe))
            return manifest
        matches = [v for v in self.versions(name) if v.startswith(wanted)]
        if len(matches) != 1:
            raise UnknownArtifact(self._unknown(name, wanted))
        return self.manifest(name, matches[0])

    def latest(self, name: str, recipe: str | None = None) -> Manifest | None:
        """The newest whole version of `name`, or None."""
        for version in reversed(self.versions(name)):
            try:
                manifest = self.manifest(name, version)
            except DamagedArtifact:
                continue
            if recipe in (None, manifest.run.recipe) and not self.damage(manifest):
                return manifest
        return None

    def names(self) -> list[str]:
        return list(self._backend.children("versions"))

    def versions(self, name: str) -> list[str]:
        """All sealed versions of `name`, oldest first."""
        found = self._backend.children(f"versions/{name}")
        key = f"versions/{name}"
        return [v for v in found if self._backend.size(f"{key}/{v}/manifest.json") is not None]

    def manifests(self) -> Iterator[Manifest]:
        """Every sealed artifact, by name, then oldest first."""
        for name in self.names():
            for version in self.versions(name):
                yield self.manifest(name, version)

    def damage(self, manifest: Manifest) -> list[str]:
        """What is missing or of the wrong size among the artifact's files, one line each."""
        found = []
        for entry in manifest.files:
            size = self._backend.size(f"{_data_key(manifest)}/{entry.path}")
            if size != entry.size:
                state = "missing" if size is None else f"{size} bytes, expected {entry.size}"
                found.append(f"{entry.path}: {state}")
        return found

    def folder(self, manifest: Manifest) -> Path:
        """The local folder that holds the artifact's data files."""
        return self._backend.local_path(_data_key(manifest))

    def files(self, manifest: Manifest, prefix: str) -> list[Path]:
        """Local paths of the artifact's files under `prefix`, sorted by name."""
        folder = self.folder(manifest)
        return [folder / e.path for e in manifest.files if e.path.startswith(prefix)]

    # --- building -----------------------------------------------------------------------------

    @contextmanager
    def building(self, name: str, fingerprint: str) -> Iterator[Workspace]:
        """Hold the build of one fingerprint and yield its workspace, as an earlier kill left it.

        Waits while another process on this host builds the same thing; the caller asks `find`
        again once inside.
        """
        work = self.root / "work" / name
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(work / f"{fingerprint}.lock"):
            workspace = Workspace(work / fingerprint)
            workspace.begin_attempt()
            yield workspace

    def is_being_built(self, name: str, fingerprint: str) -> bool:
        """Whether another process on this host holds the build at this moment."""
        lock = self.root / "work" / name / f"{fingerprint}.lock"
        if not lock.exists():
            return False
        try:
            with FileLock(lock, timeout=0):
                return False
        except Timeout:
            return True

    def commit(self, workspace: Workspace, draft: Draft, *, replace: bool = False) -> Manifest:
        """Seal the workspace's finished files as a new version and drop the workspace.

        `replace` swaps the reference even if another whole version holds it (a forced rebuild);
        otherwise that version is adopted and returned.
        """
        manifest = self._manifest_of(workspace, draft)
        for entry in manifest.files:
            self._backend.put_file(
                f"{_data_key(manifest)}/{entry.path}", workspace.data / entry.path
            )
        key = f"{_version_key(manifest.name, manifest.version)}/manifest.json"
        created = self._backend.create(key, manifest.to_json())
        assert created, f"{key} exists: versions are unique per attempt"
        sealed = self._publish(manifest, replace)
        shutil.rmtree(workspace.root, ignore_errors=True)
        return sealed

    def _publish(self, manifest: Manifest, replace: bool) -> Manifest:
        """Point the recipe's reference at `manifest`, or adopt the version that won."""
        key = _recipe_key(manifest.name, manifest.fingerprint)
        while True:
            present = self._backend.read(key)
            winner = self.find(manifest.name, manifest.fingerprint) if present else None
            if winner is not None and not replace:
                self._withdraw(manifest)
                return winner
            if self._backend.swap(key, manifest.version.encode(), present):
                return manifest

    def _withdraw(self, manifest: Manifest) -> None:
        """Remove a version, its manifest first: a kill midway leaves nothing visible."""
        key = _version_key(manifest.name, manifest.version)
        self._backend.delete(f"{key}/manifest.json")
        self._backend.delete(key)

    def _manifest_of(self, workspace: Workspace, draft: Draft) -> Manifest:
        created = utc_now()
        files = tuple(workspace.entries())
        return Manifest(
            name=draft.name,
            version=_new_version(created),
            fingerprint=draft.fingerprint,
            digest=content_digest(files),
            config=dict(draft.config),
            inputs=dict(draft.inputs),
            files=files,
            rows_in=draft.rows_in,
            rows_out=draft.rows_out,
            stats=dict(draft.stats),
            code=draft.code,
            run=draft.run,
            created=created,
            seconds=round(workspace.seconds(), 3),
        )

    def _unknown(self, name: str, version: str, recipe: str | None = None) -> Fault:
        versions = self.versions(name)
        known = ", ".join(versions[-5:]) if versions else "no version of it"
        if not versions and self.names():
            known += f"; names held: {', '.join(self.names())}"
        made_by = f" made by recipe {recipe!r}" if recipe else ""
        return Fault(
            where=f"store {self.root}",
            found=f"no artifact {name}@{version}{made_by}",
            expected=f"one that the store holds ({known})",
            remedy="`phusa artifacts` lists them; `phusa run RECIPE` makes them.",
        )


def _new_version(created: datetime) -> str:
    """Unique per attempt, and sorted by time: `20261121-021530-123-9f3a`."""
    return f"{created:%Y%m%d-%H%M%S}-{created.microsecond // 1000:03d}-{secrets.token_hex(2)}"


def _version_key(name: str, version: str) -> str:
    return f"versions/{name}/{version}"


def _data_key(manifest: Manifest) -> str:
    return f"{_version_key(manifest.name, manifest.version)}/data"


def _recipe_key(name: str, fingerprint: str) -> str:
    return f"refs/recipes/{name}/{fingerprint}"
