"""`phusa artifacts` and `phusa show`."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from textwrap import indent
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.style import Style
from rich.table import Table
from rich.tree import Tree

from flows.commands.options import ArtifactArgument, JsonOption, StoreOption, answer, store_here
from flows.listing import Described, Listed, State, describe, list_artifacts
from flows.render import HOST_COLUMNS, host_rows, print_text, say, size
from storage.lineage import Node, ancestors, descendants
from storage.manifest import Manifest
from storage.store import Store


def artifacts(
    name: Annotated[str | None, typer.Argument(help="only of this NAME, or RECIPE/NAME")] = None,
    taken: Annotated[bool, typer.Option("--gone", help="also those whose data was taken")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the artifacts in the store, those in quarantine and damaged ones included.

    Example: `phusa artifacts tokenizer`
    """
    # The cycle collector goes through all manifests again and again as they pile up: 10 000 took
    # 2.6 s to read with it, 1.3 s without.
    place = store_here(store)
    gc.disable()
    try:
        found = list_artifacts(place, name, gone=taken)
    finally:
        gc.enable()

    def show_people(console: Console) -> None:
        print_artifacts(console, found)
        if not found:
            say(console, [f"there is none in {place.address}"])

    answer([_summary(one) for one in found], as_json, show_people)


def show(
    artifact: ArtifactArgument,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one artifact: what it is made of, from and by, its checks, and what uses it.

    Without a version, the newest, be it in quarantine. Example: `phusa show pretrain`
    """
    place = store_here(store)
    one = describe(place, artifact)
    up, down = ancestors(place, one.manifest), descendants(place, one.manifest)
    said = _measured(place, one)
    row = one.manifest.model_dump(mode="json") | {
        "type": _type(one.manifest),
        "state": one.state,
        "aliases": list(one.aliases),
        "marks": [mark.model_dump(mode="json") for mark in one.marks],
        "folder": one.folder,
        "made_from": _lineage(up),
        "used_by": _lineage(down),
        "summary": said,
    }
    answer(row, as_json, lambda console: show_artifact(console, one, up, down, said))


def _measured(place: Store, one: Described) -> list[str]:
    """What its type tells of its files, as far as they can be read."""
    if one.state != "sealed":
        return []
    from flows.stages import open_artifact  # all stages' knobs: 0.4 s

    artifact = open_artifact(place, one.manifest)
    return list(artifact.type.summary(artifact))


def _summary(one: Listed) -> dict[str, Any]:
    manifest = one.manifest
    if manifest is None:
        return {
            "name": one.name,
            "version": one.version,
            "state": one.state,
            "problem": one.problem,
        }
    return {
        "name": manifest.name,
        "version": manifest.version,
        "stage": manifest.stage,
        "type": _type(manifest),
        "state": one.state,
        "aliases": list(one.aliases),
        "created": manifest.created.isoformat(),
        "recipe": manifest.run.recipe,
        "rows_in": manifest.rows_in,
        "rows_out": manifest.rows_out,
        "bytes": manifest.num_bytes,
        "seconds": manifest.seconds,
        "digest": manifest.digest,
        "fingerprint": manifest.fingerprint,
        "inputs": {name: reference.version for name, reference in manifest.inputs.items()},
        "problem": one.problem,
    }


def _type(manifest: Manifest) -> str:
    if manifest.type:
        return manifest.type
    from flows.stages import type_of  # all stages' knobs: 0.4 s, for manifests of schema 2

    return type_of(manifest).name


def _lineage(node: Node) -> list[dict[str, Any]]:
    return [{"artifact": c.label, "lineage": _lineage(c)} for c in node.children]


# --- for people -------------------------------------------------------------------------------

STATE_STYLES: Mapping[State, str] = {
    "sealed": "green",
    "quarantined": "yellow",
    "damaged": "bold red",
    "gone": "dim",
}


def print_artifacts(console: Console, found: Sequence[Listed]) -> None:
    """Print a line for each artifact in plain columns: a rich table of 10 000 rows takes 9 s."""
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
    for line, style in zip(lines, styles, strict=True):
        drawn = Style.parse(style) if style and console.is_terminal else None
        print_text(line.rstrip(), drawn, console.file)


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


def show_artifact(
    console: Console, one: Described, up: Node, down: Node, said: Sequence[str] = ()
) -> None:
    """Print all that is known of an artifact, with the lineage in both directions."""
    from tasks.artifacts.prose import as_yaml  # all types of artifacts, only wanted here

    console.print(_facts(one))
    # In one piece, to be copied: a cell of the table would be wrapped.
    console.print(f"folder: {one.folder}", markup=False, highlight=False, soft_wrap=True)
    say(console, said)
    say(console, ["configuration:", *indent(as_yaml(one.manifest.config), "  ").splitlines()])
    if one.manifest.checks:
        console.print(_checks(one.manifest))
    if hosts := host_rows(one.manifest):
        table = Table(*HOST_COLUMNS.values(), title="hosts", title_justify="left")
        for row in hosts:
            table.add_row(*map(escape, row))
        console.print(table)
    console.print(_files(one.manifest))
    console.print(_tree("made from", up))
    console.print(_tree("used by", down))


def _facts(one: Described) -> Table:
    from tasks.artifacts.prose import as_yaml

    manifest, run = one.manifest, one.manifest.run
    tables = ("hosts",) if host_rows(manifest) else ()
    title = f"{manifest.label} [{STATE_STYLES[one.state]}]{one.state}[/]"
    facts = Table(show_header=False, box=None, title=title, title_justify="left")
    rows = {
        **({"problem": one.problem} if one.problem else {}),
        **({"aliases": ", ".join(one.aliases)} if one.aliases else {}),
        **({"taken down": _marks(one)} if one.marks else {}),
        "stage": f"{manifest.stage}, which makes: {_type(manifest)}",
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
        **{k: as_yaml(v, inline=True) for k, v in manifest.stats.items() if k not in tables},
    }
    for key, value in rows.items():
        facts.add_row(f"[dim]{key}[/]", escape(value))
    return facts


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
    """Draw the lineage; what is met a second time points to where it stands with all below it."""
    root = Tree(f"[dim]{title}[/]")
    shown = set[str]()

    def grow(branch: Tree, of: Node) -> None:
        for child in of.children:
            unknown = "" if child.manifest else " [red](no longer in the store)[/]"
            again = " [dim](see above)[/]" if child.label in shown else ""
            twig = branch.add(child.label + unknown + again)
            if child.label not in shown:
                shown.add(child.label)
                grow(twig, child)

    grow(root, node)
    if not node.children:
        root.add("nothing")
    return root
