"""Documents that repeat themselves.

Source: Gopher, arXiv:2112.11446 §A1.1 and table A1.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.config import Config, knob

_TOP = {n: f"top_{n}_gram_character_share" for n in (2, 3, 4)}
_REPEATED = {n: f"repeated_{n}_gram_character_share" for n in range(5, 11)}
"""The signal of each length."""

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
        from tasks.clean.kernels.repeats import grams

        lines, paragraphs = candidate.line_repeats, candidate.paragraph_repeats
        length = max(len(candidate.text), 1)
        of_grams = grams(candidate.codes, candidate.tables.words).tolist()
        names = (*_TOP.values(), *_REPEATED.values())
        return {
            "repeated_line_share": lines.share,
            "repeated_character_share": lines.repeated_characters / length,
            "repeated_paragraph_share": paragraphs.share,
            "repeated_paragraph_character_share": paragraphs.repeated_characters / length,
            **{name: num / length for name, num in zip(names, of_grams, strict=True)},
        }

    def bounds(self) -> tuple[Bound, ...]:
        in_lines, paragraphs = self.max_repeated_character_share, self.max_repeated_paragraph_share
        most = self.max_repeated_paragraph_character_share
        tops = zip(_TOP.items(), self.max_top_gram_shares, strict=True)
        repeated = zip(_REPEATED.items(), self.max_repeated_gram_shares, strict=True)
        return (
            Bound("repeated_lines", "repeated_line_share", max=self.max_repeated_line_share),
            Bound("repeated_characters", "repeated_character_share", max=in_lines),
            Bound("repeated_paragraphs", "repeated_paragraph_share", max=paragraphs),
            Bound("repeated_paragraph_characters", "repeated_paragraph_character_share", max=most),
            *(Bound(f"top_{n}_gram", signal, max=share) for (n, signal), share in tops),
            *(Bound(f"repeated_{n}_grams", signal, max=share) for (n, signal), share in repeated),
        )
