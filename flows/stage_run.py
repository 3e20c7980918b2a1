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

from flows.against import named_inputs
from flows.gates import blocking, judge_hit, judge_made, require_passed
from flows.parameters import RunOptions, StageInputs, StageResult
from flows.plan import age_reason, hit_reason, run_reason
from flows.prefect_progress import PrefectReporter
from flows.resources import MemoryPeak, folder_bytes
from flows.run_page import publish_page
from flows.runners import Threads, submitting_to
from flows.stages import STAGES, is_too_old, source_sha256
from flows.stopping import StoppableReporter, StopRequest, stopping_tasks
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
from tasks.progress import note, reporter_in_hand, reporting_to

T = TypeVar("T")


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

    @property
    def tracking(self) -> Path:
        """Where training leaves its TensorBoard files: they are watched while it goes on."""
        stage, fingerprint = self.workspace.root.parts[-2:]
        return self.store.tensorboard / self.options.recipe / f"{stage}-{fingerprint[:8]}"

    def files(self, name: str, prefix: str) -> list[Path]:
        """Files under `prefix` of the input artifact `name`, sorted."""
        return self.store.files(self.inputs[name], prefix)

    def folder(self, name: str, prefix: str = "") -> Path:
        """The data folder of the input artifact `name`, with at least the files under `prefix`."""
        return self.store.folder(self.inputs[name], prefix)


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
    inputs: StageInputs,
    options: RunOptions,
    build: Callable[[Job], Outcome],
) -> StageResult:
    """Reuse the artifact of this configuration and inputs, or build and seal it.

    A second run that wants the same artifact waits for the first and then reuses it. Raises
    GateFailed, sealing nothing, if a blocking check on what was made does not hold.
    """
    stop = StopRequest()

    def build_stoppable(job: Job) -> Outcome:
        with stopping_tasks(stop):  # inside of the runner, which waits for its tasks
            return build(job)

    shown = StoppableReporter(stop, reporter_in_hand(), PrefectReporter())
    run = _Run(name, config, inputs, options)
    with reporting_to(shown):
        return run.carry_out(build_stoppable)


def fingerprint_of(name: str, config: Config, inputs: StageInputs, options: RunOptions) -> str:
    """What a run of the stage would be sealed under."""
    return _Run(name, config, inputs, options).key


def find_made(
    name: str, config: Config, inputs: StageInputs, options: RunOptions
) -> StageResult | None:
    """The artifact that a run of the stage would reuse as it is, or None if it would build.

    Raises GateFailed if there is one that the gates of today do not let through.
    """
    return _Run(name, config, inputs, options).find()


