"""The page of a whole pipeline's run: what failed, what was made, how good it is, what is next."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.artifacts import MarkdownArtifact, TableArtifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run

from flows.ending import GO_ON, Ending, drops, next_commands
from flows.parameters import StageResult
from flows.prefect_progress import log
from flows.promotion import Promoted
from flows.render import size
from flows.run_page.page import at_no_risk, commands, or_why_not, run_link
from flows.stages import STAGES, open_artifact, type_of
from storage.manifest import Manifest
from storage.store import Store
from tasks.page import code, escape, fence, number, table
from tasks.stage import Stage

Made = Sequence[tuple[StageResult, Manifest]]
"""What instances ended with, and its manifest."""


_WHERE = (
    "Artifacts tab: what to do next, scores and tables. Subflow Runs tab: the stages' own runs, "
    "each with its page among its artifacts."
)


def publish_summary(
    store: Store,
    recipe: str,
    results: Sequence[StageResult],
    *,
    failure: Exception | None = None,
    moved: Sequence[Promoted] = (),
) -> None:
    """Put the summary and the table of stages on the Artifacts tab of the pipeline's run.

    `results` are of instances that ended well, `failure` is what ended the run, `moved` are the
    aliases that mean other versions now. Never raises.
    """
    with at_no_risk("the summary"):
        made = [(result, store.manifest(result.name, result.version)) for result in results]
        page = _page(store, recipe, made, failure, moved)
        says = _headline(made, failure)
        MarkdownArtifact(key="summary", description=says, markdown=page).create()
        if made:
            rows = [_row(result, manifest) for result, manifest in made]
            TableArtifact(key="stages", description=_headline(made, None), table=rows).create()
        log(f"{says}\n  {_WHERE}", logging.ERROR if failure else logging.INFO)


def _headline(made: Made, failure: Exception | None) -> str:
    reused = sum(result.reused for result, _ in made)
    done = f"{len(made) - reused} stages built, {reused} reused"
    return f"failed ({type(failure).__name__}) after {done}" if failure else done


def _page(
    store: Store,
    recipe: str,
    made: Made,
    failure: Exception | None,
    moved: Sequence[Promoted],
) -> str:
    runs = _stage_runs()
    state = "failed" if failure else "done"
    sections = {
        f"{recipe}: {state}": _failed(failure, runs) if failure else _headline(made, None),
        "Stages": _stages(made, runs, Ending.of(failure) if failure else Ending()),
        "Held-out scores": or_why_not(lambda: _scores(store, made)),
        "Aliases": _aliases(moved, failure),
        "What to do next": _next(store, made, failure, moved),
    }
    return "\n\n".join(f"## {title}\n\n{body}" for title, body in sections.items() if body)


def _stage_runs() -> dict[str, FlowRun]:
    """Find the runs that this pipeline's run has started, by instance; none if nobody says.

    Known by what they were asked: a name can be changed in the UI.
    """
    found: dict[str, FlowRun] = {}
    mine = flow_run.get_id()
    if mine is None:
        return found
    with at_no_risk("the links to the stages' runs"):
        parent = FlowRunFilterParentFlowRunId(any_=[UUID(mine)])
        asked = FlowRunFilter(parent_flow_run_id=parent)
        oldest = FlowRunSort.EXPECTED_START_TIME_ASC  # after a retry the newest run counts
        for run in get_client(sync_client=True).read_flow_runs(flow_run_filter=asked, sort=oldest):
            found[run.parameters["options"]["instance"]] = run
    return found


def _failed(failure: Exception, runs: dict[str, FlowRun]) -> str:
    ended = [run for run in runs.values() if run.state and run.state.is_final()]
    bad = [run for run in ended if run.state and not run.state.is_completed()]
    links = ", ".join(run_link(run.name, str(run.id)) for run in bad)
    where = f" in {links}" if links else ""
    return f"**{escape(type(failure).__name__)}**{where}:\n\n{fence(str(failure))}"


def _stages(made: Made, runs: dict[str, FlowRun], ending: Ending) -> str:
    header = ("stage", "version", "", "in", "out", "dropped", "seconds", "size")
    rows: list[tuple[str, ...]] = []
    for result, manifest in made:
        run = runs.get(result.instance)
        link = run_link(result.instance, str(run.id) if run else manifest.run.flow_run_id)
        row = _row(result, manifest)
        rows.append((link, code(result.version[:15]), *(str(row[name]) for name in _SHOWN)))
    unmade = dict.fromkeys(ending.failed, "failed")
    unmade |= {name: f"not run: {why}" for name, why in ending.not_run.items()}
    rows += [(escape(name), "", escape(why), *[""] * 5) for name, why in unmade.items()]
    return table(header, rows) if rows else ""


_SHOWN = ("action", "in", "out", "dropped", "seconds", "size")


def _row(result: StageResult, manifest: Manifest) -> dict[str, Any]:
    dropped = drops(manifest)
    return {
        "instance": result.instance,
        "stage": result.stage,
        "version": result.version,
        "action": "reused" if result.reused else "built",
        "in": f"{result.rows_in:,}",
        "out": type_of(manifest).amount(manifest),
        "dropped": f"{sum(dropped.values()):,}" if dropped else "",
        "seconds": f"{result.seconds:.1f}",
        "size": size(result.num_bytes),
        "why": result.reason,
    }


def _scores(store: Store, made: Made) -> str:
    """Show bits per byte of each model, beside the version before it and what it is to beat."""
    rows = []
    for _, manifest in made:
        stage = STAGES.get(manifest.stage)
        now = _score(manifest, stage)
        if now is None:
            continue
        last = store.latest(manifest.name, manifest.run.recipe, before=manifest)
        before = None if last is None else _score(last, stage)
        shown = ("-", "") if before is None else (number(before), _change(now, before))
        scores = type_of(manifest).scores(open_artifact(store, manifest))
        texts = {score.text for score in scores if score.own}
        others = (score for score in scores if score.text in texts and not score.own)
        to_beat = escape(", ".join(f"{score.subject} {score.value:.3f}" for score in others))
        rows.append((code(manifest.label), f"**{number(now)}**", *shown, to_beat))
    header = ("model", "bits per byte", "version before", "change", "to be beaten")
    return table(header, rows) if rows else ""


def _score(manifest: Manifest, stage: Stage | None) -> float | None:
    value = manifest.stats.get(stage.score) if stage and stage.score else None
    return float(value) if isinstance(value, int | float) else None


def _change(now: float, before: float) -> str:
    than = "better" if now < before else "**worse**"
    return "the same" if now == before else f"{now - before:+.4f}, {than}"


def _aliases(moved: Sequence[Promoted], failure: Exception | None) -> str:
    lines = [
        f"- `{one.label.partition('@')[0]}@{one.alias}` means {code(one.label)} now, "
        + (f"before it {code(one.before)}" if one.before else "and meant nothing before")
        + "".join(f"; {escape(said)}" for said in one.notes)
        for one in moved
    ]
    return "\n".join(lines) or ("None was moved: they mean what they meant." if failure else "")


def _next(store: Store, made: Made, failure: Exception | None, moved: Sequence[Promoted]) -> str:
    ending = Ending.of(failure) if failure else Ending([result for result, _ in made])
    lines = next_commands(store, ending, {one.label for one in moved})
    shown = commands(store.address, lines) if lines else ""
    return f"{GO_ON}\n\n{shown}".rstrip() if failure else shown
