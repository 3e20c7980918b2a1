"""What the console shows of how a run ended: scores, samples, what became of each instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from flows.ending import GO_ON, Ending, export, next_commands
from flows.recipe import Recipe
from flows.render import print_json, say, size
from flows.stages import open_artifact, type_of
from storage.store import Store
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.model import MODEL


def print_report(
    console: Console, recipe: Recipe, store: Store, ending: Ending, *, as_json: bool = False
) -> None:
    """Print scores of the models, their answers to the recipe's prompts, what became of each
    instance, and what to do next; `as_json`: the rows, to stdout, besides.

    Who has stopped a run does not wait for answers. Where all is reused they were given before, and
    cost 2.4 of the demo's 3.6 s.
    """
    manifests = [store.manifest(result.name, result.version) for result in ending.made]
    # Equal instances share an artifact, and a base model may be there that this run did not make.
    made = {m.label: open_artifact(store, m) for m in manifests if type_of(m).serves(MODEL)}
    models = {of.label: of for one in made.values() for of in (*one.inputs(MODEL), one)}
    _print_scores(console, made.values())
    if recipe.prompts and models and not ending.is_stopped and _made_something(ending):
        _print_samples(console, recipe.prompts, list(models.values()))
    rows = ending.rows(store)
    if rows:
        console.print(_stages(ending, rows))
        for name, error in ending.failed.items():  # in a line: the whole error comes last of all
            first = (str(error).splitlines() or [""])[0]
            say(console, [f"{name}: {type(error).__name__}: {first}"])
        say(console, _dropped(rows))
    lines = next_commands(store, ending)
    if lines:
        console.print("\nwhat to do next", style="italic")
        exported = [] if store.address == Store(".phusa").address else [export(store.address)]
        say(console, [f"  {line}" for line in (*exported, *lines)])
    if ending.failed and not ending.is_stopped:
        say(console, [f"\n{GO_ON}"])
    if as_json:
        print_json(rows)


def _made_something(ending: Ending) -> bool:
    return bool(ending.failed) or not all(one.reused for one in ending.made)


def _stages(ending: Ending, rows: Sequence[dict[str, Any]]) -> Table:
    heads = ("rows in", "rows out", "dropped", "bytes", "seconds", "")
    version = Column("version", no_wrap=True)
    table = Table("instance", version, *heads, title="stages", title_justify="left")
    for result, row in zip(ending.made, rows, strict=False):
        table.add_row(
            result.instance,
            result.version if result.name == result.instance else result.label,
            f"{result.rows_in:,}",
            row["amount"],
            f"{sum(row['dropped'].values()):,}" if row["dropped"] else "",
            size(result.num_bytes),
            f"{result.seconds:.1f}",
            "[green]reused[/]" if result.reused else "[yellow]built[/]",
        )
    for name in ending.failed:
        table.add_row(name, *[""] * 6, "[red]stopped[/]" if ending.is_stopped else "[red]failed[/]")
    for name, why in ending.not_run.items():
        table.add_row(name, *[""] * 6, f"[dim]not run: {why}[/]")
    return table


def _dropped(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Say for which reasons instances dropped most."""
    for row in (row for row in rows if row.get("dropped")):
        reasons = [f"{count:,} {reason}" for reason, count in row["dropped"].items()]
        more = [f"{len(reasons) - _REASONS} more reasons"] if len(reasons) > _REASONS else []
        total = sum(row["dropped"].values())
        shown = ", ".join((*reasons[:_REASONS], *more))
        yield f"{row['instance']} dropped {total:,} of {row['rows_in']:,}: {shown}"


_REASONS = 5


def _print_scores(console: Console, models: Iterable[Artifact]) -> None:
    """Print the score of each model, under those that it is to beat on the same text."""
    rows: dict[tuple[str, str], str] = {}
    for model in models:
        scores = model.type.scores(model)
        for own in (score for score in scores if score.own):
            others = [score for score in scores if score.text == own.text and not score.own]
            for score in others:
                rows[own.text, escape(score.subject)] = f"{score.value:.3f}"
            rows[own.text, _described(model)] = f"[bold]{own.value:.3f}[/]"
    table = Table("held out", "bits per byte", title="validation", title_justify="left")
    for text, group in groupby(sorted(rows, key=lambda row: row[0]), key=lambda row: row[0]):
        table.add_section()
        table.add_row(f"[bold]{escape(text)}[/]", "")
        for row in group:
            table.add_row(row[1], rows[row])
    if rows:
        console.print(table)


def _described(model: Artifact) -> str:
    """Name a model with its size and, where that is known, the tokens that it learnt from."""
    tokens = model.manifest.stats.get("tokens")
    learnt = f", {tokens:,} tokens" if isinstance(tokens, int) else ""
    return f"{model.label} ({model.type.amount(model.manifest)}{learnt})"


def _print_samples(console: Console, prompts: Sequence[str], models: Sequence[Artifact]) -> None:
    """Print what each model says to each prompt: a base goes on with it, a tuned one answers."""
    said = [(model, _answers(model, prompts)) for model in models]
    for number, prompt in enumerate(prompts):
        console.print(f"\n[bold]{escape(prompt)}[/]")
        for model, texts in said:
            if number >= len(texts):  # it took long
                continue
            kind = "tuned" if model.type.chats else "base"
            console.print(f"  [dim]{kind}: {model.label}[/]", highlight=False)
            text = texts[number].removeprefix(prompt).strip()
            for line in text.splitlines() or ["(nothing)"]:
                console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
    console.print()


def _answers(model: Artifact, prompts: Sequence[str]) -> list[str]:
    """Ask a model; what keeps it from answering costs neither the run nor its own error."""
    try:
        return list(model.type.samples(model, prompts))
    except Exception as error:
        return [f"(nothing: {type(error).__name__}: {error})"]
