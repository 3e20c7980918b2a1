"""The words of `phusa clean try`: which page, and by which configuration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flows.recipe import Recipe, check_recipe, load_recipe
from flows.request import store_of
from flows.trying.pages import fetch, is_web, read_crawled, read_file
from storage.errors import Fault, RequestError
from storage.store import Store
from tasks.clean.config import CleanConfig
from tasks.clean.judging import TrialPage


@dataclass(frozen=True)
class Asked:
    """A page, and how it is to be had and cleaned."""

    page: str
    recipe_path: Path | None = None
    overrides: tuple[str, ...] = ()
    of: str | None = None
    store: str | None = None
    url: str | None = None
    charset: str | None = None
    contact: str | None = None

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, or the defaults; raises RequestError for whatever is wrong with it."""
        if self.recipe_path is not None:
            return load_recipe(self.recipe_path, self.overrides)
        # Of what stands here only the stage's defaults are looked at.
        raw = {"name": "defaults", "crawl": {"source": {"kind": "files", "path": "."}}}
        return check_recipe(raw, self.overrides, Path("defaults"))

    @property
    def config(self) -> CleanConfig:
        return self.recipe.clean


def read_page(asked: Asked) -> TrialPage:
    """The page itself. Raises RequestError for options that do not fit it, and if there is none."""
    recipe = asked.recipe  # whatever is wrong with it comes first
    from_web = asked.of is None and is_web(asked.page)
    _refuse_idle(asked, from_web=from_web)
    if asked.of is not None:
        path = asked.recipe_path
        store = store_of(path, recipe, asked.store) if path else Store(asked.store or ".phusa")
        return read_crawled(store, asked.of, asked.page)
    if from_web:
        source = recipe.crawl.source if asked.recipe_path is not None else None
        return fetch(asked.page, source, asked.contact)
    return read_file(asked.page, asked.url, asked.charset)


def _refuse_idle(asked: Asked, *, from_web: bool) -> None:
    """An option that would do nothing was meant otherwise."""
    from_file = asked.of is None and not from_web
    options = {
        "--url": (asked.url, from_file, "a file"),
        "--charset": (asked.charset, from_file, "a file"),
        "--contact": (asked.contact, from_web, "a URL that is fetched"),
    }
    faults = [
        Fault(name, repr(value), f"it beside {fits} only", "Leave it out.")
        for name, (value, is_used, fits) in options.items()
        if value is not None and not is_used
    ]
    if faults:
        raise RequestError(faults)
