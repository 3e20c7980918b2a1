"""The seam that all stage flows share: resolve inputs → hit or build → seal → tell the UI."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import pyarrow.parquet as pq
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel, ConfigDict, Field

from flows.plan import hit_reason, run_reason
from flows.stages import STAGES, Stage, source_sha256
from storage.errors import full_disk_named
from storage.manifest import CodeRef, InputRef, Manifest, RunRef
from storage.store import Draft, Store
from storage.workspace import Workspace
from tasks.config import Config, identity
from tasks.progress import note


class RunOptions(BaseModel):
    """Where a stage runs and what it is called; none of it changes what comes out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str = Field(description="folder of the artifact store")
    recipe: str = Field(description="name of the recipe that the artifacts are made for")
    force: bool = Field(False, description="build again even if there is an artifact to reuse")


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


T = TypeVar("T")

Inputs = Mapping[str, StageResult | str]
"""Upstream artifacts: a stage's result, a version, or `latest`."""


@dataclass(frozen=True)
class Outcome:
    """What a build says of its files."""

    rows_in: int
    rows_out: int
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What a build is given."""

    store: Store
    inputs: Mapping[str, Manifest]
    workspace: Workspace
    options: RunOptions

    def files(self, name: str, prefix: str) -> list[Path]:
        """Files under `prefix` of the input artifact `name`, sorted."""
        return self.store.files(self.inputs[name], prefix)

    def folder(self, name: str) -> Path:
        """The data folder of the input artifact `name`."""
        return self.store.folder(self.inputs[name])


def threads(max_workers: int) -> TaskRunner[PrefectFuture[Any]]:
    """The default task runner: the heavy work releases the GIL or lives in child processes."""
    return cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner[Any](max_workers))


def handed(future: PrefectFuture[T]) -> T:
    """A future as the argument of a task: Prefect waits for it and hands its result over."""
    return cast("T", future)


def results(futures: Iterable[PrefectFuture[T]]) -> list[T]:
    """Wait for tasks and raise the error of the first that failed.

    To be asked of upstream tasks first: one that only waited for a failed task says no more than
    that it is not ready.
    """
    return [future.result() for future in futures]


def count_rows(paths: Iterable[Path]) -> int:
    """Rows of Parquet files, from their footers."""
    return sum(pq.read_metadata(path).num_rows for path in paths)


def run_stage(
    name: str,
    config: Config,
    inputs: Inputs,
    options: RunOptions,
    build: Callable[[Job], Outcome],
) -> StageResult:
    """Reuse the artifact of this configuration and inputs, or build and seal it.

    A second run that wants the same artifact waits for the first and then reuses it.
    """
    stage, store = STAGES[name], Store(options.store)
    manifests = {
        key: _resolve(store, key, inputs.get(key, "latest"), options) for key in stage.inputs
    }
    digests = {key: manifest.digest for key, manifest in manifests.items()}
    key = stage.fingerprint(config, digests)
    hit = None if options.force else store.find(name, key)
    if hit is None:
        if store.is_being_built(name, key):
            note(f"{name}: another run is building the same artifact; waiting for it")
        last = store.latest(name, options.recipe)
        with full_disk_named(store.root), store.building(name, key) as workspace:
            hit = None if options.force else store.find(name, key)
            if hit is None:
                plain = identity(config)
                reason = "forced" if options.force else run_reason(stage, plain, digests, last)
                note(f"{name}: run ({reason})")
                outcome = build(Job(store, manifests, workspace, options))
                draft = _draft(stage, key, plain, manifests, options, outcome)
                made = store.commit(workspace, draft, replace=options.force)
                return _conclude(made, reused=False, reason=reason)
    reason = hit_reason(stage, hit)
    note(f"{name}: reuse ({reason})")
    return _conclude(hit, reused=True, reason=reason)


def _resolve(store: Store, name: str, wanted: StageResult | str, options: RunOptions) -> Manifest:
    if isinstance(wanted, StageResult):
        return store.manifest(name, wanted.version)
    if wanted == "latest":
        return store.resolve(name, options.recipe)
    return store.resolve(f"{name}@{wanted}")


def _draft(
    stage: Stage,
    key: str,
    plain: Mapping[str, Any],
    manifests: Mapping[str, Manifest],
    options: RunOptions,
    outcome: Outcome,
) -> Draft:
    return Draft(
        name=stage.name,
        fingerprint=key,
        config=plain,
        inputs={
            name: InputRef(name=name, version=manifest.version, digest=manifest.digest)
            for name, manifest in manifests.items()
        },
        rows_in=outcome.rows_in,
        rows_out=outcome.rows_out,
        stats=outcome.stats,
        code=CodeRef(
            stage_version=stage.version,
            source_sha256=source_sha256(stage.name),
            git_commit=_git_commit(),
        ),
        run=RunRef(recipe=options.recipe, host=socket.gethostname(), flow_run_id=flow_run.get_id()),
    )


def _conclude(manifest: Manifest, *, reused: bool, reason: str) -> StageResult:
    """Show the artifact on the run's page and hand it on."""
    create_markdown_artifact(
        key=manifest.name,
        description=f"{'Reused' if reused else 'Built'} {manifest.label}",
        markdown=_markdown(manifest, reused, reason),
    )
    return StageResult(
        stage=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        reused=reused,
        reason=reason,
        rows_in=manifest.rows_in,
        rows_out=manifest.rows_out,
        num_bytes=manifest.num_bytes,
        seconds=manifest.seconds,
    )


def _markdown(manifest: Manifest, reused: bool, reason: str) -> str:
    facts = {
        "version": f"`{manifest.version}`",
        "action": f"{'reused' if reused else 'built'}: {reason}",
        "rows": f"{manifest.rows_in:,} in, {manifest.rows_out:,} out",
        "bytes": f"{manifest.num_bytes:,}",
        "seconds to build": f"{manifest.seconds:.1f}",
        "content digest": f"`{manifest.digest[:16]}`",
        "made from": ", ".join(f"`{r.name}@{r.version}`" for r in manifest.inputs.values()) or "-",
    }
    facts |= {key: f"`{value}`" for key, value in manifest.stats.items()}
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"## {manifest.name}\n\n| | |\n|---|---|\n{rows}\n"


@cache
def _git_commit() -> str | None:
    """The commit of the code that runs, or None outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
