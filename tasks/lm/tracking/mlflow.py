"""MLflow: a tracking server, or a database file.

Credentials come from MLflow's own environment variables (MLFLOW_TRACKING_USERNAME, _PASSWORD,
_TOKEN), never from a recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator

from tasks.config import knob
from tasks.lm.tracking.logbook import Entry, Installable, Sink, TrackedRun

_TAG = "phusa.id"
_PER_CALL = 100  # parameters; metrics may be 1000
_LONGEST = 500  # characters of a parameter, by the strictest of the servers


def _without_password(uri: str | None) -> str | None:
    if uri is not None and "@" in urlsplit(uri).netloc:
        raise ValueError(
            "holds a user or password; expected none, because recipes end up in manifests. Set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or all of MLFLOW_TRACKING_URI"
        )
    return uri


class MLflow(Installable):
    """A run of an MLflow experiment."""

    package: ClassVar[str | None] = "mlflow"

    kind: Literal["mlflow"] = "mlflow"
    uri: Annotated[str | None, AfterValidator(_without_password)] = knob(
        None, "tracking server or database (sqlite:///mlflow.db); null: MLFLOW_TRACKING_URI"
    )
    experiment: str | None = knob(None, "the experiment; null: one named after the recipe")

    def open(self, run: TrackedRun) -> Sink | None:
        return _Run(self.uri, self.experiment or run.recipe, run)


class _Run:
    """A run that is found again by its tag."""

    def __init__(self, uri: str | None, experiment: str, run: TrackedRun) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        place = self._experiment(experiment)
        found = self._client.search_runs([place], f"tags.`{_TAG}` = '{run.id}'")
        self._shown: dict[str, int] = {}
        if found:
            self._run = found[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            self._shown = {key: self._last_step(key) for key in found[0].data.metrics}
        else:
            tags = {_TAG: run.id}
            made = self._client.create_run(place, run_name=run.name, tags=tags)
            self._run = made.info.run_id
            self._log_config(run)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _last_step(self, key: str) -> int:
        return max(metric.step for metric in self._client.get_metric_history(self._run, key))

    def _log_config(self, run: TrackedRun) -> None:
        from mlflow.entities import Param

        params = [Param(name, str(value)[:_LONGEST]) for name, value in run.config.items()]
        for start in range(0, len(params), _PER_CALL):
            self._client.log_batch(self._run, params=params[start : start + _PER_CALL])

    def log(self, entries: Sequence[Entry]) -> None:
        metrics = list(self._new_metrics(entries))
        if metrics:
            self._client.log_batch(self._run, metrics=metrics)

    def _new_metrics(self, entries: Sequence[Entry]) -> Iterable[Any]:
        from mlflow.entities import Metric

        for entry in entries:
            for key, value in entry.values.items():
                if entry.step > self._shown.get(key, -1):
                    yield Metric(key, value, int(entry.time * 1000), entry.step)

    def close(self, *, finished: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")
