"""The `phusa` command. Prefect and torch are imported only by the commands that run something."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.plan import Selection, plan
from flows.recipe import load_recipe
from flows.render import artifacts_table, make_console, plan_table, show_artifact
from flows.stages import STAGES
from storage.errors import Fault, PhusaError, RequestError
from storage.lineage import Node, ancestors, descendants
from storage.manifest import Manifest
from storage.store import Store

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    help="From a crawl of the web to a trained, fine-tuned, versioned language model.",
)

RecipeArgument = Annotated[Path, typer.Argument(help="a recipe, such as recipes/demo.yaml")]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="PHUSA_STORE",
        help="folder of the artifacts; default: .phusa beside the recipe's project",
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="a knob, such as dedup.threshold=0.8; repeatable")
]
OnlyOption = Annotated[
    str | None, typer.Option("--only", help="run this stage alone, from its latest inputs")
]
FromOption = Annotated[str | None, typer.Option("--from", help="run this stage and all after it")]
ForceOption = Annotated[
    list[str] | None,
    typer.Option("--force", help="build this stage even if it is a hit; repeatable"),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", help="STAGE=VERSION: use that artifact instead of running the stage"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="answer as JSON")]


@app.command()
def run(
    recipe: RecipeArgument,
    store: StoreOption = None,
    set_: SetOption = None,
    only: OnlyOption = None,
    from_: FromOption = None,
    force: ForceOption = None,
    input_: InputOption = None,
) -> None:
    """Run a recipe: reuse what is there, build what is not.

    Example: `phusa run recipes/demo.yaml --set dedup.threshold=0.7 --from dedup`
    """
    parsed = load_recipe(recipe, set_ or ())
    place = _store_of(recipe, store)
    selection = _selection(only, from_, force, input_)
    plan(parsed, place, selection)  # a wrong request ends here, before Prefect starts
    console = make_console()
    started = time.monotonic()
    _settle_prefect()
    from flows.run import run_pipeline  # Prefect: 1.3 s, and only wanted here

    run_pipeline(console, parsed, place, selection)
    console.print(
        f"done in {time.monotonic() - started:.1f} s; artifacts in {place.root}",
        highlight=False,
        soft_wrap=True,
    )


@app.command("plan")
def plan_(
    recipe: RecipeArgument,
    store: StoreOption = None,
    set_: SetOption = None,
    only: OnlyOption = None,
    from_: FromOption = None,
    force: ForceOption = None,
    input_: InputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a run would do, stage by stage, and why; nothing is run.

    Example: `phusa plan recipes/demo.yaml --set tokenizer.vocab_size=8192`
    """
    parsed = load_recipe(recipe, set_ or ())
    steps = plan(parsed, _store_of(recipe, store), _selection(only, from_, force, input_))
    rows = [
        {
            "stage": step.stage.name,
            "action": step.action,
            "reason": step.reason,
            "artifact": step.artifact.version if step.artifact else None,
            "last_seconds": step.artifact.seconds if step.artifact else None,
            "last_bytes": step.artifact.num_bytes if step.artifact else None,
        }
        for step in steps
    ]
    _answer(rows, as_json, lambda console: console.print(plan_table(steps)))


