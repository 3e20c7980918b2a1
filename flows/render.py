"""Tables and trees for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.tree import Tree

from flows.plan import Step
from storage.lineage import Node
from storage.manifest import Manifest

_PLAIN_WIDTH = 120


def make_console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; wide enough for the tables where there is none."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_PLAIN_WIDTH)


def size(num_bytes: int) -> str:
    """`5.2 MB`."""
    value, units = float(num_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def plan_table(steps: Sequence[Step]) -> Table:
    """Stage, action, why, and what the last such build cost."""
    table = Table("stage", "action", "why", "last time", title="plan", title_justify="left")
    for step in steps:
        style = {"reuse": "green", "given": "cyan", "run": "yellow"}[step.action]
        last = step.artifact
        cost = f"{last.seconds:.1f} s, {size(last.num_bytes)}" if last else "-"
        table.add_row(step.stage.name, f"[{style}]{step.action}[/]", step.reason, cost)
    return table


def artifacts_table(manifests: Iterable[Manifest]) -> Table:
    """One line for each artifact."""
    table = Table(
        Column("artifact", no_wrap=True), "made", "recipe", "rows", "bytes", "seconds", "content"
    )
    for manifest in manifests:
        table.add_row(
            manifest.label,
            f"{manifest.created:%m-%d %H:%M}",
            manifest.run.recipe,
            f"{manifest.rows_out:,}",
            size(manifest.num_bytes),
            f"{manifest.seconds:.1f}",
            manifest.digest[:12],
        )
    return table


def show_artifact(console: Console, manifest: Manifest, up: Node, down: Node) -> None:
    """Everything that a manifest says, with the lineage in both directions."""
    facts = Table(show_header=False, box=None, title=manifest.label, title_justify="left")
    rows = {
        "made": f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC in {manifest.seconds:.1f} s "
        f"on {manifest.run.host} by recipe {manifest.run.recipe}",
        "rows": f"{manifest.rows_in:,} in, {manifest.rows_out:,} out",
        "bytes": f"{manifest.num_bytes:,} in {len(manifest.files)} files",
        "fingerprint": manifest.fingerprint,
        "content": manifest.digest,
        "code": f"stage version {manifest.code.stage_version}, source "
        f"{manifest.code.source_sha256[:12]}, commit {(manifest.code.git_commit or '-')[:12]}",
        **{key: str(value) for key, value in manifest.stats.items()},
        "configuration": str(dict(manifest.config)),
    }
    for key, value in rows.items():
        facts.add_row(f"[dim]{key}[/]", value)
    console.print(facts)
    files = Table("file", "rows", "bytes", "sha256")
    for entry in manifest.files:
        rows_text = "" if entry.rows is None else f"{entry.rows:,}"
        volatile = " (not in the content digest)" if entry.volatile else ""
        files.add_row(entry.path + volatile, rows_text, f"{entry.size:,}", entry.sha256[:12])
    console.print(files)
    console.print(_tree("made from", up))
    console.print(_tree("used by", down))


def _tree(title: str, node: Node) -> Tree:
    root = Tree(f"[dim]{title}[/]")

    def grow(branch: Tree, of: Node) -> None:
        for child in of.children:
            gone = "" if child.manifest else " [red](no longer in the store)[/]"
            grow(branch.add(child.label + gone), child)

    grow(root, node)
    if not node.children:
        root.add("nothing")
    return root
