"""New versions without what was taken down, each made once and after those that it is made from.

The crawl and the cleaning are filtered, so that nothing is fetched or extracted anew; what follows
is built by the stage's own flow, as the next run would; adapters lose their quotations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pyarrow as pa
from pydantic import ValidationError

from flows.forget.rewriting import REWRITTEN_FROM, Rewriter, config_of
from flows.holding import Search
from storage import takedown
from storage.errors import (
    CorpusTooSmall,
    DamagedArtifact,
    GateFailed,
    NothingLeft,
    UnknownArtifact,
)
from storage.manifest import Manifest
from storage.store import Store
from tasks.config import Config

REWRITTEN = ("crawl", "clean", "quality", "dedup", "tokenizer", "shard", "finetune")
"""The stages of which new versions are made, in order. Base models are marked, and stay."""

Build = Callable[[Manifest, Config, Mapping[str, Manifest]], Manifest]
"""Builds a version like that one, with this configuration, from these inputs."""


class CannotRewrite(Exception):
    """There is no version without what was taken down.

    `is_damaged`: not because none can be, but because what it would be made from is broken.
    """

    def __init__(self, why: str, *, is_damaged: bool = False) -> None:
        super().__init__(why)
        self.is_damaged = is_damaged


class Successors:
    """Of each version the one that takes its place: another, or itself where nothing changes.

    `search` knows all takedowns: what is made anew leaves out everything that was ever taken down.
    `held` are the labels of those versions that the one being purged is in.
    """

    def __init__(
        self,
        store: Store,
        search: Search,
        held: Iterable[str],
        manifests: Iterable[Manifest],
        build: Build,
    ) -> None:
        self._store, self._search, self._build = store, search, build
        self._held = frozenset(held)
        self._rewriter = Rewriter(store, search)
        self._earlier = {
            str(m.stats[REWRITTEN_FROM]): m for m in manifests if REWRITTEN_FROM in m.stats
        }
        self._known = takedown.read(store.backend)
        self._of: dict[str, Manifest] = {}
        self._of_content: dict[tuple[str, str], Manifest] = {}
        self.made: dict[str, Manifest] = {}
        """By the label of what it takes the place of; also what a killed attempt had made."""
        self.failed: dict[str, CannotRewrite] = {}

    def of(self, manifest: Manifest) -> Manifest:
        """The version that takes its place. Raises CannotRewrite."""
        label = manifest.label
        if label in self.failed:
            raise self.failed[label]
        if label not in self._of:
            try:
                self._of[label] = self._find(manifest)
            except CannotRewrite as error:
                self.failed[label] = error
                raise
            if self._of[label].label != label:
                self.made[label] = self._of[label]
                self._of_content[manifest.name, manifest.digest] = self._of[label]
        return self._of[label]

    def _find(self, old: Manifest) -> Manifest:
        earlier = self._earlier.get(old.label)
        if earlier is not None and self._store.is_whole(earlier):
            if old.name == "finetune":  # a kill may have come between the two
                takedown.carry_marks(self._store.backend, old, earlier)
            return self.of(earlier)
        is_held = self._is_held(old)
        try:
            inputs = self._inputs(old)
        except CannotRewrite:
            if is_held:
                raise
            return old
        is_changed = any(new.digest != old.inputs[name].digest for name, new in inputs.items())
        if not is_held and not is_changed:
            return old
        gone = [m.label for m in (old, *inputs.values()) if not self._store.is_whole(m)]
        if gone:
            if not is_held:
                return old
            raise CannotRewrite(f"{', '.join(gone)} is damaged or gone", is_damaged=True)
        made = self._make(old, inputs)
        assert not self._search.ids(made), f"{made.label} still holds what was taken down"
        return made

    def _is_held(self, manifest: Manifest) -> bool:
        if manifest.label in self._held:
            return True
        recorded = self._known.held_by([manifest])
        return bool(recorded) and not self._store.is_whole(manifest)

    def _inputs(self, old: Manifest) -> dict[str, Manifest]:
        """What the new version is made from.

        A tokenizer that was trained on the very documents goes with them; one that was chosen by
        hand (`--input`) stays as it was.
        """
        if old.name == "finetune":
            return {}
        found = {}
        for name, reference in old.inputs.items():
            try:
                source = self._store.manifest(reference.name, reference.version)
            except (UnknownArtifact, DamagedArtifact) as error:
                raise CannotRewrite(f"{reference.label} is gone", is_damaged=True) from error
            is_own = name != "tokenizer" or source.inputs["dedup"].digest == _dedup(old)
            same = self._of_content.get((reference.name, source.digest))
            found[name] = (same or self.of(source)) if is_own else source
        return found

    def _make(self, old: Manifest, inputs: Mapping[str, Manifest]) -> Manifest:
        try:
            if old.name == "crawl":
                return self._rewriter.crawl(old)
            if old.name == "clean":
                return self._rewriter.clean(old, inputs["crawl"])
            if old.name == "finetune":
                return self._rewriter.finetune(old)
            return self._build(old, config_of(old), inputs)
        except ValidationError as error:
            why = f"its configuration cannot be read any more ({error.errors()[0]['msg']})"
            raise CannotRewrite(why) from error
        except (NothingLeft, CorpusTooSmall, GateFailed) as error:
            raise CannotRewrite(str(error)) from error
        except (DamagedArtifact, pa.ArrowException) as error:
            raise CannotRewrite(str(error), is_damaged=True) from error


def _dedup(shard: Manifest) -> str | None:
    reference = shard.inputs.get("dedup")
    return None if reference is None else reference.digest
