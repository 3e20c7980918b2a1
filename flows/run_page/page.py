"""The page of one stage's run: what it ended with, why, and where that came from.

What is shown of an artifact is asked of its type and its stage; one of which nothing is known here
has a page, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prefect.artifacts import ImageArtifact, MarkdownArtifact, TableArtifact

from flows.ending import drops, export, look_at_drops
from flows.render import HOST_COLUMNS, host_rows, size
from flows.run_page.drawing import graph_url
from flows.stages import STAGES, open_artifact, type_of
from storage.lineage import Node, ancestors
from storage.manifest import Manifest
from storage.store import Store
from tasks.artifacts import TYPES
from tasks.artifacts.artifact import Artifact
from tasks.page import Section, code, escape, facts_table, fence, number, table
from tasks.progress import note

_FILES = 20  # of an artifact whose type is not known


def publish_page(
    store: Store, manifest: Manifest, *, action: str, reason: str, prompts: Sequence[str] = ()
) -> None:
    """Put the artifact's page, rows and pictures on the Artifacts tab of the run in hand.

    `action` is built, reused or in quarantine. What is reused shows no samples and no pictures:
    they are on the page of the run that built it, and no model is loaded or file fetched for them.
    Never raises: the artifact is sealed already.
    """
    name = manifest.name
    key = name.replace("_", "-")  # Prefect's keys have no underscore
    with at_no_risk(f"{name}'s page"):
        artifact = open_artifact(store, manifest)
        own = [] if action == "reused" else _own_sections(artifact)
        sections = [
            Section(f"{name}: {action}", _head(manifest, reason)),
            Section("Gates", _gates(manifest)),
            Section("Dropped", _dropped(manifest)),
            Section("Hosts", _hosts(manifest)),
            *own,
            Section("Samples", or_why_not(lambda: _samples(artifact, action, prompts))),
            Section("Files", _files(artifact)),
            Section("Made from", or_why_not(lambda: lineage(store, manifest))),
            Section("Facts", facts_table(_facts(manifest))),
            Section("Look closer", or_why_not(lambda: _commands(artifact))),
        ]
        page = "\n\n".join(filter(None, map(_written, sections)))
        says = f"{action}: {_headline(manifest)}"
        MarkdownArtifact(key=key, description=says, markdown=page).create()
        rows, counts = count_rows(manifest), _counts(manifest)
        TableArtifact(key=f"{key}-rows", description=counts, table=rows).create()
        for picture in (picture for section in own for picture in section.pictures):
            ImageArtifact(
                key=f"{key}-{picture.name}", description=picture.says, image_url=picture.url
            ).create()


@contextmanager
def at_no_risk(what: str) -> Iterator[None]:
    """Say what went wrong inside the block, and go on: no page may cost a run what it has sealed.

    One block for all that is sent of a run: Prefect's client asks a server that is away again for
    a minute, and that for each artifact would be several.
    """
    try:
        yield
    except Exception as error:
        note(f"{what}: not shown in the Prefect UI ({type(error).__name__}: {error})")


def or_why_not(make: Callable[[], str]) -> str:
    """Make a part of a page, or say what kept it from being made."""
    try:
        return make()
    except Exception as error:
        return _why_not(error)


def _why_not(error: Exception) -> str:
    return "This part could not be made:\n\n" + fence(f"{type(error).__name__}: {error}")


def _own_sections(artifact: Artifact) -> list[Section]:
    """Make what the artifact's stage alone shows, as far as that can be made."""
    stage = STAGES.get(artifact.manifest.stage)
    made: list[Section] = []
    if stage is None or stage.sections is None:
        return made
    try:
        for section in stage.sections(artifact):
            made.append(section)
    except Exception as error:
        made.append(Section(f"What {stage.name} shows", _why_not(error)))
    return made


def _written(section: Section) -> str:
    parts = [*(picture.markdown for picture in section.pictures), section.markdown]
    body = "\n\n".join(filter(None, parts))
    return f"## {section.title}\n\n{body}" if body else ""


