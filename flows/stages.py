"""The stages, in the order of the river. Light to import: no Prefect, no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tasks
from storage.manifest import fingerprint
from tasks.clean import config as clean
from tasks.config import Config, identity
from tasks.crawl import config as crawl
from tasks.dedup import config as dedup
from tasks.finetune import config as finetune
from tasks.pretrain import config as pretrain
from tasks.shard import config as shard
from tasks.tokenizer import config as tokenizer


@dataclass(frozen=True)
class Stage:
    """What the planner needs to know of a stage.

    `version` is raised by hand when the same configuration and inputs give another result; `unit`
    names what its rows are.
    """

    name: str
    config: type[Config]
    version: int
    inputs: tuple[str, ...]
    unit: str

    def fingerprint(self, config: Config, input_digests: Mapping[str, str]) -> str:
        """The cache key of this stage for a configuration and inputs' content."""
        return fingerprint(self.name, self.version, identity(config), input_digests)


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("crawl", crawl.CrawlConfig, crawl.VERSION, crawl.INPUTS, "pages"),
        Stage("clean", clean.CleanConfig, clean.VERSION, clean.INPUTS, "documents"),
        Stage("dedup", dedup.DedupConfig, dedup.VERSION, dedup.INPUTS, "documents"),
        Stage(
            "tokenizer", tokenizer.TokenizerConfig, tokenizer.VERSION, tokenizer.INPUTS, "entries"
        ),
        Stage("shard", shard.ShardConfig, shard.VERSION, shard.INPUTS, "sequences"),
        Stage("pretrain", pretrain.PretrainConfig, pretrain.VERSION, pretrain.INPUTS, "parameters"),
        Stage("finetune", finetune.FinetuneConfig, finetune.VERSION, finetune.INPUTS, "parameters"),
    )
}


@cache
def source_sha256(name: str) -> str:
    """A digest of the stage's own code, recorded beside each artifact to warn of drift."""
    digest = hashlib.sha256()
    for folder in (name, "lm"):
        for file in sorted((Path(tasks.__path__[0]) / folder).rglob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
