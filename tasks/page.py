"""What stages put on the page of their run in the Prefect UI: sections of markdown, and pictures.

What is ours is escaped, what comes from the web is fenced. The UI renders raw HTML and fetches the
images that markdown names, so text from outside stands in fenced blocks alone, never in a line, a
table, a title or an artifact's description.
"""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tasks.printable import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS = re.compile(r"([\\`*_\[\]<>|~#&!])")
_TICKS = re.compile(r"`+")
_WIDTH = 72  # characters of a block that the UI shows without scrolling


@dataclass(frozen=True)
class Picture:
    """A PNG that stands on a page and is an artifact of the run by itself, `INSTANCE-NAME`."""

    name: str
    says: str
    png: bytes

    @property
    def url(self) -> str:
        return data_url(self.png)

    @property
    def markdown(self) -> str:
        return f"![{self.says}]({self.url})"


@dataclass(frozen=True)
class Section:
    """A part of a page: its title, its markdown, and above that its pictures."""

    title: str
    markdown: str = ""
    pictures: tuple[Picture, ...] = ()


def data_url(image: bytes, kind: str = "image/png") -> str:
    """Give a picture as the address of an image.

    The server keeps no files, and the UI must show the picture to whoever reads it.
    """
    return f"data:{kind};base64," + base64.b64encode(image).decode()


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """Begin a figure of so many inches, at 100 dots each, that lays itself out."""
    from matplotlib.figure import Figure  # 0.4 s, and only wanted for pictures

    return Figure(figsize=(width, height), dpi=100, layout=layout)


def png_of(figure: Figure) -> bytes:
    """Draw a figure by Agg, without pyplot: no state, and the same bytes for the same counts."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def escape(text: object) -> str:
    """Write plain text for a line or a table cell, as it is."""
    return _MARKS.sub(r"\\\1", " ".join(printable(str(text)).split()))


def code(text: str) -> str:
    """Write a short piece of our own text, such as a version, in the type of code."""
    return f"`{text}`"


def fence(text: str, kind: str = "text") -> str:
    """Write a block that shows any text as it is, whatever it holds, wrapped to the page."""
    shown = "\n".join(map(_wrap, printable(text).split("\n")))
    longest = max((len(ticks) for ticks in _TICKS.findall(shown)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{kind}\n{shown}\n{ticks}"


def _wrap(line: str) -> str:
    if len(line) <= _WIDTH:
        return line
    return textwrap.fill(line, _WIDTH, replace_whitespace=False, break_on_hyphens=False)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of cells that are markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def facts_table(facts: Mapping[str, object]) -> str:
    """Write two columns: names and plain values."""
    return table(("", ""), ((escape(key), escape(value)) for key, value in facts.items()))


def number(value: object) -> str:
    """Write a stat as a person reads it: `43,232`, `0.5103`, `en 55, de 3`."""
    if isinstance(value, Mapping):
        shown = [f"{key} {number(of)}" for key, of in list(value.items())[:8]]
        return ", ".join([*shown, *(["…"] if len(value) > len(shown) else [])]) or "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def share(part: int, whole: int) -> str:
    """Write a share of a whole, `12.3 %`; of nothing it is empty."""
    return f"{part / whole:.1%}".replace("%", " %") if whole else ""
