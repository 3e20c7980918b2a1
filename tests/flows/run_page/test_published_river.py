"""Every stage's page as a real Prefect server keeps it, of the artifacts of a real run."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, FlowRunFilterId
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from flows.parameters import StageResult
from flows.run_page import publish_page, publish_summary
from flows.stages import STAGES
from storage.store import Store
from tasks.progress import reporting_to
from tests.flows.run_page.conftest import Shown
from tests.flows.run_page.test_run_summary import result

PROMPT = "What is silt.mod1.fold?"


@pytest.fixture
def on_server(prefect_env: dict[str, str]) -> Iterator[None]:
    with temporary_settings(
        {
            PREFECT_API_URL: prefect_env["PREFECT_API_URL"],
            PREFECT_HOME: prefect_env["PREFECT_HOME"],
            PREFECT_LOGGING_TO_API_ENABLED: False,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        }
    ):
        yield


def river(store: Store, action: str) -> tuple[dict[str, str], float]:
    """Publish every stage's page and the summary; the runs' ids, and the slowest in seconds."""
    runs: dict[str, str] = {}
    took: list[float] = []

    def stage_run(name: str) -> StageResult:
        @flow(name=name)
        def stage(options: dict[str, str]) -> None:
            runs[name] = str(flow_run.get_id())
            began = time.monotonic()
            publish_page(
                store, store.resolve(name), action=action, reason="because", prompts=[PROMPT]
            )
            took.append(time.monotonic() - began)

        stage({"instance": name})
        return result(store.resolve(name), reused=action == "reused")

    @flow(name="pipeline", flow_run_name="tiny")
    def pipeline() -> None:
        runs["pipeline"] = str(flow_run.get_id())
        publish_summary(store, "tiny", [stage_run(name) for name in STAGES])

    quiet = Shown()
    with reporting_to(quiet):
        pipeline()
    assert quiet.notes == []
    return runs, max(took)


def artifacts(run_id: str) -> dict[str, Any]:
    """What the server keeps of one run, by key."""
    asked = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run_id)]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(flow_run_filter=asked, artifact_filter=ArtifactFilter())
    return {artifact.key or "": artifact for artifact in found}


@pytest.mark.usefixtures("on_server")
def test_every_stage_shows_its_page(store: Store) -> None:
    runs, _ = river(store, "built")
    kept = {name: artifacts(run_id) for name, run_id in runs.items()}
    for name in STAGES:
        assert {"table", "markdown"} <= {one.type for one in kept[name].values()}
        assert {name, f"{name}-rows"} <= set(kept[name]), kept[name]
        page = kept[name][name].data
        assert page.startswith(f"## {name}: built") and "(data:image/svg+xml;base64," in page
        assert "could not be made" not in page, page
    picture = kept["pretrain"]["pretrain-loss"]
    assert picture.type == "image"
    assert base64.b64decode(picture.data.partition(",")[2])[:4] == b"\x89PNG"
    assert f"![loss and learning rate by step]({picture.data})" in kept["pretrain"]["pretrain"].data

    said = {name: kept[name][name].data.partition("## Samples\n\n")[2] for name in STAGES}
    assert said["crawl"] == ""
    assert said["clean"].count("silt.mod") >= 3 and said["dedup"].count("```text") == 3
    assert "|" in said["tokenizer"].split("```")[1]
    assert "The first 65 tokens of the first sequence:\n\n<|endoftext|>" in said["shard"]
    for name in ("pretrain", "finetune"):
        assert said[name].startswith(f"```text\n{PROMPT}")

    summary = kept["pipeline"]["summary"].data
    for name in STAGES:
        assert f"[{name}](../../runs/flow-run/{runs[name]})" in summary
    assert "unigram tokens 2." in summary and "its base model 0." in summary
    assert kept["pipeline"]["stages"].type == "table"


@pytest.mark.usefixtures("on_server")
def test_what_is_reused_costs_little(store: Store) -> None:
    runs, slowest = river(store, "reused")
    assert slowest < 1.0  # 0.04 s here; 3 s where torch, a model or matplotlib is loaded
    assert set(artifacts(runs["pretrain"])) == {"pretrain", "pretrain-rows"}
