"""The page of a pipeline's run, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.artifacts import Artifact

from flows.parameters import StageResult
from flows.promotion import Promoted
from flows.run_page import publish_summary
from storage.errors import GateFailed
from storage.manifest import Manifest
from storage.store import Store
from tasks.artifacts.artifact import Score
from tasks.artifacts.model import Model
from tests.flows.run_page.conftest import RUN, Shown
from tests.flows.sealed import seal


def result(manifest: Manifest, *, reused: bool = False) -> StageResult:
    return StageResult(
        instance=manifest.name,
        stage=manifest.stage,
        name=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        reused=reused,
        reason="why",
        rows_in=manifest.rows_in,
        rows_out=manifest.rows_out,
        num_bytes=manifest.num_bytes,
        seconds=manifest.seconds,
    )


def sealed(root: Path, name: str, version: str, **says: Any) -> Manifest:
    return seal(root, name, f"20261121-0101{version}-000-aaaa", {"a": b"x"}, run=RUN, **says)


@pytest.fixture
def made(tmp_path: Path) -> list[Manifest]:
    crawl = sealed(tmp_path, "crawl", "01", rows_in=3, stats={"rejected": {"http_404": 3}})
    sealed(tmp_path, "pretrain", "01", stats={"validation_bits_per_byte": 0.75})
    now = {"validation_bits_per_byte": 0.5}
    return [crawl, sealed(tmp_path, "pretrain", "02", stats=now)]


def test_a_good_run(
    tmp_path: Path, made: list[Manifest], shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    crawl, model = made
    scores = [
        Score("text", "unigram tokens", 2.5), Score("text", "xz -9", 1.25),
        Score("other text", "its base model", 9.0), Score("text", "this model", 0.5, own=True),
    ]  # fmt: skip
    monkeypatch.setattr(Model, "scores", lambda *_: scores)
    moved = [Promoted(model.label, "prod", "pretrain@old", ("no score to compare",))]
    results = [result(crawl, reused=True), result(model)]
    publish_summary(Store(tmp_path), "tiny", results, moved=moved)
    assert list(shown.artifacts) == ["summary", "stages"] and shown.notes == []
    assert shown.artifacts["summary"].description == "1 stages built, 1 reused"
    page = shown["summary"]
    assert page.startswith("## tiny: done\n\n1 stages built, 1 reused\n\n## Stages")
    link = f"[crawl](../../runs/flow-run/{RUN.flow_run_id})"
    assert f"| {link} | `20261121-010101` | reused | 3 | 0 pages | 3 | 1.5 | 1 B |" in page
    score = f"| `{model.label}` | **0.5** | 0.75 | -0.2500, better | "
    assert score + "unigram tokens 2.500, xz -9 1.250 |" in page
    assert f"`pretrain@prod` means `{model.label}` now, before it `pretrain@old`; no sc" in page
    assert f'phusa sample {model.label} "PROMPT"' in page and "phusa promote" not in page
    table = shown.artifacts["stages"].table
    assert [(row["stage"], row["action"], row["dropped"]) for row in table] == [
        ("crawl", "reused", "3"),
        ("pretrain", "built", ""),
    ]


def test_what_is_no_better_is_said(tmp_path: Path, made: list[Manifest], shown: Shown) -> None:
    worse = sealed(tmp_path, "pretrain", "03", stats={"validation_bits_per_byte": 0.625})
    publish_summary(Store(tmp_path), "tiny", [result(worse)])
    assert "| **0.625** | 0.5 | +0.1250, **worse** |" in shown["summary"]
    assert f"phusa promote {worse.label} prod" in shown["summary"]
    assert "## Aliases" not in shown["summary"]


def test_a_failure_comes_first(tmp_path: Path, made: list[Manifest], shown: Shown) -> None:
    failure = GateFailed("clean@2 does not pass:\n  drop_rate. Loosen <b>```")
    publish_summary(Store(tmp_path), "tiny", [result(made[0])], failure=failure)
    page = shown["summary"]
    assert page.startswith(
        "## tiny: failed\n\n**GateFailed**:\n\n````text\nclean@2 does not pass:\n"
        "  drop_rate. Loosen <b>```\n````\n\n## Stages\n\n"
    )
    assert "None was moved" in page and "start the same run again" in page
    described = shown.artifacts["summary"].description
    assert described == "failed (GateFailed) after 1 stages built, 0 reused"


def test_a_failure_of_the_first_stage(tmp_path: Path, shown: Shown) -> None:
    publish_summary(Store(tmp_path), "tiny", [], failure=ValueError("odd"))
    assert list(shown.artifacts) == ["summary"]
    assert "## Stages" not in shown["summary"] and "odd" in shown["summary"]


def test_it_never_raises(
    tmp_path: Path, made: list[Manifest], shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = result(made[0]).model_copy(update={"version": "20260101-000000-000-ffff"})
    publish_summary(Store(tmp_path), "tiny", [gone])

    def away(self: Artifact) -> None:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(Artifact, "create", away)
    publish_summary(Store(tmp_path), "tiny", [result(made[0])])
    first, second = shown.notes
    assert first.startswith("the summary: not shown in the Prefect UI (UnknownArtifact: ")
    assert second == "the summary: not shown in the Prefect UI (ConnectionError: nobody there)"