# --- what it ended with ---------------------------------------------------------------------------


def _headline(manifest: Manifest) -> str:
    """Say what matters most, in one line: the UI's cards have room for no more."""
    stage = STAGES.get(manifest.stage)
    if stage is None or stage.score is None:
        return _counts(manifest)
    return f"{number(manifest.stats.get(stage.score))} bits per byte held out"


def _counts(manifest: Manifest) -> str:
    stage = STAGES.get(manifest.stage)
    word = "of" if stage and stage.selects else "from"
    return f"{type_of(manifest).amount(manifest)} {word} {rows_in(manifest)}"


def rows_in(manifest: Manifest) -> str:
    """Count what went in, in the stage's unit."""
    stage = STAGES.get(manifest.stage)
    return f"{manifest.rows_in:,} {stage.unit_in if stage else 'rows'}"


def _head(manifest: Manifest, reason: str) -> str:
    lines = [
        f"**{_headline(manifest)}**",
        f"Why: {escape(reason)}",
        f"Version `{manifest.version}`",
    ]
    failed = [check for check in manifest.checks if not check.passed]
    blocking = [f"**✗ {escape(check.says)}**" for check in failed if check.severity == "block"]
    return "\n\n".join(blocking + lines)


def _gates(manifest: Manifest) -> str:
    """List every check, those that do not hold first and in bold."""
    lines = []
    for check in sorted(manifest.checks, key=lambda c: (c.passed, c.severity)):
        says = escape(check.says)
        mark = "✗ **" if check.severity == "block" else "⚠ **"
        lines.append(f"- ✓ {says}" if check.passed else f"- {mark}{says}**")
    return "\n".join(lines)


def _dropped(manifest: Manifest) -> str:
    dropped = {why: f"{count:,}" for why, count in drops(manifest).items()}
    return facts_table(dropped) if dropped else ""


def _hosts(manifest: Manifest) -> str:
    rows = [[escape(cell) for cell in row] for row in host_rows(manifest)]
    return table(tuple(HOST_COLUMNS.values()), rows) if rows else ""


def count_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """Count rows from the manifest alone: in, out, and what became of the rest.

    Each row has `what`, `rows` and, of those that make up a whole, the `share`.
    """
    stage = STAGES.get(manifest.stage)
    whole = manifest.rows_in if stage and stage.selects else 0
    amount, _, unit = type_of(manifest).amount(manifest).partition(" ")
    asked, _, unit_in = rows_in(manifest).partition(" ")
    rows = [
        {"what": f"in: {unit_in}", "rows": asked, "share": ""},
        {"what": f"out: {unit}", "rows": amount, "share": _share(manifest.rows_out, whole)},
    ]
    rows += [_row(f"dropped: {why}", count, whole) for why, count in drops(manifest).items()]
    parts = {says: _stat(manifest, name) for name, says in (stage.parts if stage else {}).items()}
    rows += [_row(says, count, sum(parts.values())) for says, count in parts.items()]
    return rows


def _row(what: str, count: int, of: int) -> dict[str, Any]:
    return {"what": what, "rows": f"{count:,}", "share": _share(count, of)}


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _stat(manifest: Manifest, name: str) -> int:
    value = manifest.stats.get(name)
    return value if isinstance(value, int) else 0


# --- what is in it --------------------------------------------------------------------------------


def _samples(artifact: Artifact, action: str, prompts: Sequence[str]) -> str:
    if action != "reused":
        return "\n\n".join(map(fence, artifact.type.samples(artifact, prompts)))
    built = run_link("the run that built it", artifact.manifest.run.flow_run_id)
    return f"Samples, and the pictures, are on the page of {built}."


def _files(artifact: Artifact) -> str:
    """List the files of an artifact of which no more is known."""
    if artifact.type.name in TYPES:
        return ""
    entries = artifact.manifest.files
    rows = [
        (escape(e.path), "" if e.rows is None else f"{e.rows:,}", size(e.size))
        for e in entries[:_FILES]
    ]
    more = f"\n\n{len(entries) - _FILES:,} more" if len(entries) > _FILES else ""
    return table(("file", "rows", "size"), rows) + more


