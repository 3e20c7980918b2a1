"""The whole river as one Prefect flow: each stage is a flow of its own, handed its inputs."""

from __future__ import annotations

from typing import Any

from prefect import Flow, flow
from pydantic import BaseModel, ConfigDict, Field

from flows.clean import clean
from flows.crawl import crawl
from flows.dedup import dedup
from flows.finetune import finetune
from flows.plan import Selection, given_inputs
from flows.pretrain import pretrain
from flows.recipe import Recipe
from flows.shard import shard
from flows.stage_run import RunOptions, StageResult, threads
from flows.stages import STAGES
from flows.tokenizer import tokenizer
from storage.store import Store

FLOWS: dict[str, Flow[Any, StageResult]] = {
    "crawl": crawl,
    "clean": clean,
    "dedup": dedup,
    "tokenizer": tokenizer,
    "shard": shard,
    "pretrain": pretrain,
    "finetune": finetune,
}


class Choice(BaseModel):
    """Which stages of the recipe take part; the fields of `plan.Selection`, for the UI's form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    only: str | None = Field(None, description="one stage again, from its latest inputs")
    from_stage: str | None = Field(None, description="that stage and all after it")
    force: tuple[str, ...] = Field((), description="stages to build even if there is a hit")
    inputs: dict[str, str] = Field({}, description="stage: version to use instead of running it")

    def selection(self) -> Selection:
        return Selection(self.only, self.from_stage, frozenset(self.force), self.inputs)


@flow(name="pipeline", flow_run_name="{recipe.name}")
def pipeline(recipe: Recipe, store: str, choice: Choice = Choice()) -> list[StageResult]:  # noqa: B008
    """Run the chosen stages of a recipe in order; returns their results.

    Versions of artifacts that come from the store are resolved once, here, and passed on.
    """
    selection = choice.selection()
    selection.check()
    given = given_inputs(recipe, Store(store), selection)
    results: dict[str, StageResult | str] = {name: m.version for name, m in given.items()}
    made = []
    for name in selection.stages():
        options = RunOptions(store=store, recipe=recipe.name, force=name in selection.force)
        runner = threads(recipe.workers)
        stage_flow = FLOWS[name].with_options(task_runner=runner)
        inputs = {key: results[key] for key in STAGES[name].inputs}
        result = stage_flow(recipe.stage(name), options, inputs)
        results[name] = result
        made.append(result)
    return made
