"""What a command asks to be run: read and refused, if need be, before anything is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flows.foresight import Foresight
from flows.plan import Selection, Step, plan
from flows.preflight import check_needs
from flows.recipe import Recipe, check_recipe, load_recipe
from flows.runners import missing_packages
from storage.errors import Fault, RequestError
from storage.store import Store


@dataclass(frozen=True)
class Request:
    """A recipe, where its artifacts are kept, which instances are meant, what becomes of each."""

    recipe: Recipe
    store: Store
    selection: Selection
    steps: list[Step]

    @cached_property
    def foresight(self) -> Foresight:
        """What is known of the steps before any work."""
        return Foresight(self.recipe, self.store, self.steps)

    def require_possible(self) -> None:
        """Raise RequestError for what a run would fail on, NotEnoughRoom if it would not fit."""
        if self.foresight.faults:
            raise RequestError(self.foresight.faults)
        check_needs(self.store, list(self.foresight.needs.values()))


def read_request(
    source: Path | Mapping[str, Any],
    store: str | None,
    overrides: Sequence[str] | None,
    *,
    only: Sequence[str] | None = None,
    from_: Sequence[str] | None = None,
    to: Sequence[str] | None = None,
    force: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
) -> Request:
    """Read the words of a command, or of a call from Python, whose recipe may be a mapping.

    Raises RequestError for whatever is wrong with them.
    """
    path = source if isinstance(source, Path) else Path("recipe")
    recipe = (
        load_recipe(source, overrides or ())
        if isinstance(source, Path)
        else check_recipe(deepcopy(dict(source)), overrides or (), path)
    )
    lacking = missing_packages(recipe.runner)
    if lacking:
        raise RequestError(lacking)
    place = store_of(path, recipe, store)
    selection = Selection(
        only=tuple(only or ()),
        from_=tuple(from_ or ()),
        to=tuple(to or ()),
        force=tuple(force or ()),
        inputs=_given(inputs or ()),
    )
    return Request(recipe, place, selection, plan(recipe, place, selection))


def store_of(path: Path, recipe: Recipe, given: str | None) -> Store:
    """The given store, the recipe's, or `.phusa` in the project that the recipe belongs to."""
    folder = path.resolve().parent
    beside = (folder.parent if folder.name == "recipes" else folder) / ".phusa"
    return Store(given or recipe.store or str(beside))


def _given(inputs: Sequence[str]) -> dict[str, str]:
    given = {}
    for item in inputs:
        name, _, version = item.partition("=")
        if not version:
            expected = "INSTANCE=VERSION, such as tokenizer=latest"
            remedy = "`phusa plan` lists the instances of a recipe."
            raise RequestError(Fault("--input", repr(item), expected, remedy, "wrong_form"))
        given[name] = version
    return given
