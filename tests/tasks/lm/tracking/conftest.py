"""Real trackers, each with a way to read back what it shows. Nothing leaves this machine."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tasks.lm.tracking import MLflow, TensorBoard, Tracker, WandB

Shown = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Place:
    """A tracker, and the curves that a person sees there: one dict for each run."""

    tracker: Tracker
    read: Callable[[], list[Shown]]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables: they take seconds to make."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


def _tensorboard(tmp_path: Path) -> Place:
    def read() -> list[Shown]:
        runs = []
        for folder in sorted({file.parent for file in tmp_path.rglob("events.out.*")}):
            events = EventAccumulator(str(folder)).Reload()
            tags = events.Tags()["scalars"]
            runs.append({tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags})
        return runs

    return Place(TensorBoard(folder=str(tmp_path / "events")), read)


def _mlflow(tmp_path: Path, empty: Path) -> Place:
    from mlflow import MlflowClient

    path = tmp_path / "mlflow.db"
    path.write_bytes(empty.read_bytes())
    uri = f"sqlite:///{path}"

    def read() -> list[Shown]:
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name("river")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        return [
            {
                key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
            }
            for run in runs
        ]

    return Place(MLflow(uri=uri), read)


def _leveldb_records(log: bytes) -> Iterator[bytes]:
    """Records of a W&B transaction log: a header of 7 bytes, then LevelDB's log format."""
    position, record = 7, b""
    while position < len(log):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", log, position)
        record += log[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield record
            record = b""


def _wandb(tmp_path: Path) -> Place:
    from wandb.proto.wandb_internal_pb2 import Record

    def records(file: Path) -> list[Record]:
        return [Record.FromString(data) for data in _leveldb_records(file.read_bytes())]

    def read() -> list[Shown]:
        runs: dict[str, Shown] = {}
        for file in sorted(tmp_path.rglob("run-*.wandb")):
            shown = runs.setdefault(file.stem, {})
            last, scores = 0, {}
            for record in records(file):
                if record.HasField("history"):
                    row = {
                        item.key or ".".join(item.nested_key): json.loads(item.value_json)
                        for item in record.history.item
                    }
                    last = int(row["_step"])
                    for key, value in row.items():
                        if not key.startswith("_"):
                            shown.setdefault(key, []).append((last, value))
                for item in record.summary.update:
                    scores[item.key] = json.loads(item.value_json)
            shown |= {key: [(last, score)] for key, score in scores.items() if key not in shown}
        return list(runs.values())

    return Place(WandB(), read)


@pytest.fixture(params=["tensorboard", "mlflow", "wandb"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """One for each member of the union."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    if request.param == "mlflow":
        return _mlflow(tmp_path, empty_database)
    return {"tensorboard": _tensorboard, "wandb": _wandb}[request.param](tmp_path)
