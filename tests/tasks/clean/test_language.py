"""Language identification of whole documents, language tags, and which documents they keep."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tasks.clean.config import CleanConfig
from tasks.clean.language import CODES, LanguageDetector, plain_code, whole_language

SENTENCES = {
    "en": "The weather is fine today, and we are going for a walk in the park with our friends.",
    "vi": "Hôm nay trời đẹp, chúng tôi đi dạo trong công viên rồi ăn phở với bạn bè.",
    "fr": "Aujourd'hui il fait beau et nous allons nous promener dans le parc avec des amis.",
    "de": "Heute ist das Wetter schön, und wir gehen mit unseren Freunden im Park spazieren.",
    "zh": "今天天气很好，我们和朋友们去公园散步，然后一起吃面条。",  # noqa: RUF001
}


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return LanguageDetector()


@pytest.mark.parametrize("language", SENTENCES)
def test_languages(detector: LanguageDetector, language: str) -> None:
    found, score = detector.detect(SENTENCES[language])
    assert found == language
    assert 0.8 < score <= 1


@pytest.mark.parametrize("text", ["", " ", "\n\n\t "])
def test_no_text_has_no_language(detector: LanguageDetector, text: str) -> None:
    assert detector.detect(text) == ("und", 0.0)


def test_line_breaks_do_not_count(detector: LanguageDetector) -> None:
    broken = SENTENCES["vi"].replace(" ", "\n")
    assert detector.detect(broken) == detector.detect(SENTENCES["vi"])


def test_the_whole_document_counts(detector: LanguageDetector) -> None:
    beginning = " ".join([SENTENCES["en"]] * 60)
    assert len(beginning) > 4000
    language, score = detector.detect(beginning + SENTENCES["vi"] * 100)
    assert language == "vi"
    assert score < detector.detect(SENTENCES["vi"] * 100)[1]


def test_noise_is_never_sure(detector: LanguageDetector) -> None:
    for noise in ("12345 !!! ###", "x", "\x00\x01", "\ufffd" * 50, "=-" * 3000):
        assert detector.detect(noise)[1] <= 0.65


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
