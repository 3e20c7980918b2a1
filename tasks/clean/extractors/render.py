"""Blocks to text: a blank line between paragraphs, a line for an item or a row of a table."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.clean.extractors.blocks import Block

_CELLS = frozenset(("td", "th"))
_COMPACT = frozenset("dd dt li line td th".split())  # docutils and Doxygen: class="line"


def render(blocks: Sequence[Block]) -> str:
    """The text of blocks that follow each other."""
    pieces: list[str] = []
    items = {0}
    before: Block | None = None
    for block in blocks:
        if before is not None:
            pieces.append(_between(before, block))
        if block.frame.item not in items:
            items.add(block.frame.item)
            pieces.append("- ")
        pieces.append(block.text)
        before = block
    return "".join(pieces)


def _between(one: Block, other: Block) -> str:
    a, b = one.frame, other.frame
    if one.kind in _CELLS and other.kind in _CELLS and a.row == b.row and a.cell != b.cell:
        return " | "
    compact = (one.kind in _COMPACT and other.kind in _COMPACT) or (a.item and b.item)
    return "\n" if compact else "\n\n"
