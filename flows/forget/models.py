"""Which models learnt from content that was taken down, and how much of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.pretrain.trace import trace_document

from flows.holding import Search
from flows.trace.page import reading_of
from storage import takedown
from storage.errors import DamagedArtifact, UnknownArtifact
from storage.manifest import Manifest
from storage.store import Store
from storage.takedown import Takedown


@dataclass(frozen=True)
class Saw:
    """What a model saw: documents (a tokenizer), tokens (a base model), pairs and, through its
    base, tokens (an adapter). What is None was not counted, or cannot be any more.
    """

    artifact: str
    aliases: tuple[str, ...]
    documents: int | None = None
    tokens: int | None = None
    pairs: int | None = None
    base: str | None = None


class Models:
    """Looks for models that saw what was taken down, and marks them."""

    def __init__(self, store: Store, search: Search, taken: Takedown) -> None:
        self._store, self._search, self._takedown = store, search, taken
        self._register = store.aliases.read()
        self._saw: dict[str, Saw] = {}

    def mark(self, manifests: Iterable[Manifest]) -> list[Saw]:
        """Mark those of `manifests` that saw some of it; a model comes after its base.

        A mark that is there stays as it is: what it was counted from may be gone by now.
        """
        found = []
        for manifest in manifests:
            marks = takedown.marks(self._store.backend, manifest)
            before = [m.tokens for m in marks if m.takedown == self._takedown.id]
            saw = self._of(manifest)
            if saw is None and before:
                saw = Saw(manifest.label, self._aliases(manifest), tokens=before[0])
            if saw is not None:
                found.append(saw)
                self._saw[manifest.label] = saw
                if not before:
                    takedown.mark(self._store.backend, manifest, self._takedown, saw.tokens)
        return found

    def _of(self, manifest: Manifest) -> Saw | None:
        ask = {"tokenizer": self._tokenizer, "pretrain": self._pretrain, "finetune": self._finetune}
        return ask[manifest.name](manifest) if manifest.name in ask else None

    def _tokenizer(self, manifest: Manifest) -> Saw | None:
        documents = self._input(manifest, "dedup")
        ids = self._search.ids(documents) if documents is not None else ()
        if not ids:
            return None
        return Saw(manifest.label, self._aliases(manifest), documents=len(ids))

    def _pretrain(self, manifest: Manifest) -> Saw | None:
        sharded = self._input(manifest, "shard")
        if sharded is None:
            return None
        found = self._search.sharded(sharded)
        train = [document for document in found.documents if document.split == "train"]
        if not train:
            return None
        read = reading_of(self._store, manifest, found.train_rows)
        tokens = [
            trace_document(d.document_id, {s.index: s.tokens for s in d.spans}, read).tokens
            for d in train
        ]
        if not sum(tokens):  # its budget ended before
            return None
        aliases, documents = self._aliases(manifest), sum(map(bool, tokens))
        return Saw(manifest.label, aliases, documents=documents, tokens=sum(tokens))

    def _finetune(self, manifest: Manifest) -> Saw | None:
        recorded = any(entry.path == "pairs/steps.parquet" for entry in manifest.files)
        pairs = [
            pair
            for pair in self._search.pairs(manifest)
            if pair.split == "train" and (pair.steps or not recorded)
        ]
        reference = manifest.inputs.get("pretrain")
        base = None if reference is None else self._saw.get(reference.label)
        if not pairs and base is None:
            return None
        return Saw(
            manifest.label,
            self._aliases(manifest),
            tokens=None if base is None else base.tokens,
            pairs=len(pairs),
            base=None if base is None else base.artifact,
        )

    def _input(self, manifest: Manifest, name: str) -> Manifest | None:
        """What it was made from, if that can still be read."""
        reference = manifest.inputs.get(name)
        if reference is None:
            return None
        try:
            found = self._store.manifest(reference.name, reference.version)
        except (UnknownArtifact, DamagedArtifact):
            return None
        return found if self._store.is_whole(found) else None

    def _aliases(self, manifest: Manifest) -> tuple[str, ...]:
        return tuple(self._register.of(manifest.name, manifest.version))
