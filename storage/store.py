"""The artifact store: immutable, named, versioned artifacts, each sealed by its manifest.

`storage/layout.py` says where everything lies, docs/storage.md why. A crash before the manifest
leaves nothing visible; a crash between manifest and reference leaves a complete version that the
next attempt's reference passes over. Two attempts at one fingerprint end with one artifact: on one
host a lock lets the second wait, across hosts a lease does, and where neither reaches, the
reference's compare-and-swap decides and the loser adopts the winner.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from storage import layout, lease
from storage.aliases import Aliases
from storage.backends import Backend, open_backend
from storage.cache import Cache, cache_root, touch
from storage.errors import (
    DamagedArtifact,
    Fault,
    PhusaError,
    RequestError,
    UnknownArtifact,
    suggestion,
)
from storage.files import write_whole
from storage.manifest import Manifest
from storage.workspace import Workspace


class Reference(NamedTuple):
    """What `[RECIPE/]NAME[@WANTED]` says; what it leaves out is empty."""

    recipe: str
    name: str
    wanted: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as people write it."""
        owner, _, wanted = text.partition("@")
        recipe, _, name = owner.rpartition("/")
        return cls(recipe, name, wanted)

    def admits(self, manifest: Manifest) -> bool:
        """Say whether an artifact is of this name and, where one is named, recipe."""
        return manifest.name == self.name and self.recipe in ("", manifest.run.recipe)


