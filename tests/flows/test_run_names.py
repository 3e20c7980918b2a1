"""What runs are called, without a server."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from flows.parameters import INPUTS, RunOptions
from flows.plan import Selection
from flows.run_names import pipeline_name, stage_name
from flows.stage_flows import FLOWS

USUAL = {"recipe": {"dedup": {"threshold": 0.8}}}


def context(asked: dict[str, Any], stage: str = "dedup", **says: Any) -> FlowRunContext:
    run = FlowRun(flow_id=uuid4(), **says)
    return FlowRunContext.model_construct(flow=FLOWS[stage], flow_run=run, parameters=asked)


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        (Selection(), "all"),
        (Selection(force=("crawl", "dedup")), "all, force crawl dedup"),
        (Selection(only=("dedup",), inputs={"clean": "@prod"}), "only dedup, clean=@prod"),
        (Selection(from_=("clean",), to=("shard",)), "from clean, to shard"),
    ],
)
def test_a_pipeline_says_what_was_chosen(selection: Selection, says: str) -> None:
    assert pipeline_name("mine", selection) == f"mine: {says} (command line)"


@pytest.mark.parametrize(
    ("begun", "says"),
    [
        ({}, "command line"),
        ({"deployment_id": uuid4(), "auto_scheduled": True}, "schedule"),
        ({"deployment_id": uuid4(), "parameters": USUAL}, "quick run"),
        ({"deployment_id": uuid4(), "parameters": {**USUAL, "only": "dedup"}}, "custom run"),
    ],
)
def test_a_run_says_what_began_it(
    begun: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = SimpleNamespace(read_deployment=lambda _: SimpleNamespace(parameters=USUAL))
    monkeypatch.setattr("flows.run_names.get_client", lambda **_: nullcontext(asked))
    with context({}, **begun):
        assert pipeline_name("mine", Selection()) == f"mine: all ({says})"


def test_a_stage_alone_says_what_was_chosen_and_one_in_a_pipeline_does_not() -> None:
    options = RunOptions(store="store", recipe="mine", instance="strict", force=True)
    asked = {"options": options, "inputs": INPUTS["dedup"].model_validate({"documents": "@prod"})}
    with context(asked):
        assert stage_name() == "strict for mine, force, documents=@prod (command line)"
    with context(asked, parent_task_run_id=uuid4()):
        assert stage_name() == "strict for mine"
    plain = {"options": RunOptions(store="s", recipe="mine"), "inputs": INPUTS["dedup"]()}
    with context(plain):
        assert stage_name() == "dedup for mine (command line)"