@app.command()
def artifacts(
    name: Annotated[str | None, typer.Argument(help="only artifacts of this name")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the artifacts in the store.

    Example: `phusa artifacts tokenizer`
    """
    found = [m for m in _store_here(store).manifests() if name in (None, m.name)]
    rows = [_summary(manifest) for manifest in found]
    _answer(rows, as_json, lambda console: console.print(artifacts_table(found)))


@app.command()
def show(
    artifact: Annotated[str, typer.Argument(help="NAME or NAME@VERSION", metavar="NAME[@VERSION]")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one artifact: what it is made of, from and by, and what uses it.

    Example: `phusa show pretrain`
    """
    place = _store_here(store)
    manifest = place.resolve(artifact)
    up, down = ancestors(place, manifest), descendants(place, manifest)
    row = manifest.model_dump(mode="json") | {"made_from": _lineage(up), "used_by": _lineage(down)}
    _answer(row, as_json, lambda console: show_artifact(console, manifest, up, down))


@app.command()
def sample(
    artifact: Annotated[str, typer.Argument(help="NAME or NAME@VERSION", metavar="NAME[@VERSION]")],
    prompt: Annotated[str, typer.Argument(help="what to continue or to answer")],
    store: StoreOption = None,
    tokens: Annotated[int, typer.Option(min=1, max=4096, help="tokens at most")] = 128,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="0: the most likely token each time")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of the draws")] = 0,
) -> None:
    """Write text with a base model, or answer with a tuned one.

    Example: `phusa sample finetune "What is heapq.heappush?"`
    """
    place = _store_here(store)
    manifest = place.resolve(artifact)
    tuned = any(entry.path == "merged/config.json" for entry in manifest.files)
    if not tuned and not any(entry.path == "config.json" for entry in manifest.files):
        remedy = "Name a pretrain or a finetune artifact."
        raise RequestError(Fault(manifest.label, "no model in it", "a model or an adapter", remedy))
    from tasks.lm.generate import Sampler, Sampling  # torch: 2 s, and only wanted here

    sampling = Sampling(tokens, temperature, seed=seed)
    folder = place.folder(manifest)
    sampler = Sampler(folder / "merged" if tuned else folder)
    print(sampler.answer(prompt, sampling) if tuned else sampler.continue_text(prompt, sampling))


def main() -> None:
    """Entry point: 0 done, 1 the run failed, 2 the request was wrong."""
    console = make_console(stderr=True)
    try:
        app()
    except PhusaError as error:
        title = "the request was refused" if isinstance(error, RequestError) else "the run failed"
        console.print(f"[bold red]{title}[/]")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here")
        sys.exit(1)
    except Exception as error:  # a defect or the machine: the whole trace, and exit code 1
        logging.getLogger("phusa").exception("unexpected error")
        console.print(f"the run failed: {type(error).__name__}: {error}", markup=False)
        sys.exit(1)


def _store_of(recipe: Path, store: Path | None) -> Store:
    """The given store, or `.phusa` in the project that the recipe belongs to."""
    if store is not None:
        return Store(store)
    folder = recipe.resolve().parent
    return Store((folder.parent if folder.name == "recipes" else folder) / ".phusa")


def _store_here(store: Path | None) -> Store:
    return Store(store if store is not None else Path(".phusa"))


def _selection(
    only: str | None, from_: str | None, force: list[str] | None, inputs: list[str] | None
) -> Selection:
    given = {}
    for item in inputs or ():
        name, equals, version = item.partition("=")
        if not equals or not version:
            expected = "STAGE=VERSION, such as tokenizer=latest"
            raise RequestError(
                Fault("--input", repr(item), expected, f"Stages: {', '.join(STAGES)}.")
            )
        given[name] = version
    return Selection(only, from_, frozenset(force or ()), given)


def _settle_prefect() -> None:
    """Quiet, private defaults for a run from the command line; what the user has set wins."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # errors end on our own console
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # 13 s were seen for a cold start of the ephemeral server on two cores; the default is 20.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")


def _summary(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "created": manifest.created.isoformat(),
        "recipe": manifest.run.recipe,
        "rows_in": manifest.rows_in,
        "rows_out": manifest.rows_out,
        "bytes": manifest.num_bytes,
        "seconds": manifest.seconds,
        "digest": manifest.digest,
        "fingerprint": manifest.fingerprint,
    }


def _lineage(node: Node) -> list[dict[str, Any]]:
    return [{"artifact": c.label, "lineage": _lineage(c)} for c in node.children]


def _answer(value: Any, as_json: bool, show_people: Callable[[Console], None]) -> None:
    if as_json:
        print(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        show_people(make_console())


if __name__ == "__main__":
    main()
