"""C4's rules for lines.

Source: arXiv:1910.10683 §2.2; the length of words, citations and policy phrases from its code,
https://github.com/tensorflow/datasets c4_utils.py.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import compress
from typing import Literal

from tasks.clean.text import code_points, compose
from tasks.clean.trims.trimmed import Trimmed
from tasks.config import Config, knob

_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")  # begun by one character: sought by it
_CITED_NO_ASCII = re.compile(_CITATION.pattern + r"[^\x00-\x7f]")
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
        from tasks.clean.kernels import characters, scan

        text = self.without_citations(text)
        codes, phrases = code_points(text), _phrases(self.policy, self.javascript)
        mark = scan.ANY_END if self.any_script else scan.C4_END
        asked = (self.ended, mark, self.max_word_characters, self.min_words)
        numbers = scan.c4_lines(codes, characters.classes(), *asked)
        present = tuple(compress(phrases, characters.count_strings(text, codes, phrases)))
        if present:  # almost never
            for number, line in enumerate(text.split("\n")):
                if not numbers[number]:
                    numbers[number] = scan.REASONS.index(_notice(line.lower(), present))
        # Most lines stay, and those that follow each other are one piece: a third of the time.
        runs, counts = scan.kept_lines(codes, numbers)
        kept = "\n".join([text[start:end] for start, end in runs.tolist()]).rstrip("\n")
        pairs = zip(scan.REASONS, counts.tolist(), strict=True)
        return Trimmed(kept, {reason: num for reason, num in pairs if reason and num})

    def without_citations(self, text: str) -> str:
        """The text without Wikipedia's marks, if they are to go."""
        if not self.citations or "[" not in text:
            return text
        cited, num = _CITATION.subn("", text)
        if not num:
            return text
        # What a mark kept apart: a letter and its accent, which no ASCII is.
        composed = compose(cited) if _CITED_NO_ASCII.search(text) else cited
        return "\n".join(map(str.rstrip, composed.split("\n")))


@lru_cache(maxsize=64)
def _phrases(policy: tuple[str, ...], javascript: bool) -> tuple[str, ...]:
    return (*["javascript"] * javascript, *filter(None, map(str.lower, policy)))


def _notice(lowered: str, phrases: tuple[str, ...]) -> str:
    found = next((phrase for phrase in phrases if phrase in lowered), None)
    if found is None:
        return ""
    return "javascript_line" if found == "javascript" else "policy_line"
