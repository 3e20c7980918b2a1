"""What leans on an artifact, so that it must not go: live builds, and all that was made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from storage import lease
from storage.errors import PhusaError
from storage.manifest import Manifest
from storage.store import Store


def used(store: Store) -> set[str]:
    """The labels of what live builds read.

    To be asked before `by_label`: a build seals first and ends its lease then, so that of the two
    one shows it.
    """
    return {label for held in lease.live(store.backend).values() for label in held.uses}


def by_label(store: Store) -> dict[str, Manifest]:
    """Every sealed artifact. Raises DamagedArtifact or RequestError for one that cannot be read:
    its inputs are not known, and could be taken from under it."""
    found = {}
    for manifest in store.scan():
        if isinstance(manifest, PhusaError):
            raise manifest
        found[manifest.label] = manifest
    return found


def with_ancestors(store: Store, labels: Iterable[str], sealed: Mapping[str, Manifest]) -> set[str]:
    """`labels` and all they were made from, through versions that are gone themselves too."""
    found: set[str] = set()
    waiting = list(labels)
    while waiting:
        label = waiting.pop()
        if label not in found:
            found.add(label)
            name, _, version = label.partition("@")
            try:
                manifest = sealed.get(label) or store.manifest(name, version)
            except PhusaError:  # nothing is left of it that could be asked
                continue
            waiting += [reference.label for reference in manifest.inputs.values()]
    return found
