"""`phusa export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import ArtifactArgument, StoreOption, store_here
from flows.render import make_console, size

_LOADS = {
    "model": "transformers.AutoModelForCausalLM.from_pretrained({!r})",
    "tokenizer": "transformers.AutoTokenizer.from_pretrained({!r})",
    "dataset": "datasets.load_dataset({!r})",
}


def export(
    artifact: ArtifactArgument,
    folder: Annotated[
        Path, typer.Argument(help="a folder that does not exist yet, or is empty", metavar="DIR")
    ],
    store: StoreOption = None,
) -> None:
    """Lay an artifact out as transformers, PEFT and datasets load it, with a card.

    Example: `phusa export pretrain ./my-model`
    """
    from flows.export.folder import export as lay_out  # all stages' knobs, only wanted here
    from flows.export.layouts import kind_of

    place = store_here(store)
    manifest = place.resolve(artifact)
    target = lay_out(place, manifest, folder)
    num_bytes = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    console = make_console()
    for line in (
        f"{manifest.label} → {target} ({size(num_bytes)})",
        f"load it: {_LOADS[kind_of(manifest)].format(str(target))}",
        f"its card: {target / 'README.md'}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
