"""The page of one stage's run: what it ended with, why, and where that came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefect.artifacts import ImageArtifact, MarkdownArtifact, TableArtifact

from flows.funnel.cleaning import has_signals
from flows.render import HOST_COLUMNS, host_rows, size
from flows.run_page.cleaning import show_cleaning
from flows.run_page.duplicates import duplicates
from flows.run_page.lineage import lineage
from flows.run_page.markdown import commands, escape, facts_table, number, run_link, table
from flows.run_page.plots import Picture, plot_training
from flows.run_page.publishing import at_no_risk, or_why_not
from flows.run_page.quality import quality_section
from flows.run_page.rows import UNITS_IN, count_rows, drops, is_selection
from flows.run_page.samples import samples
from flows.stages import STAGES
from storage.manifest import Manifest
from storage.store import Store


def publish_page(
    store: Store, manifest: Manifest, *, action: str, reason: str, prompts: Sequence[str] = ()
) -> None:
    """Put the artifact's page, rows and curves on the Artifacts tab of the run in hand.

    `action` is built, reused or in quarantine. What is reused shows no samples and no pictures:
    they are on the page of the run that built it, and no model is loaded or file fetched for them.
    Never raises: the artifact is sealed already.
    """
    name = manifest.name
    with at_no_risk(f"{name}'s page"):
        drawn = _Drawn() if action == "reused" else _drawn(store, manifest)
        page = _page(store, manifest, action, reason, prompts, drawn)
        says = f"{action}: {_headline(manifest)}"
        MarkdownArtifact(key=name, description=says, markdown=page).create()
        table, counts = count_rows(manifest), _counts(manifest)
        TableArtifact(key=f"{name}-rows", description=counts, table=table).create()
        for picture in drawn.pictures:
            ImageArtifact(
                key=f"{name}-{picture.name}", description=picture.says, image_url=picture.url
            ).create()


@dataclass(frozen=True)
class _Drawn:
    """What takes pictures, and files of the artifact, to show."""

    funnel: str = ""
    training: str = ""
    pictures: tuple[Picture, ...] = ()


def _drawn(store: Store, manifest: Manifest) -> _Drawn:
    with at_no_risk(f"{manifest.name}'s curves"):
        curves = plot_training(store, manifest)
        if curves:
            training = Picture("loss", "loss and learning rate by step", curves)
            return _Drawn(training=training.markdown, pictures=(training,))
    with at_no_risk(f"{manifest.name}'s funnel"):
        shown = show_cleaning(store, manifest)
        if shown is not None:
            images = [picture.markdown for picture in shown.pictures]
            return _Drawn("\n\n".join([*images, shown.tables]), pictures=shown.pictures)
    return _Drawn()


def _headline(manifest: Manifest) -> str:
    """What matters most, in one line: the UI's cards have room for no more."""
    score = STAGES[manifest.name].score
    if score is None:
        return _counts(manifest)
    return f"{number(manifest.stats.get(score))} bits per byte held out"


def _counts(manifest: Manifest) -> str:
    unit, unit_in = STAGES[manifest.name].unit, UNITS_IN[manifest.name]
    word = "of" if is_selection(manifest) else "from"
    return f"{manifest.rows_out:,} {unit} {word} {manifest.rows_in:,} {unit_in}"


def _page(
    store: Store,
    manifest: Manifest,
    action: str,
    reason: str,
    prompts: Sequence[str],
    drawn: _Drawn,
) -> str:
    dropped = {why: f"{count:,}" for why, count in drops(manifest).items()}
    sections = {
        f"{manifest.name}: {action}": _head(manifest, reason),
        "Gates": _gates(manifest),
        "Dropped": facts_table(dropped) if dropped else "",
        "Hosts": _hosts(manifest),
        "Funnel": drawn.funnel,
        "Quality": or_why_not(lambda: quality_section(store, manifest, action)),
        "Duplicates": or_why_not(lambda: _duplicates(store, manifest, action)),
        "Training": drawn.training,
        "Samples": or_why_not(lambda: _samples(store, manifest, action, prompts)),
        "Made from": or_why_not(lambda: lineage(store, manifest)),
        "Facts": facts_table(_facts(manifest)),
        "Look closer": or_why_not(lambda: _commands(store, manifest)),
    }
    return "\n\n".join(f"## {title}\n\n{body}" for title, body in sections.items() if body)


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
    """Every check, those that do not hold first and in bold."""
    lines = []
    for check in sorted(manifest.checks, key=lambda c: (c.passed, c.severity)):
        says = escape(check.says)
        mark = "✗ **" if check.severity == "block" else "⚠ **"
        lines.append(f"- ✓ {says}" if check.passed else f"- {mark}{says}**")
    return "\n".join(lines)


def _hosts(manifest: Manifest) -> str:
    rows = [[escape(cell) for cell in row] for row in host_rows(manifest)]
    return table(tuple(HOST_COLUMNS.values()), rows) if rows else ""


def _duplicates(store: Store, manifest: Manifest, action: str) -> str:
    is_new = manifest.name == "dedup" and action != "reused"
    return duplicates(store, manifest) if is_new else ""


def _samples(store: Store, manifest: Manifest, action: str, prompts: Sequence[str]) -> str:
    if action != "reused":
        return samples(store, manifest, prompts)
    built = run_link("the run that built it", manifest.run.flow_run_id)
    return f"Samples, and the pictures, are on the page of {built}."


def _facts(manifest: Manifest) -> dict[str, str]:
    run, commit = manifest.run, manifest.code.git_commit
    facts = {
        "rows in": f"{manifest.rows_in:,} {UNITS_IN[manifest.name]}",
        "rows out": f"{manifest.rows_out:,} {STAGES[manifest.name].unit}",
        "size": size(manifest.num_bytes),
        "time to build": f"{manifest.seconds:.1f} s",
        "memory at its peak": "-" if run.memory_bytes is None else size(run.memory_bytes),
        "built": f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC, on {run.host}",
        "for recipe": run.recipe,
        "code": commit[:12] if commit else "not in a checkout",
        "content digest": manifest.digest[:16],
    }
    shown_above = ("rejected", "dropped", "duplicates", "hosts")
    stats = {key: of for key, of in manifest.stats.items() if key not in shown_above}
    return facts | {key.replace("_", " "): number(of) for key, of in stats.items()}


def _commands(store: Store, manifest: Manifest) -> str:
    """The commands that say more, ready to be pasted."""
    name = manifest.name
    lines = [f"phusa show {manifest.label}"]
    before = store.latest(name, manifest.run.recipe, before=manifest)
    if before is not None:
        lines.append(f"phusa diff {before.label} {manifest.label}")
    if STAGES[name].score:
        lines.append(f"phusa trace --model {manifest.label}")
        lines.append(f'phusa sample {manifest.label} "PROMPT"')
    else:
        lines.append("phusa trace URL_OR_DOCUMENT_ID")
    if name == "clean" and has_signals(manifest):
        lines.append(f"phusa clean funnel {manifest.label} --by language")
    if name == "dedup":
        lines.append(f"phusa dedup top --of {manifest.label}")
    return commands(store.address, lines)
