"""phusa from Python: open what a store holds, plan and run recipes.

    import phusa

    documents = phusa.open("clean").pandas()
    model = phusa.open("finetune").model()
    print(model.generate("What is math.sqrt?"))
    made = phusa.run("recipes/demo.yaml", to="tokenizer")

Everything of weight (Prefect, torch, pyarrow) is imported by what needs it. Errors are
`phusa.PhusaError`, with `faults` that say what was found, what was expected and the remedy.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.plan import Step
    from flows.request import Request
    from storage.errors import PhusaError, RequestError, RunError
    from storage.store import Store
    from tasks.artifacts.artifact import Artifact

__all__ = ["PhusaError", "RequestError", "RunError", "artifacts", "open", "plan", "run"]

_ROOT = Path(__file__).parents[1]
_OWN = frozenset({"flows", "tasks", "storage"})


class _OwnFirst:
    """Finds phusa's own packages before anything of these names on the path, such as a `tasks.py`
    beside a notebook; nothing else changes its place."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(_ROOT)], target) if name in _OWN else None


def _come_first() -> None:
    """Raise ImportError if a module of one of our names was imported before."""
    for name in sorted(_OWN & sys.modules.keys()):
        file = getattr(sys.modules[name], "__file__", None) or "a folder without __init__.py"
        if not file.startswith(str(_ROOT / name)):
            raise ImportError(
                f"the module `{name}` that is imported already is {file}; expected phusa's own in "
                f"{_ROOT}. Import phusa before it, or give that file another name."
            )
    sys.meta_path.insert(0, _OwnFirst)


_come_first()


def main() -> None:
    """Run the command line; the entry point of `phusa` and of `python -m phusa`."""
    from flows.cli import main as command_line

    command_line()


def __getattr__(name: str) -> Any:
    """Give the errors, imported when they are asked for."""
    if name in ("PhusaError", "RequestError", "RunError"):
        from storage import errors

        return getattr(errors, name)
    raise AttributeError(f"module `phusa` has no attribute {name!r}; it has {', '.join(__all__)}")


def open(reference: str, store: str | Path | None = None) -> Artifact:  # noqa: A001
    """Open an artifact by NAME, NAME@VERSION or NAME@ALIAS.

    The store is a folder or s3://bucket/prefix; by default PHUSA_STORE, or `.phusa` in this folder.
    Raises UnknownArtifact or DamagedArtifact.
    """
    from flows.stages import open_artifact

    place = _store(store)
    return open_artifact(place, place.resolve(reference))


def artifacts(store: str | Path | None = None) -> list[Artifact]:
    """List all sealed artifacts of a store, by name, then oldest first."""
    from flows.stages import open_artifact

    place = _store(store)
    return [open_artifact(place, manifest) for manifest in place.manifests()]


def plan(
    recipe: str | Path | Mapping[str, Any],
    store: str | Path | None = None,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002
    only: str | Sequence[str] = (),
    from_: str | Sequence[str] = (),
    to: str | Sequence[str] = (),
    force: str | Sequence[str] = (),
    inputs: Mapping[str, str] | None = None,
) -> list[Step]:
    """Say what `run` with the same arguments would do with each instance, and why.

    Raises RequestError with everything that is wrong with them, and that a run would fail on.
    """
    chosen = {"only": only, "from_": from_, "to": to, "force": force}
    return _request(recipe, store, set, inputs, chosen).steps


def run(
    recipe: str | Path | Mapping[str, Any],
    store: str | Path | None = None,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002
    only: str | Sequence[str] = (),
    from_: str | Sequence[str] = (),
    to: str | Sequence[str] = (),
    force: str | Sequence[str] = (),
    inputs: Mapping[str, str] | None = None,
) -> dict[str, Artifact]:
    """Run a recipe, a file or a mapping, or parts of it, as `phusa run` does; progress is printed.

    `set` changes knobs by their paths, such as {"dedup.threshold": 0.7}. `only`, `from_`, `to` and
    `force` name instances, or globs of them; `inputs` gives versions in the place of instances.
    Returns what was made or reused, by instance. Raises RequestError before any work, RunError
    after it has begun.
    """
    from flows.commands.run import run_request
    from flows.render import make_console
    from flows.stages import open_artifact

    chosen = {"only": only, "from_": from_, "to": to, "force": force}
    asked = _request(recipe, store, set, inputs, chosen)
    results = run_request(make_console(), asked)
    place = asked.store
    made = {each.instance: place.manifest(each.name, each.version) for each in results}
    return {name: open_artifact(place, manifest) for name, manifest in made.items()}


def _store(given: str | Path | None) -> Store:
    from storage.store import Store

    return Store(given or os.environ.get("PHUSA_STORE") or ".phusa")


def _request(
    recipe: str | Path | Mapping[str, Any],
    store: str | Path | None,
    knobs: Mapping[str, Any] | None,
    inputs: Mapping[str, str] | None,
    chosen: Mapping[str, str | Sequence[str]],
) -> Request:
    """Read what is asked. Raises RequestError for what is wrong, or would fail once it runs."""
    from flows.request import read_request

    place = store or os.environ.get("PHUSA_STORE")
    asked = read_request(
        Path(recipe) if isinstance(recipe, str) else recipe,
        str(place) if place else None,
        [f"{path}={json.dumps(value)}" for path, value in (knobs or {}).items()],
        inputs=[f"{name}={version}" for name, version in (inputs or {}).items()],
        **{option: [of] if isinstance(of, str) else of for option, of in chosen.items()},
    )
    asked.require_possible()
    return asked
