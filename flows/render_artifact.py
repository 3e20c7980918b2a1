"""One artifact for people: what it is, its checks, its files, its lineage both ways."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from flows.hosts import HOST_COLUMNS, host_rows
from flows.listing import Described
from flows.render import STATE_STYLES, size
from storage.lineage import Node
from storage.manifest import Manifest


def show_artifact(console: Console, one: Described, up: Node, down: Node) -> None:
    """Everything that is known of an artifact, with the lineage in both directions."""
    console.print(_facts(one))
    # In one piece, to be copied: a cell of the table would be wrapped.
    console.print(f"folder: {one.folder}", markup=False, highlight=False, soft_wrap=True)
    if one.manifest.checks:
        console.print(_checks(one.manifest))
    if hosts := host_rows(one.manifest):
        console.print(_hosts(hosts))
    console.print(_files(one.manifest))
    console.print(_tree("made from", up))
    console.print(_tree("used by", down))


def _facts(one: Described) -> Table:
    manifest, run = one.manifest, one.manifest.run
    title = f"{manifest.label} [{STATE_STYLES[one.state]}]{one.state}[/]"
    facts = Table(show_header=False, box=None, title=title, title_justify="left")
    rows = {
        **({"problem": one.problem} if one.problem else {}),
        **({"aliases": ", ".join(one.aliases)} if one.aliases else {}),
        **({"taken down": _marks(one)} if one.marks else {}),
        "made": f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC in {manifest.seconds:.1f} s "
        f"on {run.host} by recipe {run.recipe}",
        "took": f"{_size(run.work_bytes)} of disk while it was built, {_size(run.memory_bytes)} "
        "of memory",
        "rows": f"{manifest.rows_in:,} in, {manifest.rows_out:,} out",
        "bytes": f"{manifest.num_bytes:,} in {len(manifest.files)} files",
        "fingerprint": manifest.fingerprint,
        "content": manifest.digest,
        "code": f"stage version {manifest.code.stage_version}, source "
        f"{manifest.code.source_sha256[:12]}, commit {(manifest.code.git_commit or '-')[:12]}",
        **({"left out": ", ".join(manifest.forgotten)} if manifest.forgotten else {}),
        **{k: str(v) for k, v in manifest.stats.items() if k != "hosts"},  # a table of its own
        "configuration": str(dict(manifest.config)),
    }
    for key, value in rows.items():
        facts.add_row(f"[dim]{key}[/]", escape(value))
    return facts


def _hosts(rows: list[list[str]]) -> Table:
    shown = Table(*HOST_COLUMNS.values(), title="hosts", title_justify="left")
    for row in rows:
        shown.add_row(*map(escape, row))
    return shown


def _marks(one: Described) -> str:
    seen = (f"{m.rule} ({m.tokens:,} tokens)" if m.tokens else m.rule for m in one.marks)
    return f"it has seen {'; '.join(seen)}"


def _size(num_bytes: int | None) -> str:
    return "an unknown amount" if num_bytes is None else size(num_bytes)


def _checks(manifest: Manifest) -> Table:
    table = Table("check", "", "", title="checks", title_justify="left")
    for check in manifest.checks:
        failed = "[red]blocks[/]" if check.severity == "block" else "[yellow]warns[/]"
        state = "[green]holds[/]" if check.passed else failed
        table.add_row(check.measure, state, escape(check.says))
    return table


def _files(manifest: Manifest) -> Table:
    files = Table("file", "rows", "bytes", "sha256")
    for entry in manifest.files:
        rows = "" if entry.rows is None else f"{entry.rows:,}"
        volatile = " (not in the content digest)" if entry.volatile else ""
        files.add_row(entry.path + volatile, rows, f"{entry.size:,}", entry.sha256[:12])
    return files


def _tree(title: str, node: Node) -> Tree:
    root = Tree(f"[dim]{title}[/]")

    def grow(branch: Tree, of: Node) -> None:
        for child in of.children:
            unknown = "" if child.manifest else " [red](no longer in the store)[/]"
            grow(branch.add(child.label + unknown), child)

    grow(root, node)
    if not node.children:
        root.add("nothing")
    return root
