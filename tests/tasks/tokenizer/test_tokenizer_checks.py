"""What a tokenizer is measured by, and that it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.parquet import write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.checks import Made
from tasks.tokenizer.checks import measures
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.report import stats_of
from tasks.tokenizer.task import train
from tasks.tokenizer.train import bytes_per_token
from tests.tasks.judging import broken, changed
from tests.tasks.tokenizer.conftest import corpus, document_row, trained

DEMO = Made(635, 4096, {"text_bytes": 5_787_132, "bytes_per_token": 3.38})
TINY = Made(48, 384, {"text_bytes": 62_520, "bytes_per_token": 2.6})


@pytest.mark.parametrize("made", [DEMO, TINY])
def test_what_is_well_passes(made: Made) -> None:
    assert broken("tokenizer", made) == broken("tokenizer", made, made) == set()


def test_measures_by_hand() -> None:
    last = Made(9, 400, {"text_bytes": 1000, "bytes_per_token": 9})
    found = measures(Made(9, 300, {"text_bytes": 1500, "bytes_per_token": 2.5}), last)
    assert found == {
        "growth": -0.25,
        "text_growth": 0.5,
        "bytes_per_token": 2.5,
        "worst_bytes_per_token": None,  # of before there was a report
        "used_share": None,
    }
    told = {"language_bytes_per_token": {"en": 4.0, "hi": 2.1}, "used_share": 0.75}
    found = measures(Made(9, 300, {"text_bytes": 1, "bytes_per_token": 1, **told}), None)
    assert (found["worst_bytes_per_token"], found["used_share"]) == (2.1, 0.75)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (changed(DEMO, text_bytes=2_000_000), {"warn text_growth"}),
        (changed(DEMO, bytes_per_token=3.0), {"warn bytes_per_token"}),
        (changed(DEMO, bytes_per_token=3.2), set()),
    ],
)
def test_what_goes_wrong_is_noticed(made: Made, said: set[str]) -> None:
    assert broken("tokenizer", made, DEMO) == said
    assert broken("tokenizer", changed(DEMO, bytes_per_token=1.1)) == {"warn bytes_per_token"}


def test_bytes_per_token_by_hand() -> None:
    texts = corpus()[:3]
    tokens = sum(len(trained().encode(text, add_special_tokens=False).ids) for text in texts)
    expected = len("".join(texts).encode()) / tokens
    assert bytes_per_token(trained(), texts) == pytest.approx(expected)
    assert 1.5 < expected < 10


def test_training_says_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [document_row(text) for text in corpus()]
    write_rows(Workspace(tmp_path / "in"), "documents.parquet", rows, DOCUMENT)
    monkeypatch.setattr("tasks.tokenizer.task._SAMPLE_BYTES", len(corpus()[0].encode()) + 1)
    documents = [tmp_path / "in" / "data" / "documents.parquet"]
    seen = train.fn(documents, TokenizerConfig(vocab_size=400), tmp_path / "out")
    report = json.loads((tmp_path / "out" / "data" / "report.json").read_bytes())
    entry = Workspace(tmp_path / "out").entry("report.json")
    assert entry is not None and entry.volatile  # equal tokenizers stay equal
    assert seen == {
        **stats_of(report),
        "documents": len(corpus()),
        "text_bytes": len("".join(corpus()).encode()),
        "bytes_per_token": bytes_per_token(trained(), corpus()[:2]),  # the sample is the first two
    }
