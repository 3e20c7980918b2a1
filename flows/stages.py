"""The registry: every stage, in the order in which what they make can follow from each other.

Light to import: no Prefect, no torch. A stage is added by a line here; `tasks/stage.py` says what
it has to have.
"""

from __future__ import annotations

from collections.abc import Iterable

from storage.manifest import InputRef, Manifest
from storage.store import Store
from tasks.artifacts import TYPES
from tasks.artifacts.artifact import PLAIN, Artifact, ArtifactType
from tasks.clean import config as clean
from tasks.crawl import config as crawl
from tasks.dedup import config as dedup
from tasks.finetune import config as finetune
from tasks.pretrain import config as pretrain
from tasks.quality import config as quality
from tasks.shard import config as shard
from tasks.stage import Stage
from tasks.tokenizer import config as tokenizer

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        crawl.STAGE,
        clean.STAGE,
        quality.STAGE,
        dedup.STAGE,
        tokenizer.STAGE,
        shard.STAGE,
        pretrain.STAGE,
        finetune.STAGE,
    )
}


def type_of(manifest: Manifest) -> ArtifactType:
    """Give an artifact's type; a plain one if neither its stage nor its type is known here."""
    stage = STAGES.get(manifest.stage)
    return stage.output if stage else TYPES.get(manifest.type, PLAIN)


def open_artifact(store: Store, manifest: Manifest) -> Artifact:
    """Open an artifact as its type sees it."""
    return Artifact(store, manifest, type_of(manifest), open_artifact)


def inputs_by(manifest: Manifest, port: str) -> list[InputRef]:
    """List the inputs that came by a port, as far as the artifact's stage is known."""
    stage = STAGES.get(manifest.stage)
    found = stage.port(port) if stage else None
    return [ref for key, ref in manifest.inputs.items() if found and found.holds(key)]


def in_order(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Sort by stage, then oldest first; but what was made from others always comes after them.

    Artifacts of unknown stages come as late as that allows.
    """
    place = {name: at for at, name in enumerate(STAGES)}
    ranked = sorted(manifests, key=lambda m: (place.get(m.stage, len(place)), m.version))
    by_label, found = {m.label: m for m in ranked}, dict[str, Manifest]()

    def add(manifest: Manifest) -> None:
        for reference in manifest.inputs.values():
            if reference.label in by_label and reference.label not in found:
                add(by_label[reference.label])
        found[manifest.label] = manifest

    for manifest in ranked:
        if manifest.label not in found:
            add(manifest)
    return list(found.values())