class _Run:
    """One stage of one run: what it was asked for, and what it found."""

    def __init__(self, name: str, config: Config, inputs: StageInputs, options: RunOptions) -> None:
        self._stage, self._config, self._options = STAGES[name], config, options
        self._store = Store(options.store)
        self._manifests = {
            key: _resolve(self._store, key, reference, options)
            for key, reference in inputs.named().items()
        }
        self._manifests |= named_inputs(self._store, self._stage, config, options.recipe)
        self._digests = {key: manifest.digest for key, manifest in self._manifests.items()}
        self._takedowns = takedown.read(self._store.backend)
        self._left_out = check_forgotten(self._stage, self._manifests, self._takedowns)
        self.key = self._stage.fingerprint(config, self._digests, self._left_out.rules)

    def carry_out(self, build: Callable[[Job], Outcome]) -> StageResult:
        result = self._reuse()
        if result is not None:
            return result
        uses = [manifest.label for manifest in self._manifests.values()]
        name, store = self._stage.name, self._store
        with (
            full_disk_named(store.address),
            store.building(name, self.key, uses, self._say_waiting) as workspace,
        ):
            return self._reuse() or self._released() or self._build(workspace, build)

    def _say_waiting(self, holder: str) -> None:
        name = self._stage.name
        note(f"{name}: another run is building the same artifact ({holder}); waiting for it")

    def find(self) -> StageResult | None:
        """What `carry_out` would reuse without building or sealing anything."""
        hit = self._hit()
        return None if hit is None else _result(*hit, reused=True)

    def _hit(self) -> tuple[Manifest, str] | None:
        """The artifact that is there, if the gates of today let it through, and why it serves."""
        hit = None if self._options.force else self._store.find(self._stage.name, self.key)
        if hit is None or is_too_old(self._config, hit):
            return None
        checks = judge_hit(self._store, self._stage, self._config, hit, self._options.recipe)
        require_passed(hit.label, self._stage, checks)
        return hit, hit_reason(self._stage, hit)

    def _reuse(self) -> StageResult | None:
        hit = self._hit()
        return None if hit is None else self._take(*hit)

    def _released(self) -> StageResult | None:
        """The same build from quarantine, if its checks hold by now; it is never made twice."""
        name, store = self._stage.name, self._store
        held = None if self._options.force else find_quarantined(store, name, self.key)
        if held is None or is_too_old(self._config, held):
            return None
        last = store.latest(name, self._options.recipe)
        checks = judge_made(self._stage, self._config, Made.of(held), last)
        require_passed(f"{held.label}, built before and in quarantine,", self._stage, checks)
        return self._take(release(store, held, checks), "from quarantine: its checks hold now")

    def _take(self, manifest: Manifest, reason: str) -> StageResult:
        note(f"{self._stage.name}: reuse ({reason})")
        return self._conclude(manifest, reason, reused=True)

    def _conclude(self, manifest: Manifest, reason: str, *, reused: bool) -> StageResult:
        """Show the artifact on the run's page and hand it on."""
        self._publish(manifest, "reused" if reused else "built", reason)
        return _result(manifest, reason, reused=reused)

    def _publish(self, manifest: Manifest, action: str, reason: str) -> None:
        prompts = self._options.prompts
        publish_page(self._store, manifest, action=action, reason=reason, prompts=prompts)

    def _build(self, workspace: Workspace, build: Callable[[Job], Outcome]) -> StageResult:
        stage, store = self._stage, self._store
        last = store.latest(stage.name, self._options.recipe)
        plain = identity(self._config)
        outdated = store.find(stage.name, self.key)  # else it would be a hit, or this is forced
        reason = self._why(plain, last, outdated)
        note(f"{stage.name}: run ({reason})")
        left_out = self._takedowns.forgotten if not stage.inputs else self._left_out
        runner = self._options.runner if stage.maps else Threads()
        workers = self._options.workers
        job = Job(store, self._manifests, workspace, self._options, left_out)
        with MemoryPeak() as memory, submitting_to(runner, workers, workspace.root):
            outcome = build(job)
        built = Made(outcome.rows_in, outcome.rows_out, outcome.stats)
        checks = judge_made(stage, self._config, built, last)
        draft = self._draft(plain, outcome, checks, workspace, memory)
        if blocking(checks):
            held = quarantine(store, workspace, draft)
            note_late_takedowns(store, held, self._takedowns)
            self._publish(held, "in quarantine", "a blocking check does not hold")
            require_passed(f"{held.label}, kept in quarantine,", stage, checks)
        for warning in (c.says for c in checks if not c.passed):
            note(f"{stage.name}: warning: {warning}")
        made = commit(store, workspace, draft, replace=self._options.force or outdated is not None)
        note_late_takedowns(store, made, self._takedowns)
        return self._conclude(made, reason, reused=False)

    def _why(
        self, plain: Mapping[str, Any], last: Manifest | None, outdated: Manifest | None
    ) -> str:
        if self._options.force:
            return "forced"
        if outdated is not None:
            return age_reason(self._config, outdated)
        return run_reason(self._stage, plain, self._digests, self._left_out.rules, last)

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
            fingerprint=self.key,
            config=plain,
            inputs={
                name: InputRef(name=manifest.name, version=manifest.version, digest=manifest.digest)
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


def _resolve(store: Store, name: str, reference: str, options: RunOptions) -> Manifest:
    """The artifact that an input's reference means; `latest` is that of the recipe."""
    if reference == "latest":
        return store.resolve(name, options.recipe)
    return store.resolve(f"{name}@{reference.removeprefix('@')}")


def _result(manifest: Manifest, reason: str, *, reused: bool) -> StageResult:
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
