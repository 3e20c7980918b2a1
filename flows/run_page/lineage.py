"""What an artifact was made from, as a picture and as a table, with the runs that made it.

The UI draws ```mermaid blocks (Prefect 3.8's own; the older UI shows their source), links included.
"""

from __future__ import annotations

from flows.run_page.markdown import code, escape, run_link, run_path, table
from flows.stages import STAGES
from storage.lineage import ancestors
from storage.manifest import Manifest
from storage.store import Store

Ancestry = dict[str, Manifest | None]
"""Artifacts by label; None where the manifest is not in the store any more."""


def ancestry(store: Store, manifest: Manifest) -> Ancestry:
    """The artifact and all that it was made from, in the order of the river."""
    found = {node.label: node.manifest for _, node in ancestors(store, manifest).walk()}
    order = list(STAGES)
    return dict(sorted(found.items(), key=lambda item: order.index(item[0].partition("@")[0])))


def lineage(store: Store, manifest: Manifest) -> str:
    """Picture and table of the artifact and all that it was made from."""
    found = ancestry(store, manifest)
    return f"{_picture(found, manifest)}\n\n{_table(found)}"


def _picture(found: Ancestry, here: Manifest) -> str:
    names = {label: f"n{index}" for index, label in enumerate(found)}
    lines = ["flowchart TB"]
    for label, manifest in found.items():
        name, _, version = label.partition("@")
        lines.append(f'  {names[label]}["{name}<br/>{version[:15]}"]')
        for reference in manifest.inputs.values() if manifest else ():
            lines.append(f"  {names[reference.label]} --> {names[label]}")
        if manifest and manifest.run.flow_run_id:
            lines.append(f'  click {names[label]} href "{run_path(manifest.run.flow_run_id)}"')
    lines.append(f"  style {names[here.label]} stroke:#2563eb,stroke-width:3px")
    body = "\n".join(lines)
    return f"```mermaid\n{body}\n```"


def _table(found: Ancestry) -> str:
    rows = []
    for label, manifest in found.items():
        if manifest is None:
            rows.append((code(label), "not in the store any more", "", ""))
            continue
        rows.append(
            (
                code(label),
                f"{manifest.rows_out:,} {STAGES[manifest.name].unit}",
                escape(f"{manifest.created:%Y-%m-%d %H:%M} UTC"),
                run_link("its run", manifest.run.flow_run_id) if manifest.run.flow_run_id else "",
            )
        )
    return table(("artifact", "holds", "made", ""), rows)
