"""Documents on both sides of every bound, made from a seed: the same ones everywhere.

Only `Random.random` draws, whose sequence Python guarantees.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.clean.filters import Candidate
from tasks.clean.text import tidy

NUM_DOCUMENTS = 600

_WORDS = {
    "en": "the of and to that have with be river spring hill town water stone bridge mill road "
    "field light evening people market letter window garden morning incomprehensibility "
    "notwithstanding",
    "vi": "và của là có được cho các một trong không sông núi làng nước đá cầu đường ruộng người "
    "chợ thư cửa vườn sáng buổi nhà trẻ già",
    "fr": "le la de et les des est que pour dans rivière source colline ville eau pierre pont "
    "moulin route champ lumière soir marché lettre fenêtre",
    "ru": "и в не на что с по как это для река холм город вода камень мост дорога поле свет вечер",  # noqa: RUF001
    "ja": "川 の 水 は 町 を 石 に 橋 が 道 で 田 と 光 し 夕方 た",
    "zh": "河 的 水 是 城 不 石头 在 桥 了 路 和 田 有 光 这 傍晚",
}
_ODD = ("#", "…", "...", "->", "12", "3.5", "|", "=", "§", "--", "***", "x1", "URL:")
_NOTICES = (
    "Please enable JavaScript to see this page.",
    "We use cookies to make this page better.",
    "Read our privacy policy and the terms of use.",
    "Lorem ipsum dolor sit amet, they say.",
    "A block begins with a { and ends later.",
    "It was said before[12] and said again.[3]",
    "w" * 1100 + " is a long word.",
)
_HOSTS = (
    *("www.example.com", "example.net", "example.edu", "docs.example.com"),
    *("news.example.org", "a.news.example.org", "libxslt1-dev.example.org"),
)
_PATHS = (
    *("", "", "about", "en/index", "en/index.html", "a/b/c", "x/ch01.htm"),
    *("apbs02.html", "x/ch01.html", "install/en", "function-fmod"),
)


class _Draw:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def share(self) -> float:
        return self._random.random()

    def below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def one(self, of: Sequence[str]) -> str:
        return of[self.below(len(of))]


def made_up() -> list[Candidate]:
    """All of them."""
    return [_document(_Draw(seed)) for seed in range(NUM_DOCUMENTS)]


def _document(draw: _Draw) -> Candidate:
    language = draw.one(["en", "en", "en", *_WORDS])
    words = _vocabulary(draw, language)
    lines = [_line(draw, words, language) for _ in range(1 + draw.below(20))]
    again = draw.share() ** 3
    while draw.share() < again and len(lines) < 60:
        start = draw.below(len(lines))
        lines += lines[start : start + 1 + draw.below(3)]
    if draw.share() < 0.3:
        lines.insert(draw.below(len(lines)), draw.one(_NOTICES))
    gaps = draw.share()
    text = "".join(line + ("\n\n" if draw.share() < gaps else "\n") for line in lines)
    url = f"https://{draw.one(_HOSTS)}/{draw.one(_PATHS)}"
    return Candidate(tidy(text) or "x", language, url)


def _vocabulary(draw: _Draw, language: str) -> list[str]:
    """Words of a language, some with a number of their own: few, and n-grams repeat."""
    words, kinds = _WORDS[language].split(), draw.share()
    numbered = [f"{word}{'abcdefghij'[n % 10]}" for n, word in enumerate(words * 8)]
    own = words if kinds < 0.4 else words + numbered
    return own + list(_ODD) * (draw.share() < 0.3) + ["a"] * draw.below(60) * (draw.share() < 0.2)


def _line(draw: _Draw, words: list[str], language: str) -> str:
    gap = "" if language in ("ja", "zh") else " "
    line = gap.join(draw.one(words) for _ in range(1 + draw.below(1 + draw.below(40))))
    begun = draw.one(["", "", "", "", "- ", "• ", "* ", "  "]) + line
    end = "。" if language in ("ja", "zh") else ". "
    middle = end + gap.join(draw.one(words) for _ in range(4)) if draw.share() < 0.5 else ""
    return begun + middle.title() + draw.one([".", ".", "?", "", "", "...", "…", '"', "。"])
