"""What runs are called, without a server."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from flows.pipeline import pipeline
from flows.stage_flows import FLOWS

USUAL: dict[str, Any] = {"recipe": {"name": "mine", "workers": 2}, "store": "somewhere"}


def context(flow: Any, asked: dict[str, Any], **begun: Any) -> FlowRunContext:
    """A run in hand that was asked this, as Prefect makes its context."""
    parameters = flow.validate_parameters(asked)
    run = FlowRun(flow_id=uuid4(), **begun)
    return FlowRunContext.model_construct(flow=flow, flow_run=run, parameters=parameters)


def name_of(flow: Any) -> str:
    found: str = flow.flow_run_name()
    return found


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({}, "all"),
        ({"force": ["crawl", "dedup"]}, "all, force crawl dedup"),
        ({"only": "dedup", "inputs": {"clean": "@prod", "crawl": ""}}, "only dedup, clean=@prod"),
        ({"from_stage": "clean", "to_stage": "shard"}, "from clean, to shard"),
    ],
)
def test_a_pipeline_says_what_was_chosen(chosen: dict[str, Any], says: str) -> None:
    with context(pipeline, USUAL | chosen):
        assert name_of(pipeline) == f"mine: {says} (command line)"


FILLED_FORM = {"only": "", "force": [], "inputs": {"clean": ""}, "promote": ""}


@pytest.mark.parametrize(
    ("changed", "begun", "says"),
    [
        ({}, {"deployment_id": uuid4(), "auto_scheduled": True}, "schedule"),
        ({}, {"deployment_id": uuid4()}, "quick run"),
        (FILLED_FORM, {"deployment_id": uuid4()}, "quick run"),
        ({"promote": "prod"}, {"deployment_id": uuid4()}, "custom run"),
        ({"recipe": {"name": "mine", "workers": 3}}, {"deployment_id": uuid4()}, "custom run"),
    ],
)
def test_a_run_says_what_began_it(
    changed: dict[str, Any], begun: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = SimpleNamespace(read_deployment=lambda _: SimpleNamespace(parameters=USUAL))
    monkeypatch.setattr("flows.run_names.get_client", lambda **_: nullcontext(asked))
    with context(pipeline, USUAL | changed, **begun):
        assert name_of(pipeline) == f"mine: all ({says})"


def test_a_stage_alone_says_what_was_chosen_and_one_in_a_pipeline_does_not() -> None:
    dedup = FLOWS["dedup"]
    options = {"store": "somewhere", "recipe": "mine", "instance": "strict", "force": True}
    asked = {"config": {}, "options": options, "inputs": {"documents": "@prod"}}
    with context(dedup, asked):
        assert name_of(dedup) == "strict for mine, force, documents=@prod (command line)"
    with context(dedup, asked, parent_task_run_id=uuid4()):
        assert name_of(dedup) == "strict for mine"
    with context(dedup, {"config": {}, "options": {"store": "somewhere", "recipe": "mine"}}):
        assert name_of(dedup) == "dedup for mine (command line)"
