"""Language tags, and which documents a list of them keeps."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tasks.clean.config import CleanConfig
from tasks.clean.language import LanguageDetector
from tasks.clean.language_codes import CODES, plain_code, whole_language


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        *(("pt-BR", "pt"), ("pt_BR", "pt"), ("zh-CN", "zh"), ("zh_TW", "zh"), ("EN", "en")),
        *(("nb", "no"), ("nb-NO", "no"), ("nn", "nn"), ("sr", "sr"), ("sr-Cyrl", "sr")),
        *(("vi-VN", "vi"), ("iw", "he"), ("fil", "tl"), ("ca@valencia", "ca")),
    ],
)
def test_tags(tag: str, code: str) -> None:
    assert plain_code(tag) == code


@pytest.mark.parametrize("tag", ["xx", "", "english", "sr-Latn", "sr@latin"])
def test_what_cannot_be_told_apart_is_refused(tag: str) -> None:
    with pytest.raises(ValidationError, match="expected"):
        CleanConfig(languages=(tag,))


def test_codes_are_the_models() -> None:
    detector = LanguageDetector()
    found = detector._detector.detect("a", k=500)
    assert {str(one["lang"]) for one in found} <= CODES
    assert len(CODES) == 176


def test_whole_languages() -> None:
    assert [whole_language(code) for code in ("nn", "yue", "arz", "vi")] == ["no", "zh", "ar", "vi"]


def test_equal_lists_are_equal_recipes() -> None:
    assert CleanConfig(languages=("pt-BR", "nb")) == CleanConfig(languages=("pt", "no"))


def test_scores_by_language() -> None:
    config = CleanConfig(
        languages=("no", "vi", "en"), min_language_score=0.6, language_scores={"vi-VN": 0.4}
    )
    found = {code: config.min_score_of(code) for code in ("vi", "en", "no", "nn", "fr")}
    assert found == {"vi": 0.4, "en": 0.6, "no": 0.6, "nn": 0.6, "fr": None}
    assert CleanConfig().min_score_of("fr") == 0.0


@pytest.mark.parametrize("scores", [{"vi": 0.4}, {"xx": 0.4}, {"en": 1.5}, {"en": -0.1}])
def test_scores_that_mean_nothing_are_refused(scores: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        CleanConfig(languages=("en",), language_scores=scores)
