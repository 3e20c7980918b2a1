"""The quality stage on a store that a real run filled: scored, dropped, reused, traced, purged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from flows.plan import Selection, Step, plan
from flows.recipe import load_recipe
from flows.stages import open_artifact
from flows.trace.page import trace
from storage.manifest import Manifest
from storage.records import UNSCORED
from storage.store import Store
from tasks.artifacts.scores import ScoresFinding
from tasks.quality.page import sections
from tests.flows.conftest import Cli, Phusa

pytestmark = pytest.mark.fleet  # minutes of whole runs

SHARE = 0.6


def rows(store: Store, manifest: Manifest, prefix: str) -> list[dict[str, Any]]:
    return [r for path in store.files(manifest, prefix) for r in pq.read_table(path).to_pylist()]


def step(path: Path, store: Store) -> Step:
    steps = plan(load_recipe(path), store, Selection())
    (found,) = [one for one in steps if one.stage.name == "quality"]
    return found


@pytest.fixture
def scoring(recipe: Path, store: Store, tmp_path: Path) -> Path:
    """The tiny recipe with a classifier: its pages against the same with words turned round."""
    texts = [row["text"] for row in rows(store, store.resolve("clean"), "documents/")]
    pieces = [text[at : at + 400] for text in texts for at in range(0, len(text) - 400, 400)]
    for name, of in (("good", pieces), ("bad", [" ".join(p.split()[::-1]) for p in pieces])):
        lines = (json.dumps({"text": text}) + "\n" for text in of)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    sides = {side: {"paths": [str(tmp_path / f"{side}.jsonl")]} for side in ("good", "bad")}
    raw: Mapping[str, Any] = yaml.safe_load(recipe.read_text())
    classifier = {"kind": "linear", "bucket_bits": 14, "examples": {"kind": "files", **sides}}
    knobs = {"classifier": classifier, "keep_share": SHARE}
    path = tmp_path / "scoring.yaml"
    path.write_text(yaml.safe_dump({**raw, "quality": knobs}))
    return path


def test_the_river_without_a_classifier_lets_everything_pass(store: Store) -> None:
    made = store.resolve("quality")
    assert made.stats == {"classifier": "none"} and made.rows_in == made.rows_out
    assert [entry.path for entry in made.files] == ["quality.json"]
    documents = rows(store, store.resolve("dedup"), "documents/")
    assert all(row["quality"] == UNSCORED for row in documents)
    seen = open_artifact(store, made)
    assert not list(sections(seen)) and not list(seen.type.samples(seen, ()))
    (visit,) = [v for v in trace(store, documents[0]["url"]).visits if v.stage == "quality"]
    assert visit.finding == ScoresFinding(False, (), ())


def test_documents_are_scored_dropped_traced_and_forgotten(
    phusa: Phusa, cli: Cli, scoring: Path, store: Store, tmp_path: Path
) -> None:
    place = Store(shutil.copytree(store.address, tmp_path / "store"))
    assert step(scoring, place).action == "run"
    for stage in ("quality", "dedup"):
        phusa("run", scoring, "--store", place.address, "--only", stage)
    made, dedup = place.resolve("quality"), place.resolve("dedup")
    scores, rejects = (rows(place, made, prefix) for prefix in ("scores/", "rejects/"))
    assert made.rows_out == round(SHARE * made.rows_in) == len(scores) - len(rejects)
    assert made.stats["held_out_auc"] > 0.9
    warned = {c.measure: c.severity for c in made.checks if not c.passed}
    assert warned == {"kept_share": "warn"}  # the last version kept all

    # What is rejected does not reach dedup, and what does has its score.
    dropped = {row["id"] for row in rejects}
    by_id = {row["document_id"]: row["score"] for row in scores}
    kept = rows(place, dedup, "documents/")
    assert dedup.rows_in == made.rows_out and not dropped & {r["document_id"] for r in kept}
    assert all(row["quality"] == by_id[row["document_id"]] for row in kept)

    # Traced with its value and bound.
    said = cli("trace", rejects[0]["url"], "--store", place.address).out
    assert f"dropped: low_quality: {rejects[0]['value']}, wanted {rejects[0]['threshold']}" in said

    # Its page shows what a person needs to judge it.
    seen = open_artifact(place, made)
    (shown,) = sections(seen)
    assert "AUC" in shown.markdown and "What speaks for good" in shown.markdown
    assert [picture.png[:4] for picture in shown.pictures] == [b"\x89PNG"]
    samples = [text.partition(":")[0] for text in seen.type.samples(seen, ())]
    assert samples == ["lowest", "low", "middle", "high", "highest"]

    # A hit as long as the examples are what they were.
    assert step(scoring, place).action == "reuse"
    with (tmp_path / "good.jsonl").open("a") as stream:
        stream.write(json.dumps({"text": "another"}) + "\n")
    changed = step(scoring, place)
    assert changed.action == "run" and "examples.good.digest" in changed.reason
    lines = (tmp_path / "good.jsonl").read_text().splitlines()[:-1]
    (tmp_path / "good.jsonl").write_text("\n".join(lines) + "\n")
    assert step(scoring, place).action == "reuse"

    # Taken down, its rows go: the stage is built again from what is left.
    gone = kept[0]["url"]
    phusa("forget", gone, "--why", "asked", "--purge", "--store", place.address)
    after = place.resolve("quality")
    assert after.version != made.version and made.version not in place.versions("quality")
    assert gone not in {row["url"] for row in rows(place, after, "scores/")}
    assert gone not in {row["url"] for row in rows(place, place.resolve("dedup"), "documents/")}
