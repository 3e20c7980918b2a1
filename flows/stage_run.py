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
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel, ConfigDict, Field

from flows.gates import blocking, judge_hit, judge_made, require_passed
from flows.plan import hit_reason, run_reason
from flows.resources import MemoryPeak, folder_bytes
from flows.run_page import publish_page
from flows.stages import STAGES, source_sha256
from flows.takedown import check_forgotten, note_late_takedowns
from storage import takedown
from storage.errors import full_disk_named
from storage.manifest import CheckResult, CodeRef, InputRef, Manifest, RunRef
from storage.sealing import Draft, commit, find_quarantined, quarantine, release
from storage.store import Store
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.checks import Made
from tasks.config import Config, identity
from tasks.progress import note


class RunOptions(BaseModel):
    """Where a stage runs and what it is called; none of it changes what comes out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str = Field(description="the artifact store: a folder, or s3://bucket/prefix")
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
    forgotten: Forgotten = NOTHING
    """What to leave out: content that was taken down and that the inputs hold."""

    def files(self, name: str, prefix: str) -> list[Path]:
        """Files under `prefix` of the input artifact `name`, sorted."""
        return self.store.files(self.inputs[name], prefix)

    def folder(self, name: str, prefix: str = "") -> Path:
        """The data folder of the input artifact `name`, with at least the files under `prefix`."""
        return self.store.folder(self.inputs[name], prefix)


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

    A second run that wants the same artifact waits for the first and then reuses it. Raises
    GateFailed, sealing nothing, if a blocking check on what was made does not hold.
    """
    return _Run(name, config, inputs, options).carry_out(build)


class _Run:
    """One stage of one run: what it was asked for, and what it found."""

    def __init__(self, name: str, config: Config, inputs: Inputs, options: RunOptions) -> None:
        self._stage, self._config, self._options = STAGES[name], config, options
        self._store = Store(options.store)
        self._manifests = {
            key: _resolve(self._store, key, inputs.get(key, "latest"), options)
            for key in self._stage.inputs
        }
        self._digests = {key: manifest.digest for key, manifest in self._manifests.items()}
        self._takedowns = takedown.read(self._store.backend)
        self._left_out = check_forgotten(self._stage, self._manifests, self._takedowns)
        self._key = self._stage.fingerprint(config, self._digests, self._left_out.rules)

    def carry_out(self, build: Callable[[Job], Outcome]) -> StageResult:
        result = self._reuse()
        if result is not None:
            return result
        uses = [manifest.label for manifest in self._manifests.values()]
        name, store = self._stage.name, self._store
        with (
            full_disk_named(store.address),
            store.building(name, self._key, uses, self._say_waiting) as workspace,
        ):
            return self._reuse() or self._released() or self._build(workspace, build)

    def _say_waiting(self, holder: str) -> None:
        name = self._stage.name
        note(f"{name}: another run is building the same artifact ({holder}); waiting for it")

    def _reuse(self) -> StageResult | None:
        """The artifact that is there, if the gates of today let it through."""
        name = self._stage.name
        hit = None if self._options.force else self._store.find(name, self._key)
        if hit is None:
            return None
        recipe = self._options.recipe
        checks = judge_hit(self._store, self._stage, self._config, hit, recipe)
        require_passed(hit.label, self._stage, checks)
        reason = hit_reason(self._stage, hit)
        note(f"{name}: reuse ({reason})")
        return _conclude(hit, reused=True, reason=reason)

    def _released(self) -> StageResult | None:
        """The same build from quarantine, if its checks hold by now; it is never made twice."""
        name, store = self._stage.name, self._store
        held = None if self._options.force else find_quarantined(store, name, self._key)
        if held is None:
            return None
        last = store.latest(name, self._options.recipe)
        checks = judge_made(self._stage, self._config, Made.of(held), last)
        require_passed(f"{held.label}, built before and in quarantine,", self._stage, checks)
        reason = "from quarantine: its checks hold now"
        note(f"{name}: reuse ({reason})")
        return _conclude(release(store, held, checks), reused=True, reason=reason)

    def _build(self, workspace: Workspace, build: Callable[[Job], Outcome]) -> StageResult:
        stage, store = self._stage, self._store
        last = store.latest(stage.name, self._options.recipe)
        plain = identity(self._config)
        forced = self._options.force
        reason = (
            "forced"
            if forced
            else run_reason(stage, plain, self._digests, self._left_out.rules, last)
        )
        note(f"{stage.name}: run ({reason})")
        left_out = self._takedowns.forgotten if not stage.inputs else self._left_out
        with MemoryPeak() as memory:
            outcome = build(Job(store, self._manifests, workspace, self._options, left_out))
        built = Made(outcome.rows_in, outcome.rows_out, outcome.stats)
        checks = judge_made(stage, self._config, built, last)
        draft = self._draft(plain, outcome, checks, workspace, memory)
        if blocking(checks):
            held = quarantine(store, workspace, draft)
            note_late_takedowns(store, held, self._takedowns)
            publish_page(held, action="in quarantine", reason="a blocking check does not hold")
            require_passed(f"{held.label}, kept in quarantine,", stage, checks)
        for warning in (c.says for c in checks if not c.passed):
            note(f"{stage.name}: warning: {warning}")
        made = commit(store, workspace, draft, replace=forced)
        note_late_takedowns(store, made, self._takedowns)
        return _conclude(made, reused=False, reason=reason)

    def _draft(
        self,
        plain: Mapping[str, Any],
        outcome: Outcome,
        checks: tuple[CheckResult, ...],
        workspace: Workspace,
        memory: MemoryPeak,
    ) -> Draft:
        stage, recipe = self._stage, self._options.recipe
        return Draft(
            name=stage.name,
            fingerprint=self._key,
            config=plain,
            inputs={
                name: InputRef(name=name, version=manifest.version, digest=manifest.digest)
                for name, manifest in self._manifests.items()
            },
            rows_in=outcome.rows_in,
            rows_out=outcome.rows_out,
            stats=outcome.stats,
            checks=checks,
            forgotten=self._left_out.rules,
            code=CodeRef(
                stage_version=stage.version,
                source_sha256=source_sha256(stage.name),
                git_commit=_git_commit(),
            ),
            run=RunRef(
                recipe=recipe,
                host=socket.gethostname(),
                flow_run_id=flow_run.get_id(),
                work_bytes=folder_bytes(workspace.root),
                memory_bytes=memory.num_bytes,
            ),
        )


def _resolve(store: Store, name: str, wanted: StageResult | str, options: RunOptions) -> Manifest:
    if isinstance(wanted, StageResult):
        return store.manifest(name, wanted.version)
    if wanted == "latest":
        return store.resolve(name, options.recipe)
    return store.resolve(f"{name}@{wanted}")


def _conclude(manifest: Manifest, *, reused: bool, reason: str) -> StageResult:
    """Show the artifact on the run's page and hand it on."""
    publish_page(manifest, action="reused" if reused else "built", reason=reason)
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
