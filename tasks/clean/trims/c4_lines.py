"""C4's rules for lines.

Source: arXiv:1910.10683 §2.2; the length of words, citations and policy phrases from its code,
https://github.com/tensorflow/datasets c4_utils.py.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from tasks.clean.filters.terminal import TERMINAL
from tasks.clean.trims.trimmed import Trimmed, without
from tasks.config import Config, knob

_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_ENDS = (".", "?", "!", '"', "'")
_ENDS_OF_ANY_SCRIPT = (*_ENDS, *sorted(TERMINAL), "”", "’", "»", "」", "』")  # noqa: RUF001
_POLICY = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


class C4Lines(Config):
    """Keep lines that end as a sentence does, have some words and are no notice to the visitor.

    The first rule in the order below names why a line goes. Wikipedia's `[12]`, `[edit]` and
    `[citation needed]` are taken out of lines.
    """

    kind: Literal["c4_lines"] = "c4_lines"
    max_word_characters: int = knob(1000, "characters of a line's longest word", ge=1)
    citations: bool = knob(True, "take Wikipedia's citation marks out")
    ended: bool = knob(True, "drop lines without a mark at their end, or with an ellipsis")
    any_script: bool = knob(
        True, "marks of all scripts, and closing quotes; otherwise C4's own: . ? ! and \" '"
    )
    min_words: int = knob(3, "words between spaces in a line", ge=0)
    javascript: bool = knob(True, "drop lines that name JavaScript")
    policy: tuple[str, ...] = knob(_POLICY, "phrases, in any case; lines with one are dropped")

    def apply(self, text: str) -> Trimmed:
        """Lines keep their indentation, paragraphs the blank line between them."""
        lowered = text.lower()
        javascript = self.javascript and "javascript" in lowered
        policy = tuple(phrase for phrase in map(str.lower, self.policy) if phrase in lowered)
        ends = _ENDS_OF_ANY_SCRIPT if self.any_script else _ENDS
        lines, reasons = self.without_citations(text).split("\n"), list[str | None]()
        for line in lines:
            words = line.split()
            if not words:
                reasons.append(None)
            elif self._too_long(line, words):
                reasons.append("long_word_line")
            elif self.ended and (not line.endswith(ends) or line.endswith("...")):
                reasons.append("unended_line")
            elif len(words) < self.min_words:
                reasons.append("short_line")
            elif javascript and "javascript" in line.lower():
                reasons.append("javascript_line")
            elif policy and _has_one(line.lower(), policy):
                reasons.append("policy_line")
            else:
                reasons.append(None)
        return without(lines, reasons)

    def without_citations(self, text: str) -> str:
        """The text without Wikipedia's marks, if they are to go."""
        if not self.citations or "[" not in text:
            return text
        # What stood apart may compose now.
        cited = unicodedata.normalize("NFC", _CITATION.sub("", text))
        return "\n".join(map(str.rstrip, cited.split("\n")))

    def _too_long(self, line: str, words: list[str]) -> bool:
        most = self.max_word_characters
        return len(line) > most and any(len(word) > most for word in words)


def _has_one(line: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in line for phrase in phrases)
