"""`phusa promote` and `phusa rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands.options import ArtifactArgument, JsonOption, StoreOption, answer, store_here

AliasArgument = Annotated[str, typer.Argument(help="such as prod")]


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
    lines = [f"{done.label} is {alias} {moved}", *done.notes]
    row = {
        "artifact": done.label,
        "alias": alias,
        "before": done.before,
        "notes": list(done.notes),
    }
    answer(row, as_json, lambda c: c.print("\n".join(lines), highlight=False, soft_wrap=True))


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
