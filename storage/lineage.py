"""Where an artifact came from and what was made of it, read from the manifests alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from storage.errors import DamagedArtifact, UnknownArtifact
from storage.manifest import Manifest
from storage.store import Store


@dataclass(frozen=True)
class Node:
    """One artifact in a tree of artifacts; `manifest` is None if it is no longer in the store."""

    label: str
    manifest: Manifest | None
    children: tuple[Node, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        """This node and all below it, depth first."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


def ancestors(store: Store, manifest: Manifest) -> Node:
    """The tree of what `manifest` was made from."""
    children = []
    for reference in manifest.inputs.values():
        try:
            children.append(ancestors(store, store.manifest(reference.name, reference.version)))
        except (UnknownArtifact, DamagedArtifact):
            children.append(Node(f"{reference.name}@{reference.version}", None))
    return Node(manifest.label, manifest, tuple(children))


def descendants(store: Store, manifest: Manifest) -> Node:
    """The tree of what was made from `manifest`."""
    return _descendants(manifest, list(store.manifests()))


def _descendants(manifest: Manifest, everything: list[Manifest]) -> Node:
    children = (
        _descendants(other, everything)
        for other in everything
        if any(
            (ref.name, ref.version) == (manifest.name, manifest.version)
            for ref in other.inputs.values()
        )
    )
    return Node(manifest.label, manifest, tuple(children))
