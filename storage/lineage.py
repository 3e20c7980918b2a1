"""Where an artifact came from and what was made of it, read from the manifests alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from storage.errors import PhusaError
from storage.manifest import InputRef, Manifest
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
    """The tree of what `manifest` was made from; what is met on several ways is read once."""
    known: dict[str, Node] = {}

    def above(of: Manifest) -> Node:
        return Node(of.label, of, tuple(map(node, of.inputs.values())))

    def node(reference: InputRef) -> Node:
        if reference.label not in known:
            try:
                known[reference.label] = above(store.manifest(reference.name, reference.version))
            except PhusaError:  # not there, damaged, or of a newer phusa
                known[reference.label] = Node(reference.label, None)
        return known[reference.label]

    return above(manifest)


def descendants(store: Store, manifest: Manifest) -> Node:
    """The tree of what was made from `manifest`."""
    return below(manifest.label, list(store.manifests()), manifest)


def below(label: str, everything: Iterable[Manifest], manifest: Manifest | None = None) -> Node:
    """The tree of what was made from the artifact `label`, which may be unreadable itself."""
    manifests = list(everything)
    children = (
        below(other.label, manifests, other)
        for other in manifests
        if any(reference.label == label for reference in other.inputs.values())
    )
    return Node(label, manifest, tuple(children))
