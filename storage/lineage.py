"""Where an artifact came from, what was made of it, and what leans on it and so keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from storage import lease
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
