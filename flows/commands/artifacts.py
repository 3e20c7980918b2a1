"""`phusa artifacts` and `phusa show`."""

from __future__ import annotations

import gc
from typing import Annotated, Any

import typer

from flows.commands.options import ArtifactArgument, JsonOption, StoreOption, answer, store_here
from flows.listing import Listed, describe, list_artifacts
from flows.render import print_artifacts
from flows.render_artifact import show_artifact
from storage.lineage import Node, ancestors, descendants


def artifacts(
    name: Annotated[str | None, typer.Argument(help="only artifacts of this name")] = None,
    taken: Annotated[bool, typer.Option("--gone", help="also those whose data was taken")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the artifacts in the store, those in quarantine and damaged ones included.

    Example: `phusa artifacts tokenizer`
    """
    # The cycle collector goes through all manifests again and again as they pile up: 10 000 took
    # 2.6 s to read with it, 1.3 s without; and this process ends with the list.
    gc.disable()
    found = list_artifacts(store_here(store), name, gone=taken)
    rows = [_summary(one) for one in found]
    answer(rows, as_json, lambda console: print_artifacts(console, found))


def show(
    artifact: ArtifactArgument,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one artifact: what it is made of, from and by, its checks, and what uses it.

    Without a version, the newest, be it in quarantine. Example: `phusa show pretrain`
    """
    place = store_here(store)
    one = describe(place, artifact)
    up, down = ancestors(place, one.manifest), descendants(place, one.manifest)
    row = one.manifest.model_dump(mode="json") | {
        "state": one.state,
        "aliases": list(one.aliases),
        "marks": [mark.model_dump(mode="json") for mark in one.marks],
        "folder": one.folder,
        "made_from": _lineage(up),
        "used_by": _lineage(down),
    }
    answer(row, as_json, lambda console: show_artifact(console, one, up, down))


def _summary(one: Listed) -> dict[str, Any]:
    manifest = one.manifest
    if manifest is None:
        return {
            "name": one.name,
            "version": one.version,
            "state": one.state,
            "problem": one.problem,
        }
    return {
        "name": manifest.name,
        "version": manifest.version,
        "state": one.state,
        "aliases": list(one.aliases),
        "created": manifest.created.isoformat(),
        "recipe": manifest.run.recipe,
        "rows_in": manifest.rows_in,
        "rows_out": manifest.rows_out,
        "bytes": manifest.num_bytes,
        "seconds": manifest.seconds,
        "digest": manifest.digest,
        "fingerprint": manifest.fingerprint,
        "inputs": {name: reference.version for name, reference in manifest.inputs.items()},
        "problem": one.problem,
    }


def _lineage(node: Node) -> list[dict[str, Any]]:
    return [{"artifact": c.label, "lineage": _lineage(c)} for c in node.children]
