"""`phusa head`: documents of an artifact, and what it dropped and why, drawn at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from flows.listing import describe
from flows.render import say
from flows.stages import STAGES, open_artifact
from storage import takedown
from storage.errors import DamagedArtifact, Fault, RequestError
from storage.identities import document_id
from storage.store import Store
from storage.warc import read_body
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.excerpts import Excerpt, Excerpts, Wanted
from tasks.artifacts.pages import PAGES
from tasks.clean.config import STAGE as CLEAN
from tasks.clean.config import CleanConfig
from tasks.config import from_identity


@dataclass(frozen=True)
class Head:
    """What was drawn of one artifact; None is what was not asked for."""

    artifact: str
    recipe: str
    state: str
    kept: Excerpts | None
    dropped: Excerpts | None

    def sides(self) -> Iterator[tuple[str, Excerpts]]:
        """Give what was asked for, by name."""
        sides = {"kept": self.kept, "dropped": self.dropped}
        yield from ((name, side) for name, side in sides.items() if side is not None)


def draw_head(store: Store, reference: str, asked: Sequence[Wanted], characters: int) -> Head:
    """Draw from an artifact, also one in quarantine, what is asked; texts are cut to `characters`.

    Raises RequestError for what cannot be shown, and for a reason for which nothing was dropped.
    """
    one = describe(store, reference)
    artifact = open_artifact(store, one.manifest)
    if one.state in ("gone", "damaged"):
        found, remedy = f"{one.state}: {one.problem}", "Run the recipe again: it builds it anew."
        raise DamagedArtifact(Fault(artifact.label, found, "all its data", remedy, "no_data"))
    sides = {wanted.dropped: _side(artifact, wanted, characters) for wanted in asked}
    recipe = one.manifest.run.recipe
    return Head(artifact.label, recipe, one.state, sides.get(False), sides.get(True))


def _side(artifact: Artifact, wanted: Wanted, characters: int) -> Excerpts:
    found = artifact.type.excerpts(artifact, wanted)
    stage = STAGES.get(artifact.manifest.stage)
    reasons = stage.dropped(artifact.manifest) if stage else {}
    if not found.total and not wanted.language and wanted.reason not in ("", *reasons):
        known = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.items())
        remedy = "`phusa head` without --reason draws from all of them."
        where = f"--reason, of {artifact.label}"
        expected = f"a reason for which something was dropped: {known or 'there is none'}"
        raise RequestError(Fault(where, repr(wanted.reason), expected, remedy, "unknown_reason"))
    rows: Sequence[Excerpt] = found.rows
    forgotten = takedown.read(artifact.store.backend).forgotten
    rules = [forgotten.covers(row.url, row.id) for row in rows]
    if wanted.dropped and artifact.manifest.stage == CLEAN.name:
        rows = _made_again(artifact, rows, [rule is None for rule in rules])
    elif not (wanted.dropped and artifact.type.serves(PAGES)):
        rows = [row if row.text else _noted(row, "its text is not in the store") for row in rows]
    hidden = (
        replace(row, title="", text="", note=f"taken down: {rule}") if rule else row
        for row, rule in zip(rows, rules, strict=True)
    )
    return Excerpts(found.total, tuple(_cut(row, characters) for row in hidden))


def _noted(row: Excerpt, note: str) -> Excerpt:
    return replace(row, note="; ".join(filter(None, (row.note, note))))


def _cut(row: Excerpt, characters: int) -> Excerpt:
    text = row.text[:characters] if characters else row.text
    return replace(row, text=text, characters=len(row.text))


# --- what a cleaning dropped ----------------------------------------------------------------------


def _made_again(
    artifact: Artifact, rows: Sequence[Excerpt], wanted: Sequence[bool]
) -> list[Excerpt]:
    """Clean the wanted ones' pages once more: a cleaning keeps no text of what it drops."""
    from tasks.clean.judging import TrialPage, try_pages  # the extractors: only wanted here

    crawl = next((one for one in artifact.inputs(PAGES) if one.is_whole()), None)
    try:
        config = from_identity(CleanConfig, artifact.manifest.config)
    except ValidationError:
        return [replace(row, note="no text: another phusa's configuration") for row in rows]
    if crawl is None:
        return [replace(row, note="no text: its page is no longer in the store") for row in rows]
    urls = {row.url for row, is_wanted in zip(rows, wanted, strict=True) if is_wanted}
    pages = [
        TrialPage(page.url, page.content_type, page.charset, read_body(warc, page.warc_offset))
        for page in PAGES.find(crawl, urls).pages
        for warc in crawl.files(f"warc/{page.warc_file}")
    ]
    texts = {trial.url: (trial.title, trial.text) for trial in try_pages(pages, config)}
    return [_with_text(row, *texts.get(row.url, ("", ""))) for row in rows]


def _with_text(row: Excerpt, title: str, text: str) -> Excerpt:
    if not text:
        return replace(row, note="no text could be made of its page")
    same = document_id(row.url, text) == row.id
    note = "" if same else "cleaned again now: not the text that was judged"
    return replace(row, title=title, text=text, note=note)


# --- for people -----------------------------------------------------------------------------------


def show_head(console: Console, found: Head) -> None:
    """Print what was drawn; kept and dropped side by side, where both are asked for."""
    title = f"[bold]{found.artifact}[/] of recipe {escape(found.recipe)}, {found.state}"
    console.print(title, highlight=False)
    sides = dict(found.sides())
    if len(sides) == 1:
        ((name, side),) = sides.items()
        console.print(heading(name, side), style="bold", highlight=False)
        for row in side.rows:
            say(console, [""])
            say(console, facts(row).values(), style="cyan")
            say(console, body(row))
        return
    heads = (Column(heading(name, side), ratio=1) for name, side in sides.items())
    table = Table(*heads, expand=True, show_lines=True)
    for pair in zip_longest(*(side.rows for side in sides.values())):
        table.add_row(*(_cell(row) if row else "" for row in pair))
    console.print(table)


def heading(name: str, side: Excerpts) -> str:
    """Say how many were drawn of how many: `dropped: 20 of 4,312`."""
    return f"{name}: {len(side.rows):,} of {side.total:,}"


def facts(row: Excerpt) -> dict[str, str]:
    """Tell where it is from, what it is, why it was dropped, and what its text is."""
    lines = {
        "where": row.url or row.id,
        "what": " · ".join(filter(None, (row.language, row.title))),
        "why": f"{row.reason}: {row.value}, wanted {row.threshold}" if row.reason else "",
        "note": row.note,
    }
    return {kind: line for kind, line in lines.items() if line}


def body(row: Excerpt) -> list[str]:
    """Give its text, and how much of it is not shown."""
    left = row.characters - len(row.text)
    return [line for line in (row.text, f"… {left:,} more characters" if left else "") if line]


def _cell(row: Excerpt) -> Text:
    return Text("\n").join([Text("\n".join(facts(row).values()), "cyan"), *map(Text, body(row))])