def _facts(manifest: Manifest) -> dict[str, str]:
    run, commit = manifest.run, manifest.code.git_commit
    facts = {
        "rows in": rows_in(manifest),
        "rows out": type_of(manifest).amount(manifest),
        "size": size(manifest.num_bytes),
        "time to build": f"{manifest.seconds:.1f} s",
        "memory at its peak": "-" if run.memory_bytes is None else size(run.memory_bytes),
        "built": f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC, on {run.host}",
        "for recipe": run.recipe,
        "code": commit[:12] if commit else "not in a checkout",
        "content digest": manifest.digest[:16],
    }
    stage = STAGES.get(manifest.stage)
    shown_above = {"rejected", "dropped", "hosts", *(stage.drops if stage else ())}
    stats = {key: of for key, of in manifest.stats.items() if key not in shown_above}
    return facts | {key.replace("_", " "): number(of) for key, of in stats.items()}


def _commands(artifact: Artifact) -> str:
    """Write the commands that say more, ready to be pasted."""
    store, manifest, label = artifact.store, artifact.manifest, artifact.label
    lines = [f"phusa show {label}"]
    before = store.latest(manifest.name, manifest.run.recipe, before=manifest)
    if before is not None:
        lines.append(f"phusa diff {before.label} {label}")
    if artifact.type.form == "model":
        lines += [f"phusa trace --model {label}", f'phusa sample {label} "PROMPT"']
    else:
        lines.append("phusa trace URL_OR_DOCUMENT_ID")
    return commands(store.address, [*lines, *look_at_drops(artifact)])


def commands(store_address: str, lines: Sequence[str]) -> str:
    """Write commands to be pasted into a shell, on lines that fit the page."""
    return "\n".join(["```sh", export(store_address), *lines, "```"])


# --- where it came from ---------------------------------------------------------------------------

Ancestry = dict[str, Manifest | None]
"""Artifacts by label; None where the manifest is not in the store any more."""


def ancestry(store: Store, manifest: Manifest) -> Ancestry:
    """List the artifact and all that it was made from, each after what it was made from."""
    found: Ancestry = {}

    def add(node: Node) -> None:
        if node.label not in found:
            for child in node.children:
                add(child)
            found[node.label] = node.manifest

    add(ancestors(store, manifest))
    return found


def lineage(store: Store, manifest: Manifest) -> str:
    """Draw and list the artifact and all that it was made from, with the runs that made it."""
    found = ancestry(store, manifest)
    return f"{_lineage_picture(found, manifest)}\n\n{_lineage_table(found)}"


def _lineage_picture(found: Ancestry, here: Manifest) -> str:
    nodes = {
        label: [of.label for of in manifest.inputs.values()] if manifest else []
        for label, manifest in found.items()
    }
    return f"![the artifacts as a graph, the earliest first]({graph_url(nodes, here.label)})"


def _lineage_table(found: Ancestry) -> str:
    rows = []
    for label, manifest in found.items():
        if manifest is None:
            rows.append((code(label), "not in the store any more", "", ""))
            continue
        run_id = manifest.run.flow_run_id
        made = escape(f"{manifest.created:%Y-%m-%d %H:%M} UTC")
        link = run_link("its run", run_id) if run_id else ""
        rows.append((code(label), type_of(manifest).amount(manifest), made, link))
    return table(("artifact", "holds", "made", ""), rows)


def run_path(flow_run_id: str) -> str:
    """Say where a flow run is, from any artifact's page.

    Relative: both versions of the UI, a UI under another path and one seen through a tunnel each
    stay where the reader is. An absolute /runs/... would change from the new UI to the old.
    """
    return f"../../runs/flow-run/{flow_run_id}"


def run_link(text: str, flow_run_id: str | None) -> str:
    """Link to a flow run; the plain text if there was none."""
    shown = escape(text)
    return f"[{shown}]({run_path(flow_run_id)})" if flow_run_id else shown
