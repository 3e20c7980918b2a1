"""What a run ends with: how good the models are, what they say, and what was built or reused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from flows.parameters import StageResult
from flows.recipe import Recipe
from flows.render import size
from flows.stages import open_artifact, type_of
from storage.store import Store
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.model import MODEL


def print_report(
    console: Console, recipe: Recipe, store: Store, results: Sequence[StageResult]
) -> None:
    """Print scores of the models, their answers to the recipe's prompts, and the table of stages.

    `results` are those of a run so far: on a failure not all of the recipe's.
    """
    manifests = [store.manifest(result.name, result.version) for result in results]
    # Equal instances share an artifact, and a base model may be there that this run did not make.
    made = {m.label: open_artifact(store, m) for m in manifests if type_of(m).serves(MODEL)}
    models = {of.label: of for one in made.values() for of in (*one.inputs(MODEL), one)}
    _print_scores(console, made.values())
    if recipe.prompts and models:
        _print_samples(console, recipe.prompts, list(models.values()))
    table = Table(
        "instance",
        Column("version", no_wrap=True),
        "rows in",
        "rows out",
        "bytes",
        "seconds",
        "",
        title="stages",
        title_justify="left",
    )
    for result, manifest in zip(results, manifests, strict=True):
        table.add_row(
            result.instance,
            result.version if result.name == result.instance else result.label,
            f"{result.rows_in:,}",
            type_of(manifest).amount(manifest),
            size(result.num_bytes),
            f"{result.seconds:.1f}",
            "[green]reused[/]" if result.reused else "[yellow]built[/]",
        )
    console.print(table)


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
