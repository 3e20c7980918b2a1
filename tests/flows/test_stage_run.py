"""The seam that all stages share, with a build that takes no time: hits, gates, quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import flows.stage_run as module
from flows.listing import describe
from flows.parameters import INPUTS, RunOptions, StageInputs, StageResult
from flows.plan import Selection, plan
from flows.stage_run import StageRun, run_stage
from flows.stages import STAGES
from flows.version import git_commit
from storage import lease, takedown
from storage.errors import (
    CorpusTooSmall,
    GateFailed,
    Interrupted,
    RequestError,
    StoreFull,
    UnknownArtifact,
)
from storage.manifest import Manifest
from storage.sealing import bury, quarantined
from storage.store import Store
from storage.takedown import Forgotten, Takedown
from storage.verify import verify
from tasks.artifacts.artifact import Held
from tasks.config import Config
from tasks.progress import Bar, SilentReporter, report_to, track
from tasks.stage import Job, Outcome
from tests.flows.by_hand import recipe, seal

STRICT = {"measure": "drop_rate", "max": 0.0}
LOOSE = {"measure": "drop_rate", "max": 0.5}


class Runs:
    """Runs `clean` as its flow does: `stage(LOOSE, rows_out=8)`; keeps what was said and shown."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.said: list[str] = []
        self.builds = 0
        self.pages: list[tuple[str, str]] = []
        self.job: Job | None = None

    def __call__(
        self,
        *checks: dict[str, Any],
        rows_out: int = 8,
        inputs: dict[str, Any] | None = None,
        during: Callable[[], object] = lambda: None,
        knobs: Mapping[str, Any] = MappingProxyType({}),
        **options: Any,
    ) -> StageResult:
        self.said.clear()

        def build(job: Job) -> Outcome:
            self.builds += 1
            self.job = job
            job.workspace.write_json("a.json", rows_out)
            during()
            words = {"words": 100 * rows_out, "languages": {"en": rows_out}}
            return Outcome(10, rows_out, {"dropped": {"length": 10 - rows_out}, **words})

        asked = asked_of(self.store, *checks, knobs=knobs, inputs=inputs, **options)

        def run() -> StageResult:
            report_to(_Notes(self.said))
            return run_stage(replace(STAGES["clean"], build=build), *asked)

        return copy_context().run(run)


def asked_of(
    store: Store,
    *checks: Mapping[str, Any],
    knobs: Mapping[str, Any] = MappingProxyType({}),
    inputs: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Config, StageInputs, RunOptions]:
    """Knobs, inputs and options as the flow of `clean` is given them."""
    config = STAGES["clean"].config.model_validate({"checks": list(checks), **knobs})
    given = INPUTS["clean"].model_validate(inputs or {})
    return config, given, RunOptions(**{"store": store.address, "recipe": "r", **options})


class _Notes(SilentReporter):
    def __init__(self, said: list[str]) -> None:
        self._said = said

    def note(self, text: str) -> None:
        self._said.append(text)


