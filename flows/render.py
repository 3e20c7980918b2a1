"""Tables and trees for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.style import Style
from rich.table import Table

if TYPE_CHECKING:
    from flows.listing import Listed, State
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


STATE_STYLES: Mapping[State, str] = {
    "sealed": "green",
    "quarantined": "yellow",
    "damaged": "bold red",
    "gone": "dim",
}


def print_artifacts(console: Console, found: Sequence[Listed]) -> None:
    """One line for each artifact, in plain columns: a rich table of 10 000 rows takes 9 s."""
    header = ("artifact", "made", "made by", "rows", "bytes", "seconds", "content", "")
    rows = [header, *map(_columns, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        )
        for row in rows
    )
    styles = ["bold", *(STATE_STYLES[one.state] if one.state != "sealed" else "" for one in found)]
    is_terminal = console.is_terminal
    for line, style in zip(lines, styles, strict=True):
        text = line.rstrip()
        print(Style.parse(style).render(text) if is_terminal and style else text, file=console.file)


_NUMBERS = frozenset({"rows", "bytes", "seconds"})


def _columns(one: Listed) -> tuple[str, ...]:
    note = ", ".join([*one.aliases, *([one.state] if one.state != "sealed" else [])])
    manifest = one.manifest
    if manifest is None:
        return (f"{one.name}@{one.version}", "", "", "", "", "", "", note)
    return (
        manifest.label,
        f"{manifest.created:%Y-%m-%d %H:%M}",
        f"{manifest.run.recipe} {(manifest.code.git_commit or '')[:7]}",
        f"{manifest.rows_out:,}",
        size(manifest.num_bytes),
        f"{manifest.seconds:.1f}",
        manifest.digest[:12],
        note,
    )
