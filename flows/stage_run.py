"""The seam that all stage flows share: resolve inputs → decide → build → seal → tell the UI."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect.runtime import flow_run

from flows.gates import blocking, judge_made, require_passed
from flows.inputs import resolve, whole
from flows.parameters import RunOptions, StageInputs, StageResult, whole_reference
from flows.plan import Decision, Target, decide, last_made
from flows.prefect_progress import PrefectReporter
from flows.resources import MemoryPeak, folder_bytes
from flows.run_page import log_made, publish_page
from flows.runners import Threads, submitting_to
from flows.stages import open_artifact
from flows.stopping import StoppableReporter, StopRequest, stopping_tasks
from flows.takedown import note_late_takedowns
from flows.version import git_commit
from storage import takedown
from storage.errors import PhusaError, os_errors_named
from storage.manifest import CheckResult, CodeRef, InputRef, Manifest, RunRef
from storage.sealing import Draft, commit, quarantine, release
from storage.store import Store
from storage.workspace import Workspace
from tasks.checks import Made
from tasks.config import Config, identity
from tasks.progress import note, reporter_in_hand, reporting_to
from tasks.stage import Job, Outcome, Stage


def run_stage(
    stage: Stage, config: Config, inputs: StageInputs, options: RunOptions
) -> StageResult:
    """Reuse the artifact of this configuration and inputs, or build and seal it.

    A second run that wants the same artifact waits for the first and then reuses it. Raises
    GateFailed, sealing nothing, if a blocking check on what was made does not hold.
    """
    stop = StopRequest()

    def build(job: Job) -> Outcome:
        with stopping_tasks(stop):  # inside of the runner, which waits for its tasks
            return stage.build(job)

    shown = StoppableReporter(stop, reporter_in_hand(), PrefectReporter())
    run = StageRun(stage, config, inputs, options)
    with reporting_to(shown):
        return run.carry_out(build)


class StageRun:
    """One stage of one run: what it was asked for, and what it found."""

    def __init__(
        self, stage: Stage, config: Config, inputs: StageInputs, options: RunOptions
    ) -> None:
        self._stage, self._config, self._options = stage, config, options
        self._store = Store(options.store)
        self._name = options.instance or stage.name
        given = {
            port.name: tuple(
                resolve(
                    self._store, port, whole_reference(port, reference), options.recipe, port.name
                )
                for reference in inputs.sources().get(port.name, ())
            )
            for port in stage.ports
        }
        everything = whole(self._store, stage, config, given, options.recipe, self._name)
        self._target = Target(self._name, stage, config, options.recipe, everything)
        self._takedowns = takedown.read(self._store.backend)
        self.key = self._target.key(self._takedowns)

    def find(self) -> StageResult | None:
        """Give what `carry_out` would reuse without building or sealing anything, or None.

        Raises GateFailed if there is one that the gates of today do not let through.
        """
        found = self._decide()
        if found.action != "reuse" or found.held or found.artifact is None:
            return None
        return self._result(found.artifact, found.reason, reused=True)

    def carry_out(self, build: Callable[[Job], Outcome]) -> StageResult:
        """Reuse or release what is there, or build it; others that want the same wait."""
        found = self._decide()
        if found.action == "reuse" and not found.held:
            return self._take(found)
        uses = [manifest.label for manifest in self._target.inputs.values()]
        stage, store = self._stage.name, self._store
        with (
            self._knobs_named(),
            os_errors_named(store.address),
            store.building(stage, self.key, uses, self._say_waiting) as workspace,
        ):
            found = self._decide()  # another run may have made it meanwhile
            return (
                self._take(found)
                if found.action == "reuse"
                else self._build(workspace, found, build)
            )

    @contextmanager
    def _knobs_named(self) -> Iterator[None]:
        """Let errors name knobs as the recipe has them: `lora.epochs`, where a stage says its own
        name, `finetune.epochs`."""
        try:
            yield
        except PhusaError as error:
            if self._name != self._stage.name:
                error.args = tuple(
                    re.sub(rf"\b{self._stage.name}\.(?=[a-z_])", f"{self._name}.", str(said))
                    for said in error.args
                )
            raise

    def _say_waiting(self, holder: str) -> None:
        note(f"{self._name}: another run is building the same artifact ({holder}); waiting for it")

    def _decide(self) -> Decision:
        found = decide(self._store, self._target, self._takedowns, force=self._options.force)
        require_passed(found.label, self._name, found.checks)
        return found

    def _take(self, found: Decision) -> StageResult:
        manifest = found.artifact
        assert manifest is not None, "nothing to reuse"
        if found.held:
            manifest = release(self._store, manifest, found.checks)
        note(f"{self._name}: reuse ({found.reason})")
        return self._conclude(manifest, found.reason, reused=True)

    def _conclude(self, manifest: Manifest, reason: str, *, reused: bool) -> StageResult:
        """Show the artifact on the run's page and hand it on."""
        self._publish(manifest, "reused" if reused else "built", reason)
        result = self._result(manifest, reason, reused=reused)
        log_made(self._store, result)
        return result

    def _publish(self, manifest: Manifest, action: str, reason: str) -> None:
        prompts = self._options.prompts
        publish_page(self._store, manifest, action=action, reason=reason, prompts=prompts)

    def _build(
        self, workspace: Workspace, found: Decision, build: Callable[[Job], Outcome]
    ) -> StageResult:
        stage, store, options = self._stage, self._store, self._options
        note(f"{self._name}: run ({found.reason})")
        left_out = found.left_out if stage.ports else self._takedowns.forgotten
        job = Job(
            stage=stage,
            config=self._config,
            inputs={
                port: tuple(open_artifact(store, one) for one in of)
                for port, of in self._target.given.items()
            },
            workspace=workspace,
            store=store,
            recipe=options.recipe,
            instance=self._name,
            force=options.force,
            forgotten=left_out,
        )
        last = last_made(store, stage, self._name, options.recipe)
        runner = options.runner if stage.maps else Threads()
        with MemoryPeak() as memory, submitting_to(runner, options.workers, workspace.root):
            outcome = build(job)
        built = Made(outcome.rows_in, outcome.rows_out, outcome.stats)
        checks = judge_made(stage, self._config, built, last)
        draft = self._draft(found, outcome, checks, workspace, memory)
        if blocking(checks):
            held = quarantine(store, workspace, draft)
            note_late_takedowns(store, held, self._takedowns)
            self._publish(held, "in quarantine", "a blocking check does not hold")
            require_passed(f"{held.label}, kept in quarantine,", self._name, checks)
        for warning in (c.says for c in checks if not c.passed):
            note(f"{self._name}: warning: {warning}")
        made = commit(store, workspace, draft, replace=found.replaces)
        note_late_takedowns(store, made, self._takedowns)
        return self._conclude(made, found.reason, reused=False)

    def _draft(
        self,
        found: Decision,
        outcome: Outcome,
        checks: tuple[CheckResult, ...],
        workspace: Workspace,
        memory: MemoryPeak,
    ) -> Draft:
        stage = self._stage
        return Draft(
            name=self._name,
            stage=stage.name,
            type=stage.output.name,
            fingerprint=found.key,
            config=identity(self._config),
            inputs={
                key: InputRef(name=m.name, version=m.version, digest=m.digest)
                for key, m in self._target.inputs.items()
            },
            rows_in=outcome.rows_in,
            rows_out=outcome.rows_out,
            stats=outcome.stats,
            checks=checks,
            forgotten=found.left_out.rules,
            code=CodeRef(
                stage_version=stage.version,
                source_sha256=stage.source_sha256,
                git_commit=git_commit(),
            ),
            run=RunRef(
                recipe=self._options.recipe,
                host=socket.gethostname(),
                flow_run_id=flow_run.get_id(),
                work_bytes=folder_bytes(workspace.root),
                memory_bytes=memory.num_bytes,
            ),
        )

    def _result(self, manifest: Manifest, reason: str, *, reused: bool) -> StageResult:
        return StageResult.of(manifest, self._name, reason, reused=reused)
