"""The whole river as one Prefect flow: each stage is a flow of its own, handed its inputs."""

from __future__ import annotations

from typing import Any, cast

from prefect import Flow, flow
from prefect.runtime import deployment
from prefect.states import Cancelled

from flows.clean import clean
from flows.crawl import crawl
from flows.dedup import dedup
from flows.finetune import finetune
from flows.gpu_pool import build_on_gpu_worker, cancel_children
from flows.overlap import earlier_run
from flows.parameters import INPUTS, AnyStage, PipelineInputs, RunOptions, StageName, StageResult
from flows.plan import Selection, given_inputs, plan
from flows.preflight import check_room
from flows.pretrain import pretrain
from flows.promotion import promote_together
from flows.quality import quality
from flows.recipe import Recipe
from flows.run_page import publish_summary
from flows.shard import shard
from flows.stage_run import find_made
from flows.stages import STAGES
from flows.tokenizer import tokenizer
from storage.store import Store

FLOWS: dict[str, Flow[Any, StageResult]] = {
    "crawl": crawl,
    "clean": clean,
    "quality": quality,
    "dedup": dedup,
    "tokenizer": tokenizer,
    "shard": shard,
    "pretrain": pretrain,
    "finetune": finetune,
}


@flow(name="pipeline", flow_run_name="{recipe.name}", on_cancellation=[cancel_children])
def pipeline(
    *,
    only: AnyStage = "",
    from_stage: AnyStage = "",
    force: tuple[StageName, ...] = (),
    inputs: PipelineInputs = PipelineInputs(),
    promote: str = "",
    recipe: Recipe,
    store: str,
) -> list[StageResult]:
    """Run the chosen stages of a recipe in order; returns their results.

    Versions of artifacts that come from the store are resolved once, here, and passed on. Where a
    worker runs it, training goes to the workers of the gpu pool; from the command line, it runs in
    this process.

    Args:
        only: run this stage alone, from its latest inputs
        from_stage: run this stage and all after it
        force: stages to build again even if there is an artifact to reuse
        inputs: artifacts to use instead of running their stages
        promote: an alias, such as prod, that everything made here is given at the end, if all of
            it is sound and no worse than what the alias means now
        recipe: every knob of every stage
        store: the artifact store: a folder, or s3://bucket/prefix
    """
    before = earlier_run()
    if before is not None:
        skipped: Any = Cancelled(message=f"skipped: {before.name}, begun earlier, is still going")
        return cast("list[StageResult]", skipped)  # Prefect takes it as the state of this run
    selection = Selection(only or None, from_stage or None, frozenset(force), inputs.named())
    run = _River(recipe, Store(store), selection)
    try:
        run.carry_out()
        moved = promote_together(run.store, [f"{r.stage}@{r.version}" for r in run.made], promote)
    except Exception as error:
        publish_summary(run.store, recipe.name, run.made, failure=error)
        raise
    publish_summary(run.store, recipe.name, run.made, moved=moved)
    return run.made


class _River:
    """One run of a recipe: what was chosen, and what was made so far."""

    def __init__(self, recipe: Recipe, store: Store, selection: Selection) -> None:
        self.store, self.made = store, list[StageResult]()
        self._recipe, self._selection = recipe, selection

    def carry_out(self) -> None:
        """Run the chosen stages in order."""
        self._selection.check()
        if is_deployed():
            self._check_room()
        given = given_inputs(self._recipe, self.store, self._selection)
        known: dict[str, StageResult | str] = {name: m.version for name, m in given.items()}
        for name in self._selection.stages():
            inputs = {key: known[key] for key in STAGES[name].inputs}
            result = self._run(name, inputs)
            known[name] = result
            self.made.append(result)

    def _run(self, name: str, inputs: dict[str, StageResult | str]) -> StageResult:
        config, forced = self._recipe.stage(name), name in self._selection.force
        options = RunOptions.of(self._recipe, self.store.address, force=forced)
        if STAGES[name].trains and is_deployed():
            chosen = INPUTS[name].model_validate(inputs)
            if find_made(name, config, chosen, options) is None:
                return build_on_gpu_worker(name, config, options, inputs)
        return FLOWS[name](options=options, inputs=inputs, config=config)

    def _check_room(self) -> None:
        """What trains elsewhere needs no room here."""
        steps = plan(self._recipe, self.store, self._selection)
        check_room(self.store, [step for step in steps if not step.stage.trains])


def is_deployed() -> bool:
    """Whether a worker runs this, on behalf of a deployment."""
    return deployment.id is not None
