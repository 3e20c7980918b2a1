"""A page as a list of runs of text, each with what the elements around it say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.clean.extractors.vocabulary import NUM_STAGES

_CELLS = frozenset(("td", "th"))


class Frame:
    """An element that holds blocks: those from `start` to `end`."""

    __slots__ = (
        "cell",
        "chars",
        "chrome",
        "drop",
        "end",
        "item",
        "links",
        "number",
        "parent",
        "quoted",
        "row",
        "start",
        "table",
        "tag",
        "terms",
    )

    def __init__(self, tag: str, number: int, parent: Frame | None) -> None:
        self.tag, self.number, self.parent = tag, number, parent
        self.start = self.end = 0
        self.chars = self.links = 0
        """Characters of the page and links in it before this element."""
        self.drop = False
        """The names of the element say that it is no main text."""
        self.table = self.row = self.cell = self.item = 0
        """Numbers of the nearest table, row, cell and list item."""
        self.chrome = self.terms = False
        """In what leads to other pages of a manual; in a list of definitions."""
        self.quoted = tag == "blockquote"
        if parent is not None:
            self.table, self.row = parent.table, parent.row
            self.cell, self.item = parent.cell, parent.item
            self.chrome, self.terms = parent.chrome, parent.terms
            self.quoted = self.quoted or parent.quoted
        if tag == "tr":
            self.row = number
        elif tag in _CELLS:
            self.cell, self.item = number, 0
        elif tag == "li":
            self.item = number
        elif tag == "table":
            self.table = number
        elif tag == "dl":
            self.terms = True


class Block:
    """A run of text: a paragraph, an item, a heading, a cell, or what stands bare in a `div`."""

    __slots__ = ("broken", "drop", "frame", "kind", "linked", "text")

    def __init__(self, text: str, frame: Frame, linked: int, broken: bool) -> None:
        self.text, self.frame, self.kind = text, frame, frame.tag
        self.linked, self.broken = linked, broken
        """Characters in links; whether `<br>` divides it into lines."""
        self.drop = 0
        """The innermost element around it, by number, that is no main text; 0: there is none."""


@dataclass
class Page:
    """All of a page's blocks, and the frames that may hold the main text."""

    title: str
    is_manual: bool
    """A program that writes manuals signed it."""
    blocks: list[Block] = field(default_factory=list)
    frames: list[Frame | None] = field(default_factory=lambda: [None] * NUM_STAGES)
    """The first candidate of each round."""
    parts: list[Frame] = field(default_factory=list)
    """More candidates of the first round: one article in parts, or other articles."""


def size(blocks: Sequence[Block]) -> int:
    """Characters of text."""
    return sum(len(block.text) for block in blocks)
