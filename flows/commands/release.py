"""What is done with an artifact that is good: `phusa sample`, `promote`, `rollback`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import ArtifactArgument, JsonOption, StoreOption, answer, store_here
from flows.render import make_console, print_text, size

AliasArgument = Annotated[str, typer.Argument(help="such as prod")]


def sample(
    artifact: ArtifactArgument,
    prompt: Annotated[str, typer.Argument(help="what to continue or to answer")],
    store: StoreOption = None,
    tokens: Annotated[
        int, typer.Option("--max-tokens", "--tokens", min=1, max=4096, help="to write")
    ] = 128,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="0: the most likely token each time")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of the draws")] = 0,
) -> None:
    """Write text with a base model, or answer with a tuned one.

    Example: `phusa sample finetune "What is heapq.heappush?"`
    """
    from flows.stages import open_artifact  # all stages' knobs, only wanted here

    place = store_here(store)
    model = open_artifact(place, place.resolve(artifact)).model()
    print_text(model.generate(prompt, max_tokens=tokens, temperature=temperature, seed=seed))


def promote(
    artifact: ArtifactArgument,
    alias: AliasArgument,
    override: Annotated[
        str | None,
        typer.Option(help="promote all the same, for this reason; it is kept in the history"),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an alias mean an artifact, if its checks hold and it scores no worse than the holder.

    Example: `phusa promote finetune prod`
    """
    from flows.promotion import promote as promote_  # all stages' knobs, only wanted here

    done = promote_(store_here(store), artifact, alias, override)
    moved = f"now (before: {done.before or 'none'})" if done.before != done.label else "already"
    text = "\n".join([f"{done.label} is {alias} {moved}", *done.notes])
    row = {
        "artifact": done.label,
        "alias": alias,
        "before": done.before,
        "notes": list(done.notes),
    }
    answer(row, as_json, lambda c: c.print(text, highlight=False, soft_wrap=True))


def rollback(
    name: Annotated[str, typer.Argument(help="of the artifacts, such as finetune")],
    alias: AliasArgument,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an alias mean again what it meant before the last promotion.

    Example: `phusa rollback finetune prod`
    """
    from flows.promotion import rollback as rollback_

    label = f"{name}@{rollback_(store_here(store), name, alias)}"
    row = {"artifact": label, "alias": alias}
    text = f"{label} is {alias} again"
    answer(row, as_json, lambda c: c.print(text, highlight=False, soft_wrap=True))


def export(
    artifact: ArtifactArgument,
    folder: Annotated[
        Path, typer.Argument(help="a folder that does not exist yet, or is empty", metavar="DIR")
    ],
    form: Annotated[
        str,
        typer.Option(help="another form, such as megatron; a wrong one is answered with all"),
    ] = "",
    store: StoreOption = None,
) -> None:
    """Lay an artifact out as transformers, PEFT and datasets load it, with a card.

    Example: `phusa export pretrain ./my-model`
    """
    from flows.export.folder import export as lay_out  # all stages' knobs, only wanted here
    from flows.export.folder import own_form
    from flows.stages import type_of

    place = store_here(store)
    manifest = place.resolve(artifact)
    target = lay_out(place, manifest, folder, form)
    num_bytes = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    console, loads = make_console(), f"load it: {type_of(manifest).loader}({str(target)!r})"
    for line in (
        f"{manifest.label} → {target} ({size(num_bytes)})",
        *([loads] if form in ("", own_form(manifest)) else []),
        f"its card: {target / 'README.md'}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
