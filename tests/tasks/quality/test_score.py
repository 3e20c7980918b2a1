"""Scores, the bound that they have to reach, and what is said of what is dropped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.records import REJECT, SCORE
from storage.workspace import Workspace
from tasks.artifacts.scores import find_scores
from tasks.quality.config import QualityConfig
from tasks.quality.evaluation import facts, write_evaluation
from tasks.quality.model import Features, LinearModel
from tasks.quality.score import Decision, decide, keeps, reject_shard, score_shard
from tests.tasks.quality.conftest import document, write_documents

CLASSIFIER = {
    "kind": "linear",
    "examples": {"kind": "reference", "good": {"paths": ["x.jsonl"], "digest": "0"}},
}


def config(**knobs: Any) -> QualityConfig:
    return QualityConfig.model_validate({"classifier": CLASSIFIER, **knobs})


def write_scores(
    folder: Path, scores: Sequence[float], languages: Sequence[str] = (), num_shards: int = 1
) -> list[Path]:
    rows = [
        {"document_id": f"{n:04}", "url": f"http://a/{n}", "score": score,
         "language": languages[n] if languages else "en"}
        for n, score in enumerate(scores)
    ]  # fmt: skip
    paths = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num_shards):
        paths.append(folder / f"part-{number}.parquet")
        pq.write_table(pa.Table.from_pylist(rows[number::num_shards], SCORE), paths[-1])
    return paths


def kept(paths: Sequence[Path], decision: Decision) -> set[str]:
    found = set()
    for path in paths:
        table = pq.read_table(path)
        found |= set(table.filter(pa.array(keeps(table, decision)))["document_id"].to_pylist())
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.500001, 0.9]), min_size=1, max_size=40),
    st.floats(0.01, 1),
    st.integers(1, 4),
)
def test_a_share_is_kept_exactly(
    tmp_path: Path, scores: list[float], share: float, num_shards: int
) -> None:
    """Over all shards, equal scores by id: as sorting everything gives it."""
    paths = write_scores(tmp_path, scores, num_shards=min(num_shards, len(scores)))
    num = max(1, int(share * len(scores) + 0.5))
    ordered = sorted(range(len(scores)), key=lambda n: (-scores[n], n))
    assert kept(paths, decide(paths, config(keep_share=share))) == {
        f"{n:04}" for n in ordered[:num]
    }


def test_a_threshold_holds_for_languages_without_their_own(tmp_path: Path) -> None:
    paths = write_scores(tmp_path, [0.5, 0.49, 0.31, 0.29, 0.6], ["en", "en", "vi", "vi", "fr"])
    decision = decide(paths, config(threshold=0.5, thresholds={"vi": 0.3, "fr": 0.7}))
    assert kept(paths, decision) == {"0000", "0002"}
    scored = decide(paths, config(action="score", threshold=0.5))
    assert len(kept(paths, scored)) == 5
    assert decide(paths, config(action="score")).threshold == 0.5


def test_what_is_dropped_says_why(tmp_path: Path) -> None:
    paths = write_scores(tmp_path / "s", [0.75, 0.25, 0.25, 0.125], ["en", "vi", "vi", "en"])
    workspace = Workspace(tmp_path / "w")
    reject_shard(paths[0], decide(paths, config(keep_share=0.5)), workspace, "r.parquet")
    table = pq.read_table(workspace.data / "r.parquet")
    assert table.schema.equals(REJECT)
    row = {"url": "http://a/2", "stage": "quality", "reason": "low_quality", "value": "0.25"}
    assert table.to_pylist() == [
        {"id": "0002", **row, "threshold": "0.25, of equal scores the first ids"},
        {"id": "0003", **row, "url": "http://a/3", "value": "0.125",
         "threshold": "0.25, of equal scores the first ids"},
    ]  # fmt: skip
    entry = workspace.entry("r.parquet")
    assert entry is not None and not entry.volatile  # it decides what dedup reads
    decision = decide(paths, config(threshold=0.5, thresholds={"vi": 0.3}))
    reject_shard(paths[0], decision, workspace, "t.parquet")
    said = pq.read_table(workspace.data / "t.parquet").select(["id", "threshold"]).to_pylist()
    assert [tuple(row.values()) for row in said] == [
        ("0001", "0.3"), ("0002", "0.3"), ("0003", "0.5")
    ]  # fmt: skip


def test_scores_are_the_same_in_any_shards(tmp_path: Path, whole: list[str]) -> None:
    features = Features(2, 0, 12, 100)
    weights = np.random.default_rng(0).normal(size=1 << 12).astype(np.float32) * 9
    model = Workspace(tmp_path / "model")
    LinearModel(features, weights, 0.5).save(model)
    rows = [document(f"http://a/{n}", text) for n, text in enumerate([*whole[:50], "", "…"])]
    found = []
    for num_shards in (1, 4):
        documents = write_documents(tmp_path / f"of-{num_shards}", rows, num_shards)
        workspace, scores = Workspace(tmp_path / f"scored-{num_shards}"), {}
        for number, path in enumerate(documents):
            counted: list[int] = []
            name = f"scores/{number}.parquet"
            score_shard(path, model.data, workspace, name, counted.append)
            table = pq.read_table(workspace.data / name)
            ids = pq.read_table(path, columns=["document_id"])["document_id"]
            assert table["document_id"].equals(ids) and sum(counted) == table.num_rows
            assert table.schema.equals(SCORE)
            scores |= dict(zip(ids.to_pylist(), table["score"].to_pylist(), strict=True))
        found.append(scores)
    assert found[0] == found[1] and len(set(found[0].values())) > 40
    documents[0].unlink()
    score_shard(documents[0], model.data, workspace, "scores/0.parquet")  # it is finished


def test_the_evaluation_counts_the_corpus(tmp_path: Path) -> None:
    paths = write_scores(tmp_path / "s", [0.92, 0.2, 1.0, 0.0], ["en", "en", "vi", "vi"], 2)
    workspace = Workspace(tmp_path / "w")
    known = {
        "held_out": {"labels": [1, 0], "scores": [0.9, 0.3], "languages": ["en", ""]},
        "examples": {"good": {"used": 1}, "bad": {"used": 1}},
        "ngrams": {"good": [], "bad": []},
    }
    (workspace.scratch / "training.json").write_text(json.dumps(known))
    decision = decide(paths, config(threshold=0.5, thresholds={"vi": 1.0}))
    told = write_evaluation(paths, decision, workspace)
    assert told == json.loads((workspace.data / "evaluation.json").read_text())
    corpus = told["corpus"]
    assert corpus["histogram"] == [1, 0, 0, 0, 1, *[0] * 13, 1, 1]
    assert corpus["languages"] == {
        "en": {"documents": 2, "kept": 1, "mean_score": 0.56},
        "vi": {"documents": 2, "kept": 1, "mean_score": 0.5},
    }
    assert told["held_out"]["confusion"]["unknown"]["bad_dropped"] == 1
    said = facts("linear", "filter", told)
    assert said["dropped"] == {"low_quality": 2} and said["held_out_auc"] == 1.0
    assert said["mean_score"] == 0.53


def test_a_document_is_traced(tmp_path: Path) -> None:
    paths = write_scores(tmp_path / "s", [0.75, 0.25])
    workspace = Workspace(tmp_path / "w")
    reject_shard(paths[0], decide(paths, config(threshold=0.5)), workspace, "r.parquet")
    files = {"scores/": paths, "rejects/": [workspace.data / "r.parquet"]}.__getitem__
    found = find_scores(files, "url", {"http://a/1"})
    assert found is not None and found.is_scored
    assert [(one.document_id, one.score) for one in found.scored] == [("0001", 0.25)]
    (reject,) = found.rejected
    assert (reject.reason, reject.value, reject.threshold) == ("low_quality", "0.25", "0.5")
    by_id = find_scores(files, "document_id", {"0000"})
    assert by_id is not None and not by_id.rejected
    assert find_scores(files, "document_id", {"none"}) is None


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"classifier": None, "threshold": 0.5}, "threshold without a classifier"),
        ({"classifier": None, "keep_share": 0.5}, "keep_share without a classifier"),
        ({"classifier": None, "thresholds": {"vi": 0.5}}, "thresholds without a classifier"),
        ({}, "action filter has no bound"),
        ({"threshold": 0.5, "keep_share": 0.1}, "exclude each other"),
        ({"keep_share": 0.1, "thresholds": {"vi": 0.5}}, "without `threshold`"),
        ({"threshold": 1.5}, "less than or equal to 1"),
        ({"classifier": {**CLASSIFIER, "character_ngrams": 1}, "threshold": 0}, "2 to 6"),
    ],
)
def test_knobs_that_do_not_fit_together(knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config(**knobs)
