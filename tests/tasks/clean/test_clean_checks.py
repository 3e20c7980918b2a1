"""What cleaning is measured by, on figures that it ended with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.parquet import write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.checks import Made
from tasks.clean.checks import measures
from tasks.clean.clean import describe
from tests.tasks.judging import broken, changed

DEMO = Made(
    885,
    816,
    {
        "dropped": {"other_language": 3, "too_few_words": 57, "unsure_language": 9},
        "languages": {"en": 816},
        "words": 1_025_806,
    },
)
TINY = Made(57, 55, {"dropped": {"no_text": 1}, "languages": {"en": 55}, "words": 9000})


@pytest.mark.parametrize("made", [DEMO, TINY])
def test_what_is_well_passes(made: Made) -> None:
    assert broken("clean", made) == broken("clean", made, made) == set()


def test_measures_by_hand() -> None:
    dropped = {"extractor_timeout": 2, "extractor_failed": 1, "no_text": 2, "too_few_words": 15}
    made = Made(100, 80, {"dropped": dropped, "languages": {"en": 60, "vi": 20}, "words": 800})
    last = Made(100, 40, {"dropped": {}, "languages": {"en": 20, "de": 20}, "words": 800})
    assert measures(made, last) == {
        "growth": 1.0,
        "drop_rate": 0.2,
        "no_text_rate": 0.05,
        "document_size_growth": -0.5,
        "top_language_share": 0.75,
        "language_shift": 0.5,  # 1/4 more English, 1/4 Vietnamese, 1/2 German gone
    }


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (changed(DEMO, rows_out=17, words=20_000), {"block drop_rate", "warn drop_rate"}),
        (changed(DEMO, rows_out=300, words=400_000), {"block drop_rate", "warn drop_rate"}),
        (changed(DEMO, rows_out=700), {"warn drop_rate"}),
        (changed(DEMO, dropped={"no_text": 797}), {"block no_text_rate", "warn no_text_rate"}),
        (changed(DEMO, dropped={"extractor_crashed": 60}), {"warn no_text_rate"}),
        (
            changed(DEMO, languages={"de": 500, "en": 316}),
            {"block language_shift", "warn language_shift"},
        ),
        (changed(DEMO, languages={"en": 716, "de": 100}), {"warn language_shift"}),
        (changed(DEMO, languages={"en": 766, "de": 50}), set()),
        (changed(DEMO, words=400_000), {"warn document_size_growth"}),
        (changed(DEMO, words=2_100_000), {"warn document_size_growth"}),
    ],
)
def test_what_goes_wrong_is_noticed(made: Made, said: set[str]) -> None:
    assert broken("clean", made, DEMO) == said


def test_a_last_version_that_did_not_count_languages_is_no_change() -> None:
    old = Made(885, 816, {"dropped": {}})
    found = measures(DEMO, old)
    assert found["language_shift"] is None and found["document_size_growth"] is None


def test_a_build_that_does_not_count_languages_is_not_taken_for_half_a_shift() -> None:
    made = Made(885, 816, {"dropped": {}, "words": 1_025_806})
    assert broken("clean", made, DEMO) == {"block language_shift", "warn language_shift"}


def test_documents_are_described_without_reading_their_text(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    plain: dict[str, Any] = {field.name: "" for field in DOCUMENT}
    plain |= {"language_score": 1.0, "repeated_share": 0.0, "pii": [], "quality": 0.5}
    shards = {"a": ["vi", "en", "de"], "b": ["en", "vi", "en"], "empty": []}
    for name, languages in shards.items():
        rows = [
            plain | {"language": code, "num_words": 10 + n, "pii": ["email", "phone"][:n]}
            for n, code in enumerate(languages)
        ]
        write_rows(workspace, name, rows, DOCUMENT)
    found = describe([workspace.data / name for name in shards])
    assert found == {
        "languages": {"en": 3, "vi": 2, "de": 1},
        "words": 66,
        "pii": {"email": 4, "phone": 2},
    }
    assert list(found["languages"]) == ["en", "vi", "de"]  # the most frequent first
    nothing = {"languages": {}, "words": 0, "pii": {}}
    assert describe([workspace.data / "empty"]) == nothing
