"""The stages, in the order of the river. Light to import: no Prefect, no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tasks
from storage.manifest import CheckResult, Manifest, fingerprint, utc_now
from tasks.checks import Check, Made, is_taken, judge
from tasks.clean import checks as clean_checks
from tasks.clean import config as clean
from tasks.config import Config, identity
from tasks.crawl import checks as crawl_checks
from tasks.crawl import config as crawl
from tasks.dedup import checks as dedup_checks
from tasks.dedup import config as dedup
from tasks.finetune import checks as finetune_checks
from tasks.finetune import config as finetune
from tasks.pretrain import checks as pretrain_checks
from tasks.pretrain import config as pretrain
from tasks.quality import checks as quality_checks
from tasks.quality import config as quality
from tasks.shard import checks as shard_checks
from tasks.shard import config as shard
from tasks.tokenizer import checks as tokenizer_checks
from tasks.tokenizer import config as tokenizer

Measures = Callable[[Made, Made | None], dict[str, float | None]]


@dataclass(frozen=True)
class Stage:
    """What the planner needs to know of a stage.

    `version` is raised by hand when the same configuration and inputs give another result; `unit`
    names what its rows are; `measures` are what its gates are set on; `score` is the stat by which
    a version is compared with the one it would replace, less being better; `grows` says whether
    the memory that it takes follows its inputs' size; `maps`, whether its tasks are shards that a
    cluster can take; `trains`, whether it is work for a GPU.
    """

    name: str
    config: type[Config]
    version: int
    inputs: tuple[str, ...]
    unit: str
    measures: Measures
    score: str | None = None
    grows: bool = True
    maps: bool = False
    trains: bool = False

    def fingerprint(
        self, config: Config, input_digests: Mapping[str, str], forgotten: Iterable[str] = ()
    ) -> str:
        """The cache key of this stage for a configuration and inputs' content.

        `forgotten` are the takedowns that the inputs hold content of.
        """
        return fingerprint(self.name, self.version, identity(config), input_digests, forgotten)


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "crawl",
            crawl.CrawlConfig,
            crawl.VERSION,
            crawl.INPUTS,
            "pages",
            crawl_checks.measures,
        ),
        Stage(
            "clean",
            clean.CleanConfig,
            clean.VERSION,
            clean.INPUTS,
            "documents",
            clean_checks.measures,
            maps=True,
        ),
        Stage(
            "quality",
            quality.QualityConfig,
            quality.VERSION,
            quality.INPUTS,
            "documents",
            quality_checks.measures,
            maps=True,
        ),
        Stage(
            "dedup",
            dedup.DedupConfig,
            dedup.VERSION,
            dedup.INPUTS,
            "documents",
            dedup_checks.measures,
            maps=True,
        ),
        Stage(
            "tokenizer",
            tokenizer.TokenizerConfig,
            tokenizer.VERSION,
            tokenizer.INPUTS,
            "entries",
            tokenizer_checks.measures,
        ),
        Stage(
            "shard",
            shard.ShardConfig,
            shard.VERSION,
            shard.INPUTS,
            "sequences",
            shard_checks.measures,
            maps=True,
        ),
        Stage(
            "pretrain",
            pretrain.PretrainConfig,
            pretrain.VERSION,
            pretrain.INPUTS,
            "parameters",
            pretrain_checks.measures,
            score="validation_bits_per_byte",
            grows=False,
            trains=True,
        ),
        Stage(
            "finetune",
            finetune.FinetuneConfig,
            finetune.VERSION,
            finetune.INPUTS,
            "parameters",
            finetune_checks.measures,
            score="held_out_bits_per_byte",
            grows=False,
            trains=True,
        ),
    )
}


def check(
    stage: Stage, config: Config, made: Made, last: Made | None, *, sealed: bool = False
) -> tuple[CheckResult, ...]:
    """Hold what a build made against the configuration's bounds, and beside the last version.

    `last` is the newest sealed artifact of the same recipe before `made`, whatever it was
    configured with. Its own measures, for `max_rise` and `max_fall`, are taken as of a first
    version: those that compare with a version before have none. `sealed` says that `made` has been
    let through before: it is not asked for measures that were not taken in its day.
    """
    before = None if last is None else stage.measures(last, None)
    measured = stage.measures(made, last)
    checks: tuple[Check, ...] = dict(config)["checks"]
    asked = [c for c in checks if not sealed or is_taken(measured[c.measure])]
    return judge(asked, measured, before)


def is_too_old(config: Config, manifest: Manifest) -> bool:
    """Whether the configuration asks for a younger artifact than this one (`max_age_h`)."""
    max_age_h = dict(config).get("max_age_h")
    return max_age_h is not None and age_h(manifest) > max_age_h


def age_h(manifest: Manifest) -> float:
    """Hours since an artifact was sealed."""
    return (utc_now() - manifest.created).total_seconds() / 3600


@cache
def source_sha256(name: str) -> str:
    """A digest of the stage's own code, recorded beside each artifact to warn of drift.

    Without its gates: they judge what was made and do not change it.
    """
    digest = hashlib.sha256()
    for folder in (name, "lm"):
        for file in sorted((Path(tasks.__path__[0]) / folder).rglob("*.py")):
            if file.name == "checks.py":
                continue
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
