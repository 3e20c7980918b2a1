"""What every tracker has to do, on the real ones."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import get_args

import psutil
import pytest
from pydantic import TypeAdapter, ValidationError

from storage.errors import RequestError
from tasks.lm.tracking import MLflow, TensorBoard, Tracker, Trackers, WandB
from tasks.lm.tracking import logbook as logbook_module
from tasks.lm.tracking.logbook import Entry, TrackedRun, check_packages
from tests.tasks.lm.tracking.conftest import Place

# SQLAlchemy's connections of MLflow's client end with the process.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def run(tmp_path: Path) -> TrackedRun:
    folder = tmp_path / "tensorboard" / "river" / "pretrain-01234567"
    config = {"seed": 3, "model": {"kind": "qwen3", "num_layers": 2}, "long": "x" * 501}
    return TrackedRun.of("pretrain", tmp_path / "work" / ("0123456789abcdef" * 4), folder, config)


def _entries(steps: range) -> list[Entry]:
    return [Entry(step, {"loss": 8.0 / step, "rate_factor": step / 8}) for step in steps]


def test_the_suite_covers_every_member(place: Place) -> None:
    union = get_args(get_args(Tracker)[0])
    assert type(place.tracker) in union
    assert len(union) == 3, "a new tracker: add it to the parameters of `place`"


def test_every_step_is_shown_and_the_score(place: Place, run: TrackedRun) -> None:
    before = set(psutil.Process().children(recursive=True))
    sink = place.tracker.open(run)
    assert sink is not None
    sink.log(_entries(range(1, 3)))
    sink.log([*_entries(range(3, 6)), Entry(5, {"score": 0.5}, final=True)])
    sink.close(finished=True)
    (shown,) = place.read()
    assert shown["loss"] == [(step, pytest.approx(8.0 / step)) for step in range(1, 6)]
    assert shown["rate_factor"] == [(step, step / 8) for step in range(1, 6)]
    assert shown["score"] == [(5, 0.5)]
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_resumed_run_shows_each_step_once(place: Place, run: TrackedRun) -> None:
    stopped = place.tracker.open(run)
    assert stopped is not None
    stopped.log(_entries(range(1, 8)))  # killed after 7; the newest snapshot is of step 5
    stopped.close(finished=False)
    resumed = place.tracker.open(replace(run, first_step=5))
    assert resumed is not None
    resumed.log(_entries(range(5, 11)))
    resumed.log([Entry(10, {"score": 0.5}, final=True)])
    resumed.close(finished=True)
    again = place.tracker.open(replace(run, first_step=10))  # killed before it was sealed
    assert again is not None
    again.log([*_entries(range(10, 11)), Entry(10, {"score": 0.5}, final=True)])
    again.close(finished=True)
    (shown,) = place.read()
    assert shown["loss"] == [(step, pytest.approx(8.0 / step)) for step in range(1, 11)]
    assert [value for _, value in shown["score"]] == [0.5]


def test_a_training_that_is_begun_anew_is_another_run(run: TrackedRun) -> None:
    first = run.id
    assert first.startswith("pretrain-01234567-") and replace(run, first_step=9).id == first
    (run.state / "tracking-id").unlink()  # with the snapshots
    assert run.id != first


def test_names_come_from_the_folder_or_the_work() -> None:
    work = Path("work/pretrain/fedcba9876543210")
    unnamed = TrackedRun.of("pretrain", work, None, {"a": {"b": 1, "c": [2]}})
    assert (unnamed.recipe, unnamed.name) == ("phusa", "pretrain-fedcba98")
    assert unnamed.config == {"a.b": 1, "a.c": [2]}
    assert TensorBoard().open(unnamed) is None  # nowhere to write
    named = TrackedRun.of("pretrain", work, Path("tb/river/pretrain-1"), {})
    assert (named.recipe, named.name) == ("river", "pretrain-1")


def test_mlflow_has_the_knobs_and_the_state_of_a_run(
    tmp_path: Path, empty_database: Path, run: TrackedRun
) -> None:
    from mlflow import MlflowClient

    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    tracker = MLflow(uri=f"sqlite:///{path}", experiment="mine")
    client = MlflowClient(tracking_uri=tracker.uri)
    for finished, status in ((False, "KILLED"), (True, "FINISHED")):
        sink = tracker.open(run)
        assert sink is not None
        sink.close(finished=finished)
        experiment = client.get_experiment_by_name("mine")
        assert experiment is not None
        (found,) = client.search_runs([experiment.experiment_id])
        assert found.info.status == status
    assert found.info.run_name == "pretrain-01234567"
    params = found.data.params
    assert (params["seed"], params["model.kind"], len(params["long"])) == ("3", "qwen3", 500)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages([TensorBoard(), MLflow(), WandB()])
    monkeypatch.setattr(logbook_module, "find_spec", lambda name: None)
    check_packages([TensorBoard()])
    with pytest.raises(RequestError) as caught:
        check_packages([MLflow(), WandB()])
    assert "pip install 'phusa[mlflow]'" in str(caught.value)
    assert "pip install 'phusa[wandb]'" in str(caught.value)


def test_no_password_gets_into_a_recipe() -> None:
    for uri in ("https://me:secret@server", "postgresql://me@db/mlflow"):
        with pytest.raises(ValidationError, match="MLFLOW_TRACKING_PASSWORD") as caught:
            MLflow(uri=uri)
        assert "secret" not in str(caught.value).split("[type")[0]
    for uri in ("https://server:5000/path@x", "sqlite:///a@b.db", None):
        assert MLflow(uri=uri).uri == uri


def test_each_kind_once_at_most() -> None:
    read = TypeAdapter(Trackers).validate_python
    assert read([{"kind": "mlflow"}, {"kind": "wandb"}]) == (MLflow(), WandB())
    with pytest.raises(ValidationError, match="expected each kind of tracker once at most"):
        read([{"kind": "wandb"}, {"kind": "wandb", "project": "other"}])


def test_wandb_without_a_key_says_so_and_asks_nobody(
    run: TrackedRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    with pytest.raises(Exception, match="No API key configured"):
        WandB().open(run)
    import wandb

    wandb.teardown()