class Store:
    """Artifacts at one address: a folder, or `s3://bucket/prefix`."""

    def __init__(self, address: Path | str, *, backend: Backend | None = None) -> None:
        self.backend = backend or open_backend(address)
        self.address = self.backend.address
        self.aliases = Aliases(self.backend)
        identity = hashlib.sha256(self.address.encode()).hexdigest()[:16]
        self.cache = Cache(cache_root(), identity)

        def here(name: str) -> Path:
            """A folder on this machine: in the store if that is a folder, else beside the cache."""
            inside = self.backend.local_path(name)
            return inside if inside is not None else cache_root() / name / identity

        self.work = here("work")
        # Event files of training: to be watched while it goes on, and no artifact's.
        self.tensorboard = here("tensorboard")

    # --- looking up ---------------------------------------------------------------------------

    def find(self, stage: str, fingerprint: str) -> Manifest | None:
        """The sealed artifact of this fingerprint, or None if there is none that is whole."""
        reference = self.backend.read(layout.recipe_key(stage, fingerprint))
        if not reference:  # emptied where gc took the version
            return None
        try:
            manifest = self.manifest(*layout.label_of(reference, stage).split("@", 1))
        except (UnknownArtifact, DamagedArtifact, ValueError):  # ValueError: no version's name
            return None
        return manifest if self.is_whole(manifest) else None

    def manifest(self, name: str, version: str) -> Manifest:
        """The manifest of one version, also of one whose data was collected.

        Raises UnknownArtifact if there is none, DamagedArtifact if it cannot be read.
        """
        data = self.backend.read(layout.manifest_key(name, version))
        manifest = None if data is None else Manifest.parse(data, f"{name}@{version}")
        if manifest is None:
            raise UnknownArtifact(self._unknown(name, version))
        return manifest

    def resolve(
        self, reference: str, recipe: str | None = None, *, near: str | None = None
    ) -> Manifest:
        """`NAME`, `NAME@latest`, `NAME@ALIAS` or `NAME@VERSION` (a unique beginning is enough),
        each with `RECIPE/` before it where only what that recipe made is meant.

        `recipe` restricts them so where the reference does not; `near` is the recipe that is meant
        where several made something of a bare name. Raises UnknownArtifact, and RequestError where
        a bare name means artifacts of several recipes.
        """
        owner, name, wanted = Reference.parse(reference)
        recipe = owner or recipe
        if wanted in ("", "latest"):
            manifest = self.latest(name, recipe or self._meant(name, near))
            if manifest is None:
                raise UnknownArtifact(self._unknown(name, "latest", recipe))
            return manifest
        if wanted[0].isalpha():
            held = self.aliases.read().holder(name, wanted)
            manifest = None if held is None else self.manifest(name, held)
            if manifest is None or recipe not in (None, manifest.run.recipe):
                raise UnknownArtifact(self._unknown(name, wanted, recipe))
            return manifest
        matches = [v for v in self._candidates(name) if v.startswith(wanted)]
        if len(matches) > 1:
            keys = [layout.manifest_key(name, version) for version in matches]
            found = zip(matches, self.backend.read_all(keys), strict=True)
            matches = [version for version, data in found if data is not None]
        if recipe is not None:
            matches = [v for v in matches if self.manifest(name, v).run.recipe == recipe]
        if len(matches) != 1:
            raise UnknownArtifact(self._unknown(name, wanted, recipe, several=matches))
        return self.manifest(name, matches[0])

    def recipes(self, name: str) -> dict[str, Manifest]:
        """The newest sealed artifact of `name` of each recipe that made one."""
        return {m.run.recipe: m for m in self.scan(name) if isinstance(m, Manifest)}

    def _meant(self, name: str, near: str | None) -> str | None:
        """The recipe that a bare name means; None if only one made something of it."""
        recipes = self.recipes(name)
        if len(recipes) > 1 and near not in recipes:
            raise ambiguous(name, recipes)
        return near if len(recipes) > 1 else None

    def latest(
        self, name: str, recipe: str | None = None, before: Manifest | None = None
    ) -> Manifest | None:
        """The newest whole version of `name` (made earlier than `before`), or None."""
        for version in reversed(self._candidates(name)):
            if before is not None and version >= before.version:
                continue
            try:
                manifest = self.manifest(name, version)
            except (UnknownArtifact, DamagedArtifact):
                continue
            if recipe in (None, manifest.run.recipe) and not self.damage(manifest):
                return manifest
        return None

    def names(self) -> list[str]:
        return self.backend.children("versions")

    def versions(self, name: str) -> list[str]:
        """All sealed versions of `name` that still have their data, oldest first."""
        return [version for version, found in self.scan_versions(name) if found is not None]

    def manifests(self) -> Iterator[Manifest]:
        """Every sealed artifact that can be read, by name, then oldest first."""
        return (found for found in self.scan() if isinstance(found, Manifest))

    def scan(self, name: str | None = None) -> Iterator[Manifest | PhusaError]:
        """Every sealed artifact, or, where its manifest cannot be read, what is wrong with it."""
        for each in self.names() if name is None else [name]:
            yield from (found for _, found in self.scan_versions(each) if found is not None)

    def scan_versions(self, name: str) -> Iterator[tuple[str, Manifest | PhusaError | None]]:
        """Versions that have a folder and no tombstone, oldest first: each with its manifest, or
        what is wrong with it; None: never sealed."""
        versions = self._candidates(name)
        keys = [layout.manifest_key(name, version) for version in versions]
        for version, data in zip(versions, self.backend.read_all(keys), strict=True):
            try:
                yield version, None if data is None else Manifest.parse(data, f"{name}@{version}")
            except (DamagedArtifact, RequestError) as error:
                yield version, error

    def unsealed(self, name: str) -> list[str]:
        """Versions of `name` that have a folder and were never sealed, oldest first."""
        return [version for version, found in self.scan_versions(name) if found is None]

    def _candidates(self, name: str) -> list[str]:
        """Versions that have a folder and no tombstone; not all of them are sealed."""
        gone = {file.removesuffix(".json") for file in self.backend.children(f"tombstones/{name}")}
        return [v for v in self.backend.children(f"versions/{name}") if v not in gone]

    # --- files --------------------------------------------------------------------------------

    def damage(self, manifest: Manifest) -> list[str]:
        """What is missing or of the wrong size among the artifact's files, one line each."""
        sizes = self.backend.sizes(layout.data_key(manifest.name, manifest.version))
        found = []
        for entry in manifest.files:
            size = sizes.get(entry.path)
            if size != entry.size:
                state = "missing" if size is None else f"{size} bytes, expected {entry.size}"
                found.append(f"{entry.path}: {state}")
        return found

    def is_whole(self, manifest: Manifest) -> bool:
        """Whether all files are there, and gc has not begun to take them."""
        gone = self.backend.read(layout.tombstone_key(manifest.name, manifest.version))
        return gone is None and not self.damage(manifest)

    def folder(self, manifest: Manifest, prefix: str = "") -> Path:
        """The local folder that holds the artifact's files under `prefix`, laid out as sealed.

        On a remote store they are fetched first, each verified by its sha256, and cached.
        """
        key = layout.data_key(manifest.name, manifest.version)
        local = self.backend.local_path(key)
        if local is not None:
            return local
        view = self.cache.view(manifest.name, manifest.version)
        touch(view)
        for entry in manifest.files:
            if entry.path.startswith(prefix):
                self.cache.place(view, entry, partial(self._chunks, f"{key}/{entry.path}"))
        return view

    def _chunks(self, key: str) -> Iterator[bytes]:
        try:
            yield from self.backend.chunks(key)
        except FileNotFoundError as error:
            raise DamagedArtifact(
                f"{key} is not in {self.address}; expected the file that its manifest names. "
                "`phusa verify` lists all damage; run the stage again with --force."
            ) from error

    def files(self, manifest: Manifest, prefix: str) -> list[Path]:
        """Local paths of the artifact's files under `prefix`, sorted by name."""
        folder = self.folder(manifest, prefix)
        return [folder / e.path for e in manifest.files if e.path.startswith(prefix)]

    # --- building -----------------------------------------------------------------------------

    @contextmanager
    def building(
        self,
        stage: str,
        fingerprint: str,
        uses: Sequence[str] = (),
        waiting: Callable[[str], None] = lambda holder: None,
    ) -> Iterator[Workspace]:
        """Hold the build of one fingerprint and yield its workspace, as an earlier kill left it.

        Waits while another process builds the same thing, saying once to `waiting` which; the
        caller asks `find` again once inside. `uses` are the labels of the versions that it reads,
        which gc leaves alone meanwhile. Raises UnknownArtifact if gc has begun to take one.
        """
        folder = self.work / stage
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{fingerprint}.lock")
        key = layout.lease_key(stage, fingerprint)
        said = set[str]()

        def say(holder: str) -> None:
            if not said:
                waiting(holder)
            said.add(holder)

        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(str(lease.parse(self.backend.read(key)) or "another process on this host"))
            lock.acquire()
        try:
            held = lease.holding(
                self.backend, key, self._place(), uses, waiting=lambda other: say(str(other))
            )
            with held:
                self._check_kept(uses)
                workspace = Workspace(folder / fingerprint)
                workspace.begin_attempt()
                yield workspace
        finally:
            lock.release()

    def _place(self) -> str:
        """Names this work folder among those of all hosts."""
        file = self.work / "id"
        with FileLock(self.work / ".id.lock"):
            if not file.exists():
                write_whole(file, uuid.uuid4().hex.encode())
        return file.read_text()

    def _check_kept(self, uses: Sequence[str]) -> None:
        """After the lease is taken: gc marks first and reads leases then, so one sees the other.

        Tombstones are read last: gc takes a mark off only when the version's tombstone stands.
        """
        marked = self.aliases.read().going()
        stones = [layout.tombstone_key(*label.split("@", 1)) for label in uses]
        buried = self.backend.read_all(stones)
        taken = [u for u, s in zip(uses, buried, strict=True) if u in marked or s is not None]
        if taken:
            raise UnknownArtifact(
                Fault(
                    f"store {self.address}",
                    f"{', '.join(sorted(taken))} being collected by gc, or collected",
                    "inputs that stay",
                    "When gc is done (`phusa gc --yes` ends one that was killed), run the recipe "
                    "again without --only or --from: it builds them anew.",
                    "collected",
                )
            )

    # --- messages -----------------------------------------------------------------------------

    def _unknown(
        self, name: str, version: str, recipe: str | None = None, several: Sequence[str] = ()
    ) -> Fault:
        versions, names = self.versions(name), self.names()
        known = ", ".join(versions[-5:]) if versions else "no version of it"
        if not versions and names:
            known += f"; names held: {', '.join(names)}"
        aliases = sorted(self.aliases.read().moves.get(name, {}))
        if aliases:
            known += f"; aliases: {', '.join(aliases)}"
        expected = f"one that the store holds ({known})"
        made_by = f" made by recipe {recipe!r}" if recipe else ""
        found = f"no artifact {name}@{version}{made_by}"
        code, remedy = (
            "unknown_artifact",
            "`phusa artifacts` lists them; `phusa run RECIPE` makes them.",
        )
        if not versions:
            remedy = suggestion(name, names, remedy)
        elif version[0].isalpha() and version != "latest":
            code, remedy = "unknown_alias", suggestion(version, aliases, remedy)
        elif version != "latest":
            code, remedy = "unknown_version", suggestion(version, versions[::-1], remedy)
        if several:
            code = "ambiguous_version"
            found = f"{len(several)} versions that begin so: {', '.join(several[-5:])}"
            expected = "one unique beginning of a version"
        elif self.backend.read(layout.tombstone_key(name, version)) is not None:
            found, code = f"{name}@{version} was collected by gc or taken down", "collected"
        return Fault(
            where=f"store {self.address}",
            found=found,
            expected=expected,
            remedy=remedy,
            code=code,
        )


def ambiguous(name: str, recipes: Mapping[str, Manifest]) -> RequestError:
    """The error for a bare name that means artifacts of several recipes."""
    known = sorted(recipes)
    found = ", ".join(f"{recipe}/{name} (the newest: {recipes[recipe].label})" for recipe in known)
    remedy = f"Write {' or '.join(f'{recipe}/{name}' for recipe in known)}, or name a version."
    where, expected = f"{name!r}", "a name that one recipe alone made something of"
    return RequestError(
        Fault(
            where,
            f"artifacts of {len(known)} recipes: {found}",
            expected,
            remedy,
            "ambiguous_recipe",
        )
    )
