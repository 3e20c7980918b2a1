"""What several commands and pages print for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from storage.manifest import Manifest
from tasks.foresight import Forecast, Span

if TYPE_CHECKING:
    from flows.foresight import Foresight
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


def plan_table(steps: Sequence[Step], foresight: Foresight) -> Table:
    """The graph, drawn beside action, why, what the last such build cost, what this one may."""
    heads = ("instance", "action", "why", "takes")
    table = Table("", *heads, title="plan", title_justify="left", padding=(0, 1))
    table.columns[0].no_wrap, table.caption_justify = True, "left"
    table.caption = _in_all(steps, foresight)
    lanes = draw_lanes([(s.instance.name, s.instance.upstream) for s in steps])
    for step, lane in zip(steps, lanes, strict=True):
        style = _ACTION_STYLES[step.action]
        name, last = step.instance.name, step.artifact
        cost = [f"{last.seconds:.1f} s, {size(last.num_bytes)} last time"] if last else []
        told = foresight.known[name].forecast
        if step.action == "run" and told is not None and told.seconds.high:
            cost += [_amount(told), _in_words(told)]
        shown = name if name == step.stage.name else f"{name}\n[dim]{step.stage.name}[/]"
        action = f"[{style}]{step.action}[/]"
        table.add_row(lane, shown, action, escape(step.reason), "\n".join(cost) or "-")
    return table


def _in_all(steps: Sequence[Step], foresight: Foresight) -> str:
    """Say what the run takes from its beginning to its end; empty where nothing runs."""
    running = [step.instance.name for step in steps if step.action == "run"]
    unknown = [name for name in running if foresight.known[name].forecast is None]
    total = foresight.total()
    says = f"about {_in_words(total, ' to ', 'up to ')} of memory" if running and total else ""
    without = f"of {', '.join(unknown)} it is not known" if unknown else ""
    return "; ".join(filter(None, (says, without)))


def _in_words(told: Forecast, joint: str = "-", by: str = "") -> str:
    """`9-20 min, 40-80 MB, 1.1 GB`: time, disk, and memory at most."""
    time, disk = _spoken(told.seconds, _TIMES, joint), _spoken(told.kept_bytes, _SIZES, joint)
    memory = _spoken(Span(told.memory_bytes.high, told.memory_bytes.high), _SIZES, joint)
    return f"{time}, {disk}{by and ' on disk'}, {by}{memory}"


def _amount(told: Forecast) -> str:
    """`700 to 1,100 pages`: two digits of what is not known."""
    low, high = told.amount.low, told.amount.high
    ends = [high] if low == high else [float(f"{end:.2g}") for end in (low, high)]
    return f"{' to '.join(f'{end:,.0f}' for end in ends)} {told.unit}"


_TIMES = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86_400.0, "d"))
_SIZES = ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))


def _spoken(span: Span, units: Sequence[tuple[float, str]], joint: str) -> str:
    """Say both ends in the greatest unit of which the greater has one."""
    scale, unit = next((one for one in reversed(units) if span.high >= one[0]), units[0])
    ends = [f"{end / scale:.{int(end < 9.95 * scale)}f}" for end in (span.low, span.high)]
    return f"{joint.join(dict.fromkeys(ends))} {unit}"


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
