"""Documents that repeat themselves.

Source: Gopher, arXiv:2112.11446 §A1.1 and table A1.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.clean.filters.bounds import Bound, Signals
from tasks.clean.filters.candidate import Candidate
from tasks.config import Config, knob

_TOP = (2, 3, 4)
_REPEATED = (5, 6, 7, 8, 9, 10)


Share = Annotated[float, Field(ge=0, le=1)]


class Repetition(Config):
    """Drop documents whose lines, paragraphs or n-grams of words stand there again and again."""

    kind: Literal["repetition"] = "repetition"
    max_repeated_line_share: float = knob(0.3, "share of lines", ge=0, le=1)
    max_repeated_character_share: float = knob(
        0.2, "share of characters, in repeated lines", ge=0, le=1
    )
    max_repeated_paragraph_share: float = knob(0.3, "share of paragraphs", ge=0, le=1)
    max_repeated_paragraph_character_share: float = knob(
        0.2, "share of characters, in repeated paragraphs", ge=0, le=1
    )
    max_top_gram_shares: tuple[Share, Share, Share] = knob(
        (0.2, 0.18, 0.16),
        "share of characters, in the most frequent n-gram of words, of length 2, 3, 4",
    )
    max_repeated_gram_shares: tuple[Share, Share, Share, Share, Share, Share] = knob(
        (0.15, 0.14, 0.13, 0.12, 0.11, 0.1),
        "share of characters, in n-grams of words that stand there already, of length 5, 6, ... 10",
    )

    def measure(self, candidate: Candidate) -> Signals:
        """Shares of the text's characters are of all, line feeds included."""
        lines, paragraphs = candidate.line_repeats, candidate.paragraph_repeats
        length = max(len(candidate.text), 1)
        return {
            "repeated_line_share": lines.share,
            "repeated_character_share": lines.repeated_characters / length,
            "repeated_paragraph_share": paragraphs.share,
            "repeated_paragraph_character_share": paragraphs.repeated_characters / length,
            **_gram_shares(candidate, length),
        }

    def bounds(self) -> tuple[Bound, ...]:
        most = self.max_repeated_paragraph_character_share
        tops = zip(_TOP, self.max_top_gram_shares, strict=True)
        repeated = zip(_REPEATED, self.max_repeated_gram_shares, strict=True)
        return (
            Bound("repeated_lines", "repeated_line_share", max=self.max_repeated_line_share),
            Bound(
                "repeated_characters",
                "repeated_character_share",
                max=self.max_repeated_character_share,
            ),
            Bound(
                "repeated_paragraphs",
                "repeated_paragraph_share",
                max=self.max_repeated_paragraph_share,
            ),
            Bound("repeated_paragraph_characters", "repeated_paragraph_character_share", max=most),
            *(Bound(f"top_{n}_gram", _top(n), max=share) for n, share in tops),
            *(Bound(f"repeated_{n}_grams", _repeated(n), max=share) for n, share in repeated),
        )


def _top(n: int) -> str:
    return f"top_{n}_gram_character_share"


def _repeated(n: int) -> str:
    return f"repeated_{n}_gram_character_share"


_GRAMS = (*map(_top, _TOP), *map(_repeated, _REPEATED))


def _gram_shares(candidate: Candidate, length: int) -> dict[str, float]:
    from tasks.clean.kernels.repeats import grams

    characters = grams(candidate.codes, candidate.tables.words).tolist()
    return {name: num / length for name, num in zip(_GRAMS, characters, strict=True)}
