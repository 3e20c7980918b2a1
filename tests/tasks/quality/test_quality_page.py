"""What a quality stage shows of its classifier, and of what it scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.stages import open_artifact
from storage.records import DOCUMENT, SCORE
from storage.store import Store
from tasks.quality.page import sections
from tests.flows.run_page.test_stage_page import document
from tests.flows.sealed import seal

VERSION = "20261121-010101-000-aaaa"
TOLD: dict[str, Any] = {
    "held_out": {
        "auc": 0.98765, "threshold": 0.5, "precision": 0.9, "recall": 0.8, "f1": 0.85,
        "calibration_error": 0.01,
    },
    "examples": {"good": {"used": 1200, "held_out": 100, "held_out_by": "url"}},
    "corpus": {
        "documents": 30, "kept": 20, "histogram": [3, 2, 1], "threshold": 0.5,
        "languages": {
            "en": {"documents": 10, "kept": 5, "mean_score": 0.5},
            "vi": {"documents": 20, "kept": 15, "mean_score": 0.75},
        },
    },
    "ngrams": {
        "good": [{"ngram": "<b>`mill`", "also": [], "weight": 1.5, "in_good": 0.5, "in_bad": 0.1}],
    },
}  # fmt: skip


def test_the_classifier_is_shown(tmp_path: Path) -> None:
    files: dict[str, pa.Table | bytes] = {"evaluation.json": json.dumps(TOLD).encode()}
    made = seal(tmp_path, "quality", VERSION, files)
    (section,) = sections(open_artifact(Store(tmp_path), made))
    assert section.title == "Quality"
    assert "| AUC | 0.9877 |" in section.markdown
    rows = section.markdown.partition("mean score |")[2].split("\n")[2:4]
    assert rows == ["| vi | 20 | 15 | 0.75 |", "| en | 10 | 5 | 0.5 |"]  # most documents first
    assert "```text\n  good    bad  weight  n-gram\n 50.0%  10.0%   +1.50  <b>`mill`\n```" in (
        section.markdown
    )
    (picture,) = section.pictures
    assert picture.name == "scores" and picture.png[:4] == b"\x89PNG"


def test_without_a_classifier_there_is_nothing_to_show(tmp_path: Path) -> None:
    made = seal(tmp_path, "quality", VERSION, {"quality.json": b"{}"})
    seen = open_artifact(Store(tmp_path), made)
    assert list(sections(seen)) == [] and list(seen.type.samples(seen, ())) == []


def test_samples_go_from_the_lowest_score_to_the_highest(tmp_path: Path) -> None:
    documents = [document(number) for number in range(9)]
    clean = seal(tmp_path, "clean", VERSION, {
        "documents/part-00000-of-00001.parquet": pa.Table.from_pylist(documents, schema=DOCUMENT)
    })  # fmt: skip
    scores = [
        {"document_id": f"{number:032x}", "url": f"u{number}", "language": "en", "score": score}
        for number, score in enumerate((0.9, 0.1, 0.5, 0.3, 0.7))
    ]
    made = seal(tmp_path, "quality", VERSION, {
        "scores/part-00000-of-00001.parquet": pa.Table.from_pylist(scores, schema=SCORE)
    }, inputs=(clean,))  # fmt: skip
    seen = open_artifact(Store(tmp_path), made)
    texts = list(seen.type.samples(seen, ()))
    heads = [text.split("\n")[0] for text in texts]
    assert heads == [
        "lowest: 0.1000, en", "low: 0.3000, en", "middle: 0.5000, en", "high: 0.7000, en",
        "highest: 0.9000, en",
    ]  # fmt: skip
    assert texts[0].endswith("\nu1\n\ntext 1 ")
