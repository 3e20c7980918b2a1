"""A graph as a picture: the drawing that `phusa plan` prints, in lines that meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

from flows.render import draw_lanes
from tasks.page import data_url

_X, _Y = 10, 28  # pixels of a character of the drawing
_UP, _DOWN = "│├┤╰╯┴┼●", "│├┤┼●"  # marks that have a line up or down, to a mark that has the other


def graph_url(nodes: Mapping[str, Sequence[str]], marked: str) -> str:
    """Draw nodes, each after those that it is made from, as an image's address; one is marked.

    As SVG: V1 of the UI does not draw Mermaid, and in an image no browser follows or runs anything.
    """
    lanes = draw_lanes(list(nodes.items()))
    left = _X * (2 + max(map(len, lanes)))
    size = f"width='{left + 9 * max(map(len, nodes))}' height='{_Y * len(nodes)}'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} font-family='sans-serif' font-size='14'>",
        "<rect width='100%' height='100%' fill='white'/>",
        f"<path d='{''.join(_strokes(lanes))}' stroke='#94a3b8' stroke-width='2'/>",
    ]
    for row, (label, lane) in enumerate(zip(nodes, lanes, strict=True)):
        x, y = _centre(row, lane.index("●"))
        style = "fill='#2563eb' font-weight='bold'" if label == marked else "fill='#1e293b'"
        parts.append(f"<g {style}><circle cx='{x}' cy='{y}' r='5'/>")
        parts.append(f"<text x='{left}' y='{y + 5}'>{escape(label)}</text></g>")
    return data_url("".join([*parts, "</svg>"]).encode(), "image/svg+xml")


def _centre(row: int, column: int) -> tuple[int, int]:
    return _X * (column + 1), _Y * row + _Y // 2


def _strokes(lanes: Sequence[str]) -> Iterator[str]:
    """Draw the line of each character to the middle of those beside and under it."""
    for row, lane in enumerate(lanes):
        below = lanes[row + 1] if row + 1 < len(lanes) else ""
        for column, mark in enumerate(lane):
            x, y = _centre(row, column)
            if mark == "─":
                yield f"M{x - _X} {y}h{2 * _X}"
            if mark in _DOWN and below[column : column + 1] in [*_UP]:
                yield f"M{x} {y}v{_Y}"
