"""Whether what was sealed is still there, whole and unaltered, and what hangs on what is not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from storage.errors import PhusaError
from storage.layout import data_key
from storage.lineage import below
from storage.manifest import FileEntry, Manifest, content_digest
from storage.store import Store


@dataclass(frozen=True)
class Damage:
    """One artifact with something wrong, and the artifacts that were made from it."""

    label: str
    findings: tuple[str, ...]
    touched: tuple[str, ...]


def verify(
    store: Store,
    wanted: Callable[[Manifest], bool] = lambda manifest: True,
    *,
    deep: bool = False,
    advance: Callable[[Manifest], None] = lambda manifest: None,
) -> list[Damage]:
    """Look at sealed artifacts: every file there and of its size; `deep` reads and hashes them.

    Unreadable manifests are always reported, whatever is `wanted`.
    """
    sealed: list[Manifest] = []
    found: list[tuple[str, tuple[str, ...]]] = []
    for name in store.names():
        for version, manifest in store.scan_versions(name):
            if isinstance(manifest, Manifest):
                sealed.append(manifest)
            elif manifest is not None:
                found.append((f"{name}@{version}", (str(manifest),)))
    for manifest in filter(wanted, sealed):
        findings = tuple(_findings(store, manifest, deep))
        if findings:
            found.append((manifest.label, findings))
        advance(manifest)
    damage = []
    for label, findings in found:
        touched = {node.label for _, node in below(label, sealed).walk()} - {label}
        damage.append(Damage(label, findings, tuple(sorted(touched))))
    return damage


def _findings(store: Store, manifest: Manifest, deep: bool) -> Iterator[str]:
    if content_digest(manifest.files) != manifest.digest:
        yield "manifest: its list of files does not give its content digest; it was altered"
    damaged = store.damage(manifest)
    yield from damaged
    missing = {line.partition(": ")[0] for line in damaged}
    for entry in manifest.files if deep else ():
        if entry.path not in missing:
            yield from _altered(store, manifest, entry)


def _altered(store: Store, manifest: Manifest, entry: FileEntry) -> Iterator[str]:
    digest = hashlib.sha256()
    try:
        key = f"{data_key(manifest.name, manifest.version)}/{entry.path}"
        for chunk in store.backend.chunks(key):
            digest.update(chunk)
    except (OSError, PhusaError) as error:
        yield f"{entry.path}: cannot be read ({error})"
        return
    found = digest.hexdigest()
    if found != entry.sha256:
        yield f"{entry.path}: altered; sha256 {found[:12]}, expected {entry.sha256[:12]}"