@pytest.fixture(params=["local", "remote"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    remote = request.param == "remote"
    stage = Runs(Store(f"memory://{tmp_path}" if remote else tmp_path / "store"))

    @contextmanager
    def nothing(*_: object) -> Iterator[None]:
        yield

    def publish(
        store: Store, manifest: Any, *, action: str, reason: str, prompts: tuple[str, ...]
    ) -> None:
        assert reason and store is not None
        stage.pages.append((manifest.label, action))

    monkeypatch.setattr(module, "publish_page", publish)  # there is no Prefect server here
    monkeypatch.setattr(module, "submitting_to", nothing)
    monkeypatch.setattr(module, "PrefectReporter", SilentReporter)
    seal(stage.store, recipe(), "crawl", "pages")
    return stage


# --- hit or build -------------------------------------------------------------------------------


def test_a_build_is_sealed_with_all_that_is_known_of_it(stage: Runs) -> None:
    crawl = stage.store.resolve("crawl")
    result = stage(LOOSE)
    made = stage.store.resolve("clean")
    assert (result.version, result.digest, result.reused) == (made.version, made.digest, False)
    assert (result.rows_in, result.rows_out) == (10, 8)
    assert (result.stage, result.instance, made.name) == ("clean", "clean", "clean")
    assert (made.stage, made.type) == ("clean", "documents")
    assert result.num_bytes == made.num_bytes and result.seconds == made.seconds
    assert made.inputs["crawl"].label == crawl.label
    assert made.inputs["crawl"].digest == crawl.digest
    assert made.stats["dropped"] == {"length": 2} and made.forgotten == ()
    assert "checks" not in made.config  # a gate is no part of what is made
    checks = {check.measure: check for check in made.checks}
    assert checks["drop_rate"].passed and checks["drop_rate"].value == 0.2
    assert checks["drop_rate"].bounds == {"max": 0.5} and "no_text_rate" in checks
    assert made.run.recipe == "r" and made.run.flow_run_id is None
    assert made.run.work_bytes is not None and made.run.work_bytes >= made.num_bytes
    assert made.run.memory_bytes is not None
    assert stage.said == ["clean: run (never made by this recipe)"]
    assert stage.pages == [(made.label, "built")]


def test_a_second_run_is_a_hit(stage: Runs) -> None:
    first = stage(LOOSE)
    again = stage(LOOSE)
    assert (again.version, again.reused, stage.builds) == (first.version, True, 1)
    assert stage.said == [
        f"clean: reuse (same configuration and inputs as {first.version} "
        f"(fingerprint {stage.store.resolve('clean').fingerprint[:8]}))"
    ]
    assert stage.pages[-1] == (f"clean@{first.version}", "reused")


def test_what_differs_is_said(stage: Runs) -> None:
    stage(LOOSE)
    stage(LOOSE, knobs={"min_language_score": 0.5})
    assert stage.said[0].startswith("clean: run (min_language_score: ")
    stage(LOOSE, force=True)
    assert stage.said == ["clean: run (forced)"] and stage.builds == 3


@pytest.mark.parametrize(
    "how", ["result", "version", "alias", "latest", "label", "alias of a name", "name"]
)
def test_inputs_are_taken_as_they_are_named(stage: Runs, how: str) -> None:
    old = stage.store.resolve("crawl")
    new = seal(stage.store, recipe(), "crawl", "other pages")
    result = StageResult(
        instance="sites", stage="crawl", name="crawl", version=old.version, digest="", reused=True,
        reason="", rows_in=0, rows_out=0, num_bytes=0, seconds=0,
    )  # fmt: skip
    given: dict[str, Any] = {
        "result": {"pages": result}, "version": {"pages": old.version}, "latest": {},
        "alias": {"pages": "@prod"}, "label": {"pages": old.label},
        "alias of a name": {"pages": "crawl@prod"}, "name": {"pages": "crawl"},
    }  # fmt: skip
    stage.store.aliases.promote("crawl", old.version, "prod", "", lambda: {old.label})
    stage(LOOSE, inputs=given[how])
    assert stage.job is not None
    newest = how in ("latest", "name")
    assert stage.job.input("pages").manifest == (new if newest else old)
    (path,) = stage.job.files("pages", "content")
    assert path == stage.job.folder("pages") / "content.json"
    assert path.read_text() == ('"other pages"\n' if newest else '"pages"\n')


def test_an_input_of_another_type_is_refused(stage: Runs) -> None:
    documents = seal(stage.store, recipe(), "clean", "documents")
    with pytest.raises(RequestError) as caught:
        stage(LOOSE, inputs={"pages": documents.label})
    (fault,) = caught.value.faults
    assert (fault.where, fault.expected) == ("pages", "pages")
    assert fault.found == f"{documents.label}, which is documents" and stage.builds == 0


def test_an_input_that_is_not_there(stage: Runs) -> None:
    with pytest.raises(UnknownArtifact, match="no artifact crawl@latest made by recipe 'other'"):
        stage(LOOSE, recipe="other")
    assert stage.builds == 0


def test_its_inputs_are_held_while_it_builds(stage: Runs) -> None:
    found: list[tuple[str, ...]] = []
    backend = stage.store.backend
    stage(LOOSE, during=lambda: found.extend(x.uses for x in lease.live(backend).values()))
    assert found == [(stage.store.resolve("crawl").label,)]
    assert lease.live(backend) == {}


def test_what_another_built_while_it_waited_is_reused(
    stage: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding = lease.holding

    def late(*args: Any, **kw: Any) -> Any:
        monkeypatch.setattr(lease, "holding", holding)
        kw["waiting"](lease.Lease("t", "w", "far", 7, since=0, expires=0))
        Runs(stage.store)(LOOSE)  # the other, done at this very moment
        return holding(*args, **kw)

    monkeypatch.setattr(lease, "holding", late)
    monkeypatch.setattr("storage.store.FileLock", _NoLock)
    result = stage(LOOSE)
    assert result.reused and stage.builds == 0
    assert stage.said[0] == (
        "clean: another run is building the same artifact (far, process 7, since 1970-01-01 "
        "00:00:00 UTC); waiting for it"
    )
    assert stage.said[1].startswith("clean: reuse (")


class _NoLock:
    """As on another host, where no lock reaches."""

    def __init__(self, *args: object) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...
    def acquire(self, **kw: object) -> None: ...
    def release(self) -> None: ...


def test_a_full_disk_is_named(stage: Runs) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreFull) as caught:
        stage(LOOSE, during=full)
    assert stage.store.address in str(caught.value)
    assert stage.store.versions("clean") == [] and quarantined(stage.store) == []
    stage(LOOSE)


def test_a_takedown_while_it_is_built_finds_its_result(
    stage: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Takedown(id="t", kind="domain", value="a.example", why="", by="me", at=datetime.now(UTC))
    asked: list[str] = []

    class Found:
        def __init__(self, store: Store, manifests: Any, forgotten: Forgotten) -> None:
            asked.extend(forgotten.rules)

        def of(self, manifest: Manifest) -> Held:
            return Held(frozenset({"some document"}), 1)

    monkeypatch.setattr("flows.takedown.search.Search", Found)
    stage(LOOSE, during=lambda: takedown.record(stage.store.backend, one))
    made = stage.store.resolve("clean")
    assert asked == ["domain a.example"]
    assert takedown.read(stage.store.backend).held_by([made]).takedowns == (one,)
    stage(LOOSE, force=True)
    assert asked == ["domain a.example"]  # it was known before this build began


def test_what_a_run_would_reuse_is_found_without_running_it(stage: Runs) -> None:
    def run(**options: Any) -> StageRun:
        return StageRun(STAGES["clean"], *asked_of(stage.store, LOOSE, **options))

    assert run().find() is None
    made = stage(LOOSE)
    found = run().find()
    assert found is not None and (found.version, found.reused) == (made.version, True)
    assert run().key == run(instance="other").key == stage.store.resolve("clean").fingerprint
    assert run(force=True).find() is None
    assert stage.builds == 1 and len(stage.pages) == 1


def test_an_instance_has_artifacts_of_its_own_name(stage: Runs) -> None:
    result = stage(LOOSE, instance="strictly")
    made = stage.store.resolve("strictly")
    assert (made.name, made.stage, made.type) == ("strictly", "clean", "documents")
    assert (result.instance, result.name, result.label) == ("strictly", "strictly", made.label)
    assert stage.job is not None and stage.job.instance == "strictly"
    assert stage.said[0].startswith("strictly: run (") and stage.store.versions("clean") == []


def test_equal_instances_share_one_artifact(stage: Runs) -> None:
    made = stage(LOOSE, instance="one")
    again = stage(LOOSE, instance="two")
    assert (again.label, again.instance, again.reused) == (made.label, "two", True)
    assert stage.builds == 1 and stage.store.names() == ["crawl", "one"]
    assert made.label in stage.said[0]
    stage(LOOSE, instance="two", force=True)
    assert stage.builds == 2 and stage.store.names() == ["crawl", "one", "two"]
    own = stage.store.resolve("two")
    assert stage.store.find("clean", own.fingerprint) == own


def test_what_failed_for_one_instance_is_not_built_for_an_equal_one(stage: Runs) -> None:
    with pytest.raises(GateFailed):
        stage(STRICT, instance="one")
    (held,) = quarantined(stage.store)
    with pytest.raises(GateFailed, match=held.label):
        stage(STRICT, instance="two")
    assert stage.builds == 1
    assert stage(LOOSE, instance="two").label == held.label and stage.builds == 1


def test_errors_name_the_knobs_of_the_instance(stage: Runs) -> None:
    def fail() -> None:
        raise CorpusTooSmall("too small. Lower clean.min_language_score, or mend clean@1")

    with pytest.raises(CorpusTooSmall) as caught:
        stage(LOOSE, during=fail, instance="two")
    assert str(caught.value) == "too small. Lower two.min_language_score, or mend clean@1"
    with pytest.raises(CorpusTooSmall, match=r"Lower clean\.min_language_score"):
        stage(LOOSE, during=fail)


def test_bounds_are_beside_the_last_of_the_same_instance(stage: Runs) -> None:
    rise = {"measure": "drop_rate", "max_rise": 0.1}
    stage(rise, instance="one")
    stage(rise, rows_out=5, knobs={"min_language_score": 0.1}, instance="two")
    with pytest.raises(GateFailed):
        stage(rise, rows_out=5, knobs={"min_language_score": 0.2}, instance="one")


def test_a_build_that_is_left_asks_its_tasks_to_stop(stage: Runs) -> None:
    """The bars of a stage that Prefect ended raise Interrupted, in every thread."""
    bars = ExitStack()
    bar: list[Bar] = []

    def cancelled() -> None:
        bar.append(bars.enter_context(track("pages", 10, "pages")))
        bar[0].advance()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage(LOOSE, during=cancelled)
    with pytest.raises(Interrupted):
        bar[0].advance()
    bars.close()
    assert stage(LOOSE).rows_out == 8  # the next run is not asked to stop


# --- gates --------------------------------------------------------------------------------------


def test_a_build_that_fails_stays_in_quarantine(stage: Runs) -> None:
    with pytest.raises(GateFailed) as caught:
        stage(STRICT)
    (held,) = quarantined(stage.store)
    said = str(caught.value)
    assert caught.value.exit_code == 1
    assert said.startswith(
        f"{held.label}, kept in quarantine, does not pass its blocking checks; expected all to "
        "hold:\n  drop_rate 0.2 is above max 0. See the reasons in rejects/; loosen "
    )
    assert "set other bounds for drop_rate in clean.checks" in said
    assert "`phusa show clean`" in said and "--force clean does build" in said
    assert stage.builds == 1
    assert [action for _, action in stage.pages] == ["in quarantine"]
    assert not list(stage.store.work.glob("clean/*/"))

    described = describe(stage.store, "clean")
    assert (described.manifest, described.state) == (held, "quarantined")
    assert stage.store.folder(held).joinpath("a.json").read_text() == "8\n"

    assert stage.store.versions("clean") == [] and stage.store.latest("clean") is None
    assert stage.store.find("clean", held.fingerprint) is None
    for reference in ("clean", held.label):
        with pytest.raises(UnknownArtifact):
            stage.store.resolve(reference)
    with pytest.raises(RequestError, match="no artifact clean@latest"):
        plan(recipe(), stage.store, Selection(only=("dedup",)))


def test_all_that_fails_is_said_at_once(stage: Runs) -> None:
    share = {"measure": "top_language_share", "max": 0.5}
    with pytest.raises(GateFailed) as caught:
        stage(STRICT, share, {**LOOSE, "max": 0.1, "severity": "warn"})
    lines = [line for line in str(caught.value).splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in lines] == ["drop_rate", "top_language_share"]


def test_it_is_judged_again_and_not_built_again(stage: Runs) -> None:
    for _ in range(2):
        with pytest.raises(GateFailed) as caught:
            stage(STRICT)
    (held,) = quarantined(stage.store)
    assert str(caught.value).startswith(f"{held.label}, built before and in quarantine, does not")
    assert stage.builds == 1 and stage.said == []


def test_loosened_bounds_release_it_without_a_build(stage: Runs) -> None:
    with pytest.raises(GateFailed):
        stage(STRICT)
    (held,) = quarantined(stage.store)
    result = stage(LOOSE)
    assert (result.version, result.reused, stage.builds) == (held.version, True, 1)
    assert stage.said == ["clean: reuse (from quarantine: its checks hold now)"]
    made = stage.store.resolve("clean")
    assert made.version == held.version and made.digest == held.digest
    assert {c.measure: c.bounds for c in made.checks if c.passed}["drop_rate"] == {"max": 0.5}
    assert all(check.passed for check in made.checks)
    assert quarantined(stage.store) == [] and verify(stage.store, deep=True) == []
    assert stage(LOOSE).version == held.version and stage.builds == 1


def test_force_builds_again_what_is_in_quarantine(stage: Runs) -> None:
    with pytest.raises(GateFailed):
        stage(STRICT)
    with pytest.raises(GateFailed, match="kept in quarantine"):
        stage(STRICT, force=True)
    assert stage.builds == 2 and len(quarantined(stage.store)) == 2
    result = stage(LOOSE, force=True)
    assert not result.reused and stage.builds == 3
    assert stage.store.resolve("clean").version == result.version


def test_other_knobs_build_anew(stage: Runs) -> None:
    with pytest.raises(GateFailed):
        stage(STRICT)
    result = stage(STRICT, rows_out=10, knobs={"min_language_score": 0.1})
    assert not result.reused and stage.builds == 2
    assert len(quarantined(stage.store)) == 1


def test_damage_in_quarantine_builds_anew(stage: Runs) -> None:
    with pytest.raises(GateFailed):
        stage(STRICT)
    (held,) = quarantined(stage.store)
    bury(stage.store, "clean", held.version, "by hand")
    assert not stage(LOOSE).reused and stage.builds == 2


def test_a_warning_is_said_and_sealed(stage: Runs) -> None:
    result = stage({**STRICT, "severity": "warn"})
    assert not result.reused
    assert len(stage.said) == 2
    assert stage.said[1].startswith("clean: warning: drop_rate 0.2 is above max 0. See the reasons")
    (failed,) = [c for c in stage.store.resolve("clean").checks if not c.passed]
    assert (failed.measure, failed.severity) == ("drop_rate", "warn")
    assert quarantined(stage.store) == []
    assert stage({**STRICT, "severity": "warn"}).reused


def test_a_hit_is_held_against_the_gates_of_today(stage: Runs) -> None:
    made = stage(LOOSE)
    with pytest.raises(GateFailed) as caught:
        stage(STRICT)
    assert str(caught.value).startswith(f"clean@{made.version} does not pass its blocking checks")
    assert "quarantine" not in str(caught.value)
    assert stage.builds == 1 and quarantined(stage.store) == []
    assert stage.store.resolve("clean").version == made.version  # what is sealed stays sealed
    assert stage(LOOSE).version == made.version


def test_bounds_beside_the_last_version(stage: Runs) -> None:
    """The last is that of the same recipe before the one that is judged."""
    rise = {"measure": "drop_rate", "max_rise": 0.1}
    first = stage(rise)
    with pytest.raises(GateFailed, match=r"drop_rate 0.4 rose by more than max_rise 0.1"):
        stage(rise, rows_out=6, knobs={"min_language_score": 0.1})
    assert stage(rise).version == first.version  # not beside itself, nor what is held
    (held,) = quarantined(stage.store)
    assert {c.measure: c.last for c in held.checks}["drop_rate"] == 0.2
    with pytest.raises(GateFailed, match="built before and in quarantine"):
        stage(rise, knobs={"min_language_score": 0.1})


# --- small things -------------------------------------------------------------------------------


def test_outside_a_checkout_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_git(*args: object, **kw: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr("subprocess.run", no_git)
    assert git_commit.__wrapped__() is None
