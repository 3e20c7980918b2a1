"""What a flow is asked: the parameters beside the knobs, as the UI's run form shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.runners import Runner, Threads

if TYPE_CHECKING:
    from flows.recipe import Recipe

StageName = Literal[
    "crawl", "clean", "quality", "dedup", "tokenizer", "shard", "pretrain", "finetune"
]
AnyStage = Literal[
    "", "crawl", "clean", "quality", "dedup", "tokenizer", "shard", "pretrain", "finetune"
]
"""A stage, or none: a plain select in the form, where `None` would be a second control."""


class Form(BaseModel):
    """A frozen group of parameters that refuses unknown ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunOptions(Form):
    """Where a stage runs and what it is called; none of it changes what comes out."""

    force: bool = Field(False, description="build again even if there is an artifact to reuse")
    store: str = Field(description="the artifact store: a folder, or s3://bucket/prefix")
    recipe: str = Field(description="name of the recipe that the artifacts are made for")
    workers: int = Field(2, ge=1, le=256, description="shards worked on at once")
    runner: Runner = Field(Threads(), description="where mapped shard tasks run")
    prompts: tuple[str, ...] = Field((), description="shown on a model's page, answered by it")

    @classmethod
    def of(cls, recipe: Recipe, store: str, *, force: bool = False) -> RunOptions:
        """Those of a recipe's own runs."""
        return cls(
            force=force,
            store=store,
            recipe=recipe.name,
            workers=recipe.workers,
            runner=recipe.runner,
            prompts=recipe.prompts,
        )


class StageResult(BaseModel):
    """The artifact that a stage flow ends with, made or reused; the next one is given it."""

    model_config = ConfigDict(frozen=True)

    stage: str
    version: str
    digest: str
    reused: bool
    reason: str
    rows_in: int
    rows_out: int
    num_bytes: int
    seconds: float


def _which(name: str) -> Any:
    says = f"which {name}: latest (of the recipe), a version, or an alias such as @prod"
    return Field("latest", min_length=1, description=says)


class StageInputs(Form):
    """Which upstream artifacts a stage is made from. A pipeline hands its stages' results in."""

    @model_validator(mode="before")
    @classmethod
    def _versions(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {
            name: value.version if isinstance(value, StageResult) else value
            for name, value in given.items()
        }

    def named(self) -> dict[str, str]:
        """The reference of each input, by stage."""
        return dict(self)


class CrawlInputs(StageInputs):
    """Nothing: a crawl is where the river begins."""


class CleanInputs(StageInputs):
    """What is cleaned."""

    crawl: str = _which("crawl")


class QualityInputs(StageInputs):
    """What is scored."""

    clean: str = _which("clean")


class DedupInputs(StageInputs):
    """What is deduplicated, and how it was scored."""

    clean: str = _which("clean")
    quality: str = _which("quality")


class TokenizerInputs(StageInputs):
    """What the tokenizer is trained on."""

    dedup: str = _which("dedup")


class ShardInputs(StageInputs):
    """What is tokenized, and by what."""

    dedup: str = _which("dedup")
    tokenizer: str = _which("tokenizer")


class PretrainInputs(StageInputs):
    """What a base model is trained on."""

    shard: str = _which("shard")
    tokenizer: str = _which("tokenizer")


class FinetuneInputs(StageInputs):
    """What is tuned, and on what."""

    dedup: str = _which("dedup")
    pretrain: str = _which("pretrain")


INPUTS: dict[str, type[StageInputs]] = {
    "crawl": CrawlInputs,
    "clean": CleanInputs,
    "quality": QualityInputs,
    "dedup": DedupInputs,
    "tokenizer": TokenizerInputs,
    "shard": ShardInputs,
    "pretrain": PretrainInputs,
    "finetune": FinetuneInputs,
}


def _instead(name: str) -> Any:
    says = f"use this {name} and do not run the stage: latest, a version, or @prod; empty: run it"
    return Field("", description=says)


class PipelineInputs(Form):
    """Artifacts that are used instead of running their stages."""

    crawl: str = _instead("crawl")
    clean: str = _instead("clean")
    quality: str = _instead("quality")
    dedup: str = _instead("dedup")
    tokenizer: str = _instead("tokenizer")
    shard: str = _instead("shard")
    pretrain: str = _instead("pretrain")
    finetune: str = _instead("finetune")

    def named(self) -> dict[str, str]:
        """The references that are given, by stage."""
        return {name: reference for name, reference in dict(self).items() if reference}
