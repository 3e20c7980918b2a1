"""Flow runs end as their work does, whatever becomes of the server that records them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import httpx
import pytest
from prefect import Flow

from flows import recording
from flows.recording import kept, run_recorded
from storage.errors import CorpusTooSmall, RunError


class FakeFlow:
    """A flow whose engine may fail to begin, or to record the end."""

    def __init__(self, work: Callable[[], Any], fails: str) -> None:
        self._work, self._fails, self.runs = work, fails, 0

    def __call__(self, **parameters: Any) -> Any:
        if self._fails == "at the beginning":
            raise httpx.ConnectError("refused")
        try:
            return self.fn(**parameters)
        finally:
            if self._fails == "at the end":
                raise httpx.ConnectError("refused")

    def fn(self, **parameters: Any) -> Any:
        self.runs += 1
        return kept(self._work)

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return parameters


def run(flow: FakeFlow) -> Any:
    return run_recorded(cast("Flow[Any, Any]", flow), {})


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(recording, "_UNHEARD", {})
    monkeypatch.setattr(recording, "_missed", [])
    monkeypatch.setattr(recording, "is_healthy", lambda url: False)
    yield


def test_a_run_that_is_recorded_leaves_nothing_to_be_told() -> None:
    assert run(FakeFlow(lambda: 3, "")) == 3
    with pytest.raises(CorpusTooSmall):
        run(FakeFlow(_too_small, ""))
    assert not recording._UNHEARD and not recording._missed


def _too_small() -> None:
    raise CorpusTooSmall("found 1; expected more.")


def test_work_that_ended_counts_and_is_told_later() -> None:
    flow = FakeFlow(lambda: 3, "at the end")
    assert run(flow) == 3 and flow.runs == 1
    (outcome,) = recording._UNHEARD.values()
    assert recording._state(outcome).is_completed()


def test_the_error_of_the_work_is_not_lost_to_that_of_the_server() -> None:
    with pytest.raises(CorpusTooSmall):
        run(FakeFlow(_too_small, "at the end"))
    (outcome,) = recording._UNHEARD.values()
    assert recording._state(outcome).is_failed()


def test_within_a_flow_the_work_goes_on_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = FakeFlow(lambda: 3, "at the beginning")
    with pytest.raises(RunError) as caught:  # nothing runs yet: there is nothing to lose
        run(flow)
    assert caught.value.faults[0].code == "prefect_server_away" and flow.runs == 0
    monkeypatch.setattr("prefect.context.FlowRunContext.get", object)
    assert run(flow) == 3 and flow.runs == 1
