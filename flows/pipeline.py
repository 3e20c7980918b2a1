"""A whole recipe as one Prefect flow: each instance is a flow run of its own, handed its inputs."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from typing import Any, Literal, cast

from prefect import Flow, flow
from prefect.context import FlowRunContext
from prefect.states import Cancelled
from pydantic import Field, create_model

from flows.ending import Ending
from flows.gpu_pool import build_on_gpu_worker, cancel_children
from flows.graph import Instance, graph_of, is_artifact
from flows.overlap import earlier_run
from flows.parameters import INPUTS, Form, RunOptions, StageResult
from flows.plan import Chosen, Selection, plan
from flows.prefect_progress import log
from flows.preflight import check_room
from flows.promotion import promote_together
from flows.recipe import RECIPE, Recipe
from flows.recording import kept, run_recorded
from flows.run_names import pipeline_name
from flows.run_page import log_failed, log_made, publish_summary
from flows.stage_flows import FLOWS
from flows.stage_run import StageRun
from flows.stopping import StoppableReporter, StopRequest, stopping_tasks
from storage.errors import BranchesFailed, Interrupted
from storage.store import Store
from tasks.progress import note, reporter_in_hand, reporting_to

Pipeline = Flow[Any, list[StageResult]]

_TRAINING = threading.Lock()
"""One training at a time in one process: torch's random state and threads are the process's own."""


class PipelineRun:
    """One run of a recipe: what was chosen, what was made so far, what failed, and what was not
    run for that."""

    def __init__(self, recipe: Recipe, store: Store, selection: Selection) -> None:
        self.store, self.made = store, list[StageResult]()
        self.failed: dict[str, Exception] = {}
        self.not_run: dict[str, str] = {}
        self._recipe, self._selection = recipe, selection

    def carry_out(self) -> None:
        """Run the chosen instances, each as soon as its inputs are there.

        A failed one stops what is made from it and nothing else; a request to stop stops all.
        Raises its error at the end, or BranchesFailed where several failed.
        """
        graph = graph_of(self._recipe)
        chosen = self._selection.of(graph)
        if is_deployed():
            self._check_room()
        given = chosen.resolve(self.store, self._recipe.name)
        for name, manifest in given.items():
            log(f"{name}: not run here, {manifest.label} is taken from the store")
        self._known: dict[str, StageResult | str] = {n: m.label for n, m in given.items()}
        stop = StopRequest()
        with reporting_to(StoppableReporter(stop, reporter_in_hand())):
            self._run_all(chosen, stop)
        order = list(chosen.running)
        self.made.sort(key=lambda result: order.index(result.instance))
        for name in (n for n in order if n not in self._known and n not in self.failed):
            lacking = ", ".join(n for n in self.failed if n in chosen.graph.above([name]))
            self.not_run[name] = "stopped" if self._is_stopped() else f"{lacking} failed"
            log(f"{name}: blocked, not run: {self.not_run[name]}", logging.WARNING)
        if self.not_run:
            why = "" if self._is_stopped() else ", for what they are made from failed"
            note(f"not run{why}: {', '.join(self.not_run)}")
        errors = list(self.failed.values())
        if len(errors) > 1 and not self._is_stopped():
            raise BranchesFailed(
                f"{len(errors)} instances failed; expected all to end well:\n"
                + "\n".join(f"{name}: {error}" for name, error in self.failed.items())
            )
        if errors:
            raise next((e for e in errors if isinstance(e, Interrupted)), errors[0])

    def _is_stopped(self) -> bool:
        return any(isinstance(error, Interrupted) for error in self.failed.values())

    def _run_all(self, chosen: Chosen, stop: StopRequest) -> None:
        waiting, going = list(chosen.running), dict[Future[StageResult], str]()
        # Left by an exception, the inner block asks the branches to stop before the outer waits.
        with ThreadPoolExecutor(self._recipe.workers, "branch") as pool, stopping_tasks(stop):
            while True:
                ready = [n for n in waiting if self._known.keys() >= {*chosen.graph[n].upstream}]
                ready = ready[: self._recipe.workers - len(going)] if not self._is_stopped() else []
                waiting = [name for name in waiting if name not in ready]
                branches = len(ready) + len(going)
                if len(ready) == 1 and not going:  # in this thread: nothing runs beside it
                    self._settle(ready[0], _called(partial(self._run, chosen, ready[0], 1)))
                    continue
                for name in ready:
                    context = copy_context()
                    future = pool.submit(context.run, self._run, chosen, name, branches)
                    going[future] = name
                if not going:
                    return
                for future in wait(going, return_when=FIRST_COMPLETED).done:
                    self._settle(going.pop(future), future)

    def _settle(self, name: str, done: Future[StageResult]) -> None:
        error = done.exception()
        if error is None:
            result = self._known[name] = done.result()
            self.made.append(result)
            log_made(self.store, result)
        elif isinstance(error, Exception):
            self.failed[name] = error
            log_failed(name, error)
            stopped = isinstance(error, Interrupted)
            note(f"{name}: {'stopped' if stopped else f'failed ({type(error).__name__})'}")
        else:
            raise error

    def _run(self, chosen: Chosen, name: str, branches: int) -> StageResult:
        instance, recipe = chosen.graph[name], self._recipe
        workers = max(1, recipe.workers // branches)
        options = RunOptions.of(
            recipe,
            self.store.address,
            force=name in chosen.forced,
            instance=name,
            workers=workers,
        )
        inputs = self._inputs(instance)
        if not instance.stage.trains:
            return self._run_here(instance, options, inputs)
        if is_deployed():
            chosen_inputs = INPUTS[instance.stage.name].model_validate(inputs)
            found = StageRun(instance.stage, instance.config, chosen_inputs, options).find()
            if found is None:
                return build_on_gpu_worker(instance.stage.name, instance.config, options, inputs)
        with _TRAINING:
            return self._run_here(instance, options, inputs)

    def _run_here(
        self, instance: Instance, options: RunOptions, inputs: Mapping[str, Any]
    ) -> StageResult:
        parameters = {"options": options, "inputs": inputs, "config": instance.config}
        return run_recorded(FLOWS[instance.stage.name], parameters)

    def _inputs(self, instance: Instance) -> dict[str, Any]:
        """Give results as they are, not their names: by these objects Prefect links the runs."""
        found: dict[str, Any] = {}
        for port in instance.stage.ports:
            sources = instance.sources[port.name]
            of = [s if is_artifact(s) else self._known[s] for s in sources]
            if not port.names:
                found[port.name] = port.parameter(of)
        return found

    def _check_room(self) -> None:
        """What trains elsewhere needs no room here."""
        steps = plan(self._recipe, self.store, self._selection)
        check_room(self.store, [step for step in steps if not step.stage.trains])


def _called(run: Callable[[], StageResult]) -> Future[StageResult]:
    """The outcome of a call in this thread, as a future has it; what ends the process is raised."""
    done: Future[StageResult] = Future()
    try:
        done.set_result(run())
    except Exception as error:
        done.set_exception(error)
    return done


def is_deployed() -> bool:
    """Say whether a worker runs this, on behalf of a deployment."""
    running = FlowRunContext.get()  # prefect.runtime would ask the server each time
    mine = None if running is None else running.flow_run
    return mine is not None and mine.deployment_id is not None


def _carry_out(run: PipelineRun, recipe: Recipe, promote: str) -> list[StageResult]:
    """Run, promote, and put the summary on the run's page, whatever came of it."""
    try:
        run.carry_out()
        moved = promote_together(run.store, [result.label for result in run.made], promote)
    except Exception as error:
        error.ending = Ending(run.made, run.failed, run.not_run)  # type: ignore[attr-defined]
        publish_summary(run.store, recipe.name, run.made, failure=error)
        raise
    publish_summary(run.store, recipe.name, run.made, moved=moved)
    return run.made


