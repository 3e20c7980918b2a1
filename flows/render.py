"""What several commands and pages print for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from storage.manifest import Manifest

if TYPE_CHECKING:
    from flows.plan import Step

_PLAIN_WIDTH = 120


def make_console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; wide enough for the tables where there is none."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_PLAIN_WIDTH)


def say(console: Console, lines: Iterable[str], style: str = "") -> None:
    """Print lines as they are, URLs and names whole, however narrow the terminal."""
    for line in lines:
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def size(num_bytes: int) -> str:
    """`5.2 MB`."""
    value, units = float(num_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


_ACTION_STYLES = {"reuse": "green", "given": "cyan", "run": "yellow", "blocked": "bold red"}


def plan_table(steps: Sequence[Step]) -> Table:
    """The graph, drawn beside action, why, and what the last such build cost."""
    heads = ("instance", "action", "why", "last time")
    table = Table("", *heads, title="plan", title_justify="left", padding=(0, 1))
    table.columns[0].no_wrap = True
    lanes = draw_lanes([(s.instance.name, s.instance.upstream) for s in steps])
    for step, lane in zip(steps, lanes, strict=True):
        style = _ACTION_STYLES[step.action]
        last = step.artifact
        cost = f"{last.seconds:.1f} s, {size(last.num_bytes)}" if last else "-"
        name = step.instance.name
        shown = name if name == step.stage.name else f"{name}\n[dim]{step.stage.name}[/]"
        table.add_row(lane, shown, f"[{style}]{step.action}[/]", escape(step.reason), cost)
    return table


def draw_lanes(nodes: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Draw a graph in lines, one for each node: `●` is the node, a lane goes on to what needs it.

    `nodes` are names with those that they are made from, each after its own. A lane belongs to a
    node from its line to the last one that it is given to; `├` and `┤` give and go on, `┼` passes.
    """
    names = {name for name, _ in nodes}
    last = {s: at for at, (_, sources) in enumerate(nodes) for s in sources if s in names}
    lanes: list[str | None] = []
    drawn = []
    for at, (name, sources) in enumerate(nodes):
        given = [n for n, owner in enumerate(lanes) if owner in sources]
        ending = [n for n in given if last[str(lanes[n])] == at]
        mine = min([*ending, *(n for n, owner in enumerate(lanes) if owner is None), len(lanes)])
        lanes += [None] * (mine + 1 - len(lanes))
        left, right = min([*given, mine]), max([*given, mine])
        cells = []
        for n, owner in enumerate(lanes):
            if n == mine:
                mark = "●"
            elif n in given and n < mine:
                mark = "├" if n not in ending else "╰" if n == left else "┴"
            elif n in given:
                mark = "┤" if n not in ending else "╯" if n == right else "┴"
            else:
                mark = (" ", "│", "─", "┼")[(owner is not None) + 2 * (left < n < right)]
            cells.append(mark + ("─" if left <= n < right else " "))
        drawn.append("".join(cells).rstrip())
        lanes = [None if n in ending else owner for n, owner in enumerate(lanes)]
        lanes[mine] = name if last.get(name, at) > at else None
    return drawn


HOST_COLUMNS = {
    "host": "host",
    "pages": "pages",
    "unchanged": "unchanged",
    "page_bytes": "bytes",
    "requests": "requests",
    "errors": "errors",
    "waiting": "left waiting",
    "delay_s": "delay, s",
    "robots": "robots.txt",
}
"""Columns of `records.HOST` that are shown, and what they are called there."""


def host_rows(manifest: Manifest) -> list[list[str]]:
    """Give each host's cells, in the order of HOST_COLUMNS, of whatever counted hosts.

    A manifest has the hosts of most pages; `hosts.parquet` has all.
    """
    found = manifest.stats.get("hosts")
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    return [[_cell(row.get(name, "")) for name in HOST_COLUMNS] for row in rows if "host" in row]


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
