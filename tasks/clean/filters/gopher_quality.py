"""Gopher's quality rules; the number of words is `Length`'s.

Source: arXiv:2112.11446 table A1.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.config import Config, knob
from tasks.words import UNSPACED

# English: Gopher, arXiv:2112.11446 table A1. The others are among each language's most frequent
# words; a language without a row is not asked. Where no spaces stand between words they are
# searched as strings, so only what is rarely part of another word is named there.
_STOP_WORDS = {
    "en": "the be to of and that have with",
    "vi": "và của là có được cho các một trong không những với này người để",
    "fr": "le la de et les des est que pour dans un une en du qui",
    "de": "der die und das ist nicht mit von zu ein den in auf für sich",
    "es": "el la de que y en los del se para un una por con las",
    "it": "il la di che e un una per del non sono con le della in",
    "pt": "o a de que e do da em um uma para com não os as",
    "nl": "de het een en van is dat op te in voor met niet zijn",
    "pl": "i w na z że się nie do jest to jak o od po",
    "ru": "и в не на что с по как это для от к из у",  # noqa: RUF001
    "id": "yang dan di untuk dengan ini dari pada adalah dalam tidak itu",
    "tr": "ve bir bu da de için ile olarak çok daha gibi olan",
    "ar": "في من على أن إلى عن التي ما هذا مع لا هو",
    "zh": "的 是 不 在 了 有 和 这 這 为 為 我 他",
    "ja": "の に は を た が で て と し れ さ",
    "th": "ที่ และ การ ของ ใน เป็น มี ได้ ให้ จะ ไม่ นี้",
}
STOP_WORDS = {language: frozenset(words.split()) for language, words in _STOP_WORDS.items()}
"""Function words by language: running text has some, lists and spam have few."""

_BULLETS = ("-", "*", "•", "‣", "◦", "–")  # noqa: RUF001 (an en dash is meant)


class GopherQuality(Config):
    """Drop what does not read like running text."""

    kind: Literal["gopher_quality"] = "gopher_quality"
    min_mean_word_length: float = knob(3.0, "characters", ge=0)
    max_mean_word_length: float = knob(10.0, "characters", gt=0)
    max_symbol_share: float = knob(0.1, "number signs, or ellipses, per word", ge=0, le=1)
    bullets: tuple[Annotated[str, Field(min_length=1)], ...] = knob(
        _BULLETS, "what a line of a list begins with"
    )
    max_bullet_line_share: float = knob(0.9, "share of lines", ge=0, le=1)
    max_ellipsis_line_share: float = knob(0.3, "share of lines that end in one", ge=0, le=1)
    min_alphabetic_share: float = knob(0.8, "share of words with a letter", ge=0, le=1)
    min_stop_words: int = knob(
        2,
        f"different stop words of the document's language ({', '.join(STOP_WORDS)}; others pass)",
        ge=0,
    )

    def measure(self, candidate: Candidate) -> Signals:
        """Of words and lines.

        `num_stop_words` is NaN in a language that has no table, `mean_word_length` in one that puts
        no spaces between words.
        """
        from tasks.clean.kernels import characters, scan

        marks, words, num_words = candidate.mark_counts, candidate.word_counts, candidate.num_words
        num_all = candidate.num_all_words
        per_word = max(num_all, 1)
        mean = words.characters / max(num_words, 1)
        lines = candidate.tables.lines
        num_listed, num_trailing = scan.count_bullets(
            candidate.codes, characters.classes(), lines, characters.string_table(self.bullets)
        )
        num_lines = max(len(lines), 1)
        return {
            "mean_word_length": math.nan if candidate.language in UNSPACED else mean,
            "number_sign_share": marks[scan.NUMBER_SIGNS] / per_word,
            "ellipsis_share": marks[scan.ELLIPSES] / per_word,
            "alphabetic_share": (num_all - words.without_letter) / per_word,
            "num_stop_words": _num_stop_words(candidate),
            "bullet_line_share": num_listed / num_lines,
            "ellipsis_line_share": num_trailing / num_lines,
        }

    def bounds(self) -> tuple[Bound, ...]:
        return (
            Bound("short_words", "mean_word_length", min=self.min_mean_word_length),
            Bound("long_words", "mean_word_length", max=self.max_mean_word_length),
            Bound("number_signs", "number_sign_share", max=self.max_symbol_share),
            Bound("ellipses", "ellipsis_share", max=self.max_symbol_share),
            Bound("few_alphabetic_words", "alphabetic_share", min=self.min_alphabetic_share),
            Bound("few_stop_words", "num_stop_words", min=self.min_stop_words),
            Bound("bullet_lines", "bullet_line_share", max=self.max_bullet_line_share),
            Bound("ellipsis_lines", "ellipsis_line_share", max=self.max_ellipsis_line_share),
        )


def _num_stop_words(candidate: Candidate) -> float:
    """Different stop words; NaN in a language that has no table."""
    from tasks.clean.kernels import characters, scan

    stop_words = STOP_WORDS.get(candidate.language)
    if stop_words is None:
        return math.nan
    if candidate.language in UNSPACED:
        return sum(word in candidate.text for word in stop_words)
    if candidate.mark_counts[scan.UNEVEN]:
        return len(stop_words.intersection(map(str.lower, candidate.words)))
    return scan.count_present(
        candidate.codes,
        characters.small_letters(),
        candidate.tables.words,
        characters.string_table(stop_words),
        characters.first_bytes(stop_words),
    )
