"""The seam that all stages share, with a build that takes no time: hits, gates, quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import flows.stage_run as module
from flows.listing import describe
from flows.parameters import CleanInputs, RunOptions, StageResult
from flows.plan import Selection, plan
from flows.stage_run import Job, Outcome, find_made, run_stage
from storage import lease, takedown
from storage.errors import GateFailed, Interrupted, RequestError, StoreFull, UnknownArtifact
from storage.manifest import Manifest
from storage.sealing import bury, quarantined
from storage.store import Store
from storage.takedown import Forgotten, Takedown
from storage.verify import verify
from tasks.progress import Bar, SilentReporter, report_to, track
from tests.flows.by_hand import recipe, seal

STRICT = {"measure": "drop_rate", "max": 0.0}
LOOSE = {"measure": "drop_rate", "max": 0.5}


class Stage:
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
        force: bool = False,
        inputs: dict[str, Any] | None = None,
        during: Callable[[], object] = lambda: None,
        recipe_name: str = "r",
        **knobs: Any,
    ) -> StageResult:
        config = recipe(clean={"checks": list(checks), **knobs}).stage("clean")
        options = RunOptions(store=self.store.address, recipe=recipe_name, force=force)
        self.said.clear()

        def build(job: Job) -> Outcome:
            self.builds += 1
            self.job = job
            job.workspace.write_json("a.json", rows_out)
            during()
            words = {"words": 100 * rows_out, "languages": {"en": rows_out}}
            return Outcome(10, rows_out, {"dropped": {"length": 10 - rows_out}, **words})

        def run() -> StageResult:
            report_to(_Notes(self.said))
            return run_stage(
                "clean", config, CleanInputs.model_validate(inputs or {}), options, build
            )

        return copy_context().run(run)


class _Notes(SilentReporter):
    def __init__(self, said: list[str]) -> None:
        self._said = said

    def note(self, text: str) -> None:
        self._said.append(text)


@pytest.fixture(params=["local", "remote"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    remote = request.param == "remote"
    stage = Stage(Store(f"memory://{tmp_path}" if remote else tmp_path / "store"))

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


def test_a_build_is_sealed_with_all_that_is_known_of_it(stage: Stage) -> None:
    crawl = stage.store.resolve("crawl")
    result = stage(LOOSE)
    made = stage.store.resolve("clean")
    assert (result.version, result.digest, result.reused) == (made.version, made.digest, False)
    assert (result.rows_in, result.rows_out, result.stage) == (10, 8, "clean")
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


def test_a_second_run_is_a_hit(stage: Stage) -> None:
    first = stage(LOOSE)
    again = stage(LOOSE)
    assert (again.version, again.reused, stage.builds) == (first.version, True, 1)
    assert stage.said == [
        f"clean: reuse (same configuration and inputs as {first.version} "
        f"(fingerprint {stage.store.resolve('clean').fingerprint[:8]}))"
    ]
    assert stage.pages[-1] == (f"clean@{first.version}", "reused")


def test_what_differs_is_said(stage: Stage) -> None:
    stage(LOOSE)
    stage(LOOSE, min_language_score=0.5)
    assert stage.said[0].startswith("clean: run (min_language_score: ")
    stage(LOOSE, force=True)
    assert stage.said == ["clean: run (forced)"] and stage.builds == 3


@pytest.mark.parametrize("how", ["result", "version", "alias", "latest"])
def test_inputs_are_taken_as_they_are_named(stage: Stage, how: str) -> None:
    old = stage.store.resolve("crawl")
    new = seal(stage.store, recipe(), "crawl", "other pages")
    result = StageResult(
        stage="crawl", version=old.version, digest="", reused=True, reason="", rows_in=0,
        rows_out=0, num_bytes=0, seconds=0,
    )  # fmt: skip
    given: dict[str, dict[str, Any]] = {
        "result": {"crawl": result}, "version": {"crawl": old.version}, "latest": {},
        "alias": {"crawl": "@prod"},
    }  # fmt: skip
    stage.store.aliases.promote("crawl", old.version, "prod", "", lambda: {old.label})
    stage(LOOSE, inputs=given[how])
    assert stage.job is not None
    assert stage.job.inputs["crawl"] == (new if how == "latest" else old)
    (path,) = stage.job.files("crawl", "content")
    assert path == stage.job.folder("crawl") / "content.json"
    assert path.read_text() == ('"other pages"\n' if how == "latest" else '"pages"\n')


def test_an_input_that_is_not_there(stage: Stage) -> None:
    with pytest.raises(UnknownArtifact, match="no artifact crawl@latest made by recipe 'other'"):
        stage(LOOSE, recipe_name="other")
    assert stage.builds == 0


def test_its_inputs_are_held_while_it_builds(stage: Stage) -> None:
    found: list[tuple[str, ...]] = []
    backend = stage.store.backend
    stage(LOOSE, during=lambda: found.extend(x.uses for x in lease.live(backend).values()))
    assert found == [(stage.store.resolve("crawl").label,)]
    assert lease.live(backend) == {}


def test_what_another_built_while_it_waited_is_reused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding = lease.holding

    def late(*args: Any, **kw: Any) -> Any:
        monkeypatch.setattr(lease, "holding", holding)
        kw["waiting"](lease.Lease("t", "w", "far", 7, since=0, expires=0))
        Stage(stage.store)(LOOSE)  # the other, done at this very moment
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


def test_a_full_disk_is_named(stage: Stage) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreFull) as caught:
        stage(LOOSE, during=full)
    assert stage.store.address in str(caught.value)
    assert stage.store.versions("clean") == [] and quarantined(stage.store) == []
    stage(LOOSE)


def test_a_takedown_while_it_is_built_finds_its_result(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Takedown(id="t", kind="domain", value="a.example", why="", by="me", at=datetime.now(UTC))
    asked: list[str] = []

    class Found:
        def __init__(self, store: Store, manifests: Any, forgotten: Forgotten) -> None:
            asked.extend(forgotten.rules)

        def ids(self, manifest: Manifest) -> set[str]:
            return {"some document"}

    monkeypatch.setattr("flows.holding.Search", Found)
    stage(LOOSE, during=lambda: takedown.record(stage.store.backend, one))
    made = stage.store.resolve("clean")
    assert asked == ["domain a.example"]
    assert takedown.read(stage.store.backend).held_by([made]).takedowns == (one,)
    stage(LOOSE, force=True)
    assert asked == ["domain a.example"]  # it was known before this build began


def test_what_a_run_would_reuse_is_found_without_running_it(stage: Stage) -> None:
    config = recipe(clean={"checks": [LOOSE]}).stage("clean")
    options = RunOptions(store=stage.store.address, recipe="r")
    assert find_made("clean", config, CleanInputs(), options) is None
    made = stage(LOOSE)
    found = find_made("clean", config, CleanInputs(), options)
    assert found is not None and (found.version, found.reused) == (made.version, True)
    forced = options.model_copy(update={"force": True})
    assert find_made("clean", config, CleanInputs(), forced) is None
    assert stage.builds == 1 and len(stage.pages) == 1


def test_a_build_that_is_left_asks_its_tasks_to_stop(stage: Stage) -> None:
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


def test_a_build_that_fails_stays_in_quarantine(stage: Stage) -> None:
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


def test_all_that_fails_is_said_at_once(stage: Stage) -> None:
    share = {"measure": "top_language_share", "max": 0.5}
    with pytest.raises(GateFailed) as caught:
        stage(STRICT, share, {**LOOSE, "max": 0.1, "severity": "warn"})
    lines = [line for line in str(caught.value).splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in lines] == ["drop_rate", "top_language_share"]


def test_it_is_judged_again_and_not_built_again(stage: Stage) -> None:
    for _ in range(2):
        with pytest.raises(GateFailed) as caught:
            stage(STRICT)
    (held,) = quarantined(stage.store)
    assert str(caught.value).startswith(f"{held.label}, built before and in quarantine, does not")
    assert stage.builds == 1 and stage.said == []


def test_loosened_bounds_release_it_without_a_build(stage: Stage) -> None:
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


def test_force_builds_again_what_is_in_quarantine(stage: Stage) -> None:
    with pytest.raises(GateFailed):
        stage(STRICT)
    with pytest.raises(GateFailed, match="kept in quarantine"):
        stage(STRICT, force=True)
    assert stage.builds == 2 and len(quarantined(stage.store)) == 2
    result = stage(LOOSE, force=True)
    assert not result.reused and stage.builds == 3
    assert stage.store.resolve("clean").version == result.version


def test_other_knobs_build_anew(stage: Stage) -> None:
    with pytest.raises(GateFailed):
        stage(STRICT)
    result = stage(STRICT, rows_out=10, min_language_score=0.1)
    assert not result.reused and stage.builds == 2
    assert len(quarantined(stage.store)) == 1


def test_damage_in_quarantine_builds_anew(stage: Stage) -> None:
    with pytest.raises(GateFailed):
        stage(STRICT)
    (held,) = quarantined(stage.store)
    bury(stage.store, "clean", held.version, "by hand")
    assert not stage(LOOSE).reused and stage.builds == 2


def test_a_warning_is_said_and_sealed(stage: Stage) -> None:
    result = stage({**STRICT, "severity": "warn"})
    assert not result.reused
    assert len(stage.said) == 2
    assert stage.said[1].startswith("clean: warning: drop_rate 0.2 is above max 0. See the reasons")
    (failed,) = [c for c in stage.store.resolve("clean").checks if not c.passed]
    assert (failed.measure, failed.severity) == ("drop_rate", "warn")
    assert quarantined(stage.store) == []
    assert stage({**STRICT, "severity": "warn"}).reused


def test_a_hit_is_held_against_the_gates_of_today(stage: Stage) -> None:
    made = stage(LOOSE)
    with pytest.raises(GateFailed) as caught:
        stage(STRICT)
    assert str(caught.value).startswith(f"clean@{made.version} does not pass its blocking checks")
    assert "quarantine" not in str(caught.value)
    assert stage.builds == 1 and quarantined(stage.store) == []
    assert stage.store.resolve("clean").version == made.version  # what is sealed stays sealed
    assert stage(LOOSE).version == made.version


def test_bounds_beside_the_last_version(stage: Stage) -> None:
    """The last is that of the same recipe before the one that is judged."""
    rise = {"measure": "drop_rate", "max_rise": 0.1}
    first = stage(rise)
    with pytest.raises(GateFailed, match=r"drop_rate 0.4 rose by more than max_rise 0.1"):
        stage(rise, rows_out=6, min_language_score=0.1)
    assert stage(rise).version == first.version  # not beside itself, nor what is held
    (held,) = quarantined(stage.store)
    assert {c.measure: c.last for c in held.checks}["drop_rate"] == 0.2
    with pytest.raises(GateFailed, match="built before and in quarantine"):
        stage(rise, min_language_score=0.1)


# --- small things -------------------------------------------------------------------------------


def test_outside_a_checkout_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_git(*args: object, **kw: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr("subprocess.run", no_git)
    assert module._git_commit.__wrapped__() is None
