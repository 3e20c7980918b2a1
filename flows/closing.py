"""What a run ends with: what the models learnt, what they say, and what was built or reused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from flows.recipe import Recipe
from flows.render import size
from flows.stages import STAGES
from storage.manifest import Manifest
from storage.store import Store

_SAMPLE_TOKENS = 48


def print_closing(console: Console, recipe: Recipe, store: Store, results: Sequence[Any]) -> None:
    """Scores, samples of the base and the tuned model, and the table of stages."""
    made = {result.stage: store.manifest(result.stage, result.version) for result in results}
    if "pretrain" in made:
        _print_scores(console, store, made["pretrain"], made.get("finetune"))
    if "finetune" in made and recipe.prompts:
        base = made["finetune"].inputs["pretrain"]
        _print_samples(
            console,
            recipe.prompts,
            store.folder(store.manifest(base.name, base.version)),
            store.folder(made["finetune"], "merged/") / "merged",
        )
    console.print(_stage_table(results))


def _print_scores(
    console: Console, store: Store, pretrain: Manifest, finetune: Manifest | None
) -> None:
    reference = pretrain.inputs["shard"]
    shard = store.manifest(reference.name, reference.version).stats
    table = Table("held-out documents", "bits per byte", title="validation", title_justify="left")
    table.add_row("unigram tokens", f"{shard['unigram_bits_per_byte']:.3f}")
    table.add_row("xz -9", f"{shard['xz_bits_per_byte']:.3f}")
    table.add_row(
        f"{pretrain.label} ({pretrain.stats['parameters']:,} parameters, "
        f"{pretrain.stats['tokens']:,} tokens)",
        f"[bold]{pretrain.stats['validation_bits_per_byte']:.3f}[/]",
    )
    if finetune is not None:
        table.add_section()
        table.add_row("[bold]answers for held-out names[/]", "")
        before = finetune.stats["held_out_bits_per_byte_before"]
        table.add_row("base model, unused to chat", f"{before:.3f}")
        after = finetune.stats["held_out_bits_per_byte"]
        table.add_row(finetune.label, f"[bold]{after:.3f}[/]")
    console.print(table)


def _print_samples(console: Console, prompts: Sequence[str], base: Path, tuned: Path) -> None:
    from tasks.lm.generate import Sampler, Sampling  # torch: 2 s, and only wanted here

    # A base model repeats itself at temperature 0; a tuned one is asked for its best answer.
    models = {
        "base": (Sampler(base).continue_text, Sampling(_SAMPLE_TOKENS, temperature=0.7)),
        "tuned": (Sampler(tuned).answer, Sampling(_SAMPLE_TOKENS)),
    }
    for prompt in prompts:
        console.print(f"\n[bold]{escape(prompt)}[/]")
        for name, (write, sampling) in models.items():
            text = write(prompt, sampling).strip()
            console.print(f"  [dim]{name}:[/]")
            for line in text.splitlines() or ["(nothing)"]:
                console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
    console.print()


def _stage_table(results: Sequence[Any]) -> Table:
    table = Table(
        "stage",
        Column("version", no_wrap=True),
        "rows in",
        "rows out",
        "bytes",
        "seconds",
        "",
        title="stages",
        title_justify="left",
    )
    for result in results:
        state = "[green]reused[/]" if result.reused else "[yellow]built[/]"
        table.add_row(
            result.stage,
            result.version,
            f"{result.rows_in:,}",
            f"{result.rows_out:,} {STAGES[result.stage].unit}",
            size(result.num_bytes),
            f"{result.seconds:.1f}",
            state,
        )
    return table
