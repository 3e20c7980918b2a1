"""Blocks to text: a blank line between paragraphs, a line for an item or a row of a table."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.clean.extractors.blocks import Block

_CELLS = frozenset(("td", "th"))
_COMPACT = frozenset(("dd", "dt", "li", "line", "td", "th"))  # docutils, Doxygen: class="line"
_LEVELS = {f"h{level}": "#" * level for level in range(1, 7)}


def render(blocks: Sequence[Block], markdown: bool = False) -> str:
    """The text of blocks that follow each other. Items have dashes, cells have bars between them.

    With `markdown`, headings, quotes, code and the heads of tables are marked as well.
    """
    pieces: list[str] = []
    items = {0}
    rules = _rules(blocks) if markdown else {}
    before: Block | None = None
    for block in blocks:
        if before is not None:
            pieces.append(_between(before, block))
            if before.frame.row != block.frame.row:
                pieces.append(rules.pop((before.frame.row, block.frame.table), ""))
        if block.frame.item not in items:
            items.add(block.frame.item)
            pieces.append("- ")
        pieces.append(_marked(block) if markdown else block.text)
        before = block
    return "".join(pieces)


def _between(one: Block, other: Block) -> str:
    a, b = one.frame, other.frame
    if one.kind in _CELLS and other.kind in _CELLS and a.row == b.row and a.cell != b.cell:
        return " | "
    compact = (one.kind in _COMPACT and other.kind in _COMPACT) or (a.item and b.item)
    return "\n" if compact else "\n\n"


def _marked(block: Block) -> str:
    if block.kind in _LEVELS:
        return f"{_LEVELS[block.kind]} {' '.join(block.text.split())}"
    if block.kind == "pre":
        fence = "````" if "```" in block.text else "```"
        return f"{fence}\n{block.text}\n{fence}"
    if block.frame.quoted:
        return "\n".join(f"> {line}" for line in block.text.split("\n"))
    return block.text


def _rules(blocks: Sequence[Block]) -> dict[tuple[int, int], str]:
    """The line that goes between the first row of each table, if it has two cells, and the next."""
    firsts: dict[int, int] = {}
    cells: dict[int, set[int]] = {}
    for block in blocks:
        frame = block.frame
        if frame.table and firsts.setdefault(frame.table, frame.row) == frame.row:
            cells.setdefault(frame.row, set()).add(frame.cell)
    return {
        (row, table): " | ".join(["---"] * len(cells[row])) + "\n"
        for table, row in firsts.items()
        if len(cells[row]) > 1
    }