def make_pipeline(form: type[Any] = RECIPE, names: Sequence[str] = ()) -> Pipeline:
    """Make the flow, with a form for any recipe, or for one whose instances have these `names`."""

    def pipeline(
        *,
        recipe: Recipe,
        only: str = "",
        from_stage: str = "",
        to_stage: str = "",
        force: tuple[str, ...] = (),
        inputs: Any = None,
        promote: str = "",
        store: str,
    ) -> list[StageResult]:
        """Run the chosen instances of a recipe; returns their results.

        Versions of artifacts that come from the store are resolved once, here, and passed on. Where
        a worker runs it, training goes to the workers of the gpu pool; from the command line, it
        runs in this process.

        Args:
            recipe: every knob of every instance
            only: run this instance alone, from its latest inputs
            from_stage: run this instance and all that is made from it
            to_stage: run this instance and all that it is made from
            force: instances to build again even if there is an artifact to reuse
            inputs: artifacts to use instead of running their instances
            promote: an alias, such as prod, that everything made here is given at the end, if all
                of it is sound and no worse than what the alias means now
            store: the artifact store: a folder, or s3://bucket/prefix
        """
        before = earlier_run()
        if before is not None:
            skipped: Any = Cancelled(
                message=f"skipped: {before.name}, begun earlier, still goes on"
            )
            return cast("list[StageResult]", skipped)  # Prefect takes it as the state of this run
        selection = _chosen(only, from_stage, to_stage, force, inputs)
        run = PipelineRun(recipe, Store(store), selection)
        return kept(lambda: _carry_out(run, recipe, promote))

    types = _types(form, names)
    pipeline.__annotations__ = types
    pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            one.replace(annotation=types[name], default=_default(types[name], one.default))
            for name, one in inspect.signature(pipeline).parameters.items()
        ],
        return_annotation=list[StageResult],
    )
    made: Pipeline = flow(
        name="pipeline",
        flow_run_name=lambda: pipeline_name(lambda asked: _chosen(**asked)),
        on_cancellation=[cancel_children],
    )(pipeline)
    return made


def _chosen(
    only: str, from_stage: str, to_stage: str, force: Sequence[str], inputs: Any, **_: Any
) -> Selection:
    return Selection(
        only=tuple(only.split()),
        from_=tuple(from_stage.split()),
        to=tuple(to_stage.split()),
        force=tuple(force),
        inputs={name: of for name, of in dict(inputs or {}).items() if of},
    )


def _types(form: type[Any], names: Sequence[str]) -> dict[str, Any]:
    """The annotations of a pipeline's parameters; known names make selects of the UI's fields."""
    one: Any = Literal[("", *names)] if names else str
    known: Any = Literal[tuple(names)] if names else str
    given: Any = _instead_model(names) if names else dict[str, str]
    return {
        "recipe": form,
        "only": one,
        "from_stage": one,
        "to_stage": one,
        "force": tuple[known, ...],
        "inputs": given,
        "promote": str,
        "store": str,
    }


def _default(kind: Any, default: Any) -> Any:
    return kind() if default is None else default


def _instead_model(names: Sequence[str]) -> type[Any]:
    fields: dict[str, Any] = {
        name: (str, Field("", description=f"use this {name}: {_INSTEAD}")) for name in names
    }
    doc = "Artifacts that are used instead of running their instances."
    made: type[Any] = create_model("PipelineInputs", __base__=Form, __doc__=doc, **fields)
    return made


_INSTEAD = "latest, a version, @prod, or NAME@… of another instance; empty: run it"

pipeline = make_pipeline()
