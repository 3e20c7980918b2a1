"""Text to text without personal data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from tasks.clean.pii.passage import Passage, Span
from tasks.clean.text import compose


class Findable(Protocol):
    """What every kind of personal data can do."""

    @property
    def kind(self) -> str: ...
    @property
    def placeholder(self) -> str: ...
    def spans(self, passage: Passage) -> Iterator[Span]:
        """Where it stands, first to last, none overlapping."""
        ...


def mask(text: str, kinds: Sequence[Findable]) -> tuple[str, list[str]]:
    """`text` with placeholders, and the kind of each thing that was replaced, sorted.

    One replacement may uncover another, so it goes on until no kind finds anything. It ends: every
    match holds a digit or an `@`, and no placeholder does. Text with nothing in it is returned as
    it is; other text is Unicode NFC again (a `>` before a combining stroke would become another
    character).
    """
    passage, found = Passage(text), list[str]()
    while True:
        before = len(found)
        for kind in kinds:
            spans = list(kind.spans(passage))
            if spans:
                passage = Passage(_filled(passage.text, spans, kind.placeholder))
                found += [kind.kind] * len(spans)
        if len(found) == before:
            break
    return (compose(passage.text) if found else text), sorted(found)


def _filled(text: str, spans: Iterable[Span], placeholder: str) -> str:
    parts, end = [], 0
    for start, stop in spans:
        parts += [text[end:start], placeholder]
        end = stop
    return "".join([*parts, text[end:]])
