"""Deployments: what their forms ask and are filled with, and where a worker finds the code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, create_model

from flows.graph import Graph, graph_of
from flows.parameters import RunOptions
from flows.recipe import FURTHER, Recipe, further_model, load_recipe
from flows.request import store_of
from flows.stages import STAGES
from tasks.config import Config, knob

DEMO = "recipes/demo.yaml"


def deployed_recipe(
    recipe: str | None = None, overrides: Sequence[str] = ()
) -> tuple[Path, Recipe]:
    """Read the recipe that deployments are made for: the given one, PHUSA_RECIPE, or the demo."""
    path = Path(recipe or os.environ.get("PHUSA_RECIPE") or DEMO)
    return path, load_recipe(path, overrides)


def recipe_forms(recipe: str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Fill in what prefect.yaml names: `recipe`, `store`, `options`, each stage's knobs.

    The store is PHUSA_STORE, or the recipe's. `overrides` are as `phusa run --set` takes them.
    Raises RequestError.
    """
    path, read = deployed_recipe(recipe, overrides)
    store = store_of(path, read, os.environ.get("PHUSA_STORE")).address
    graph = graph_of(read)
    knobs = read.model_dump(mode="json", exclude={*STAGES, FURTHER})
    further = read.model_dump(mode="json", include={FURTHER})[FURTHER]
    main = {i.name: i.config.model_dump(mode="json") for i in graph if i.name in STAGES}
    return {
        "recipe": {**knobs, **main, **({FURTHER: further} if further else {})},
        "store": store,
        "options": RunOptions.of(read, store).model_dump(mode="json", exclude={"force"}),
        **{name: main.get(name, _defaults(name)) for name in STAGES},
    }


def _defaults(name: str) -> dict[str, Any] | None:
    """What the form of a stage begins with that the recipe does not have."""
    try:
        return STAGES[name].config().model_dump(mode="json")
    except ValueError:  # a knob without a default: the form asks for it
        return None


def recipe_form(recipe: Recipe, graph: Graph) -> type[Config]:
    """Make the form of one recipe: a typed group of knobs for each of its instances.

    What each further instance is, is not asked: it is what the recipe says. The whole recipe's
    model reads what the form gives.
    """
    own = {name: (f.annotation, f) for name, f in Recipe.model_fields.items()}
    fields: dict[str, Any] = dict(own)
    groups: dict[str, Any] = {}
    for instance in graph:
        if instance.name in STAGES:
            says = instance.stage.says
            titled = knob(instance.config, says, title=instance.name)
            fields[instance.name] = (instance.stage.config, titled)
        else:
            model = further_model(instance.stage, with_stage=False)
            says = f"{instance.stage.name}: {instance.stage.says}"
            groups[instance.name] = (_hiding(model), Field(title=instance.name, description=says))
    if groups:
        model = create_model("Further", __base__=_Open, __doc__="Further instances.", **groups)
        fields[FURTHER] = (model, Field(description="further instances of the recipe"))
    made: type[Config] = create_model("Recipe", __base__=Config, __doc__=Recipe.__doc__, **fields)
    return made


class _Open(Config):
    """A group that keeps what its form does not show."""

    model_config = ConfigDict(frozen=True, extra="allow")


def _hiding(model: type[Config]) -> type[Config]:
    hiding: type[Config] = create_model(
        model.__name__, __base__=model, __doc__=model.__doc__, __config__=None
    )
    hiding.model_config["extra"] = "allow"
    hiding.model_rebuild(force=True)
    return hiding


def installed_code() -> dict[str, str]:
    """Go where phusa is installed on this worker: the pull step of all deployments.

    That is a checkout on a worker's machine and /opt/phusa in an image, so one prefect.yaml serves
    pools of all types, wherever it was deployed from.
    """
    folder = Path(__file__).parents[1]
    os.chdir(folder)
    return {"directory": str(folder)}
