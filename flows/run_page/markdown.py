"""Markdown for the Prefect UI: what is ours is escaped, what comes from the web is fenced.

The UI renders raw HTML and fetches the images that markdown names, so text from outside stands in
fenced blocks alone, never in a line, a table, a title or an artifact's description.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence

_MARKS = re.compile(r"([\\`*_\[\]<>|~#&!])")
_TICKS = re.compile(r"`+")
_WIDTH = 72  # characters of a block that the UI shows without scrolling
_KEPT = frozenset("\n\t\u200c\u200d")  # the joiners are part of Persian and Hindi words


def escape(text: object) -> str:
    """Plain text in a line or a table cell, as it is."""
    return _MARKS.sub(r"\\\1", " ".join(str(text).split()))


def code(text: str) -> str:
    """A short piece of our own text, such as a version, in the type of code."""
    return f"`{text}`"


def fence(text: str, kind: str = "text") -> str:
    """A block that shows any text as it is, whatever it contains, wrapped to the page's width."""
    clean = "".join(c if c.isprintable() or c in _KEPT else " " for c in text)
    shown = "\n".join(map(_wrap, clean.split("\n")))
    longest = max((len(ticks) for ticks in _TICKS.findall(shown)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{kind}\n{shown}\n{ticks}"


def _wrap(line: str) -> str:
    if len(line) <= _WIDTH:
        return line
    return textwrap.fill(line, _WIDTH, replace_whitespace=False, break_on_hyphens=False)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def facts_table(facts: Mapping[str, object]) -> str:
    """Two columns: names and plain values."""
    return table(("", ""), ((escape(key), escape(value)) for key, value in facts.items()))


def commands(store_address: str, lines: Sequence[str]) -> str:
    """Commands to be pasted into a shell, on lines that fit the page."""
    export = f"export PHUSA_STORE={shlex.quote(store_address)}"
    return "\n".join(["```sh", export, *lines, "```"])


def run_path(flow_run_id: str) -> str:
    """Where a flow run is, from any artifact's page.

    Relative: both versions of the UI, a UI under another path and one seen through a tunnel each
    stay where the reader is. An absolute /runs/... would change from the new UI to the old.
    """
    return f"../../runs/flow-run/{flow_run_id}"


def run_link(text: str, flow_run_id: str | None) -> str:
    """A link to a flow run, or the plain text if there was none."""
    shown = escape(text)
    return f"[{shown}]({run_path(flow_run_id)})" if flow_run_id else shown


def number(value: object) -> str:
    """`43,232`, `0.5103`, `en 55, de 3`: a stat as a person reads it."""
    if isinstance(value, Mapping):
        shown = [f"{key} {number(of)}" for key, of in list(value.items())[:8]]
        return ", ".join([*shown, *(["…"] if len(value) > len(shown) else [])]) or "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
