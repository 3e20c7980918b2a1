"""Language identification of whole documents."""

from __future__ import annotations

import pytest

from tasks.clean.language import LanguageDetector

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
