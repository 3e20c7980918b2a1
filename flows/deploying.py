"""What `prefect deploy` fills the run forms with: a recipe's knobs (prefect.yaml's build step)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.parameters import RunOptions
from flows.recipe import load_recipe
from flows.request import store_of
from flows.stages import STAGES

DEMO = "recipes/demo.yaml"


def recipe_forms(recipe: str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What prefect.yaml fills parameters from: `recipe`, `store`, `options`, each stage's knobs.

    The recipe is the given one, or PHUSA_RECIPE, or the demo; the store is PHUSA_STORE, or the
    recipe's. `overrides` are as `phusa run --set` takes them. Raises RequestError.
    """
    path = Path(recipe or os.environ.get("PHUSA_RECIPE") or DEMO)
    read = load_recipe(path, overrides)
    store = store_of(path, read, os.environ.get("PHUSA_STORE")).address
    knobs = read.model_dump(mode="json")
    return {
        "recipe": knobs,
        "store": store,
        "options": RunOptions.of(read, store).model_dump(mode="json", exclude={"force"}),
        **{name: knobs[name] for name in STAGES},
    }


def installed_code() -> dict[str, str]:
    """The pull step of all deployments: a run works where phusa is installed on its worker.

    That is a checkout on a worker's machine and /opt/phusa in an image, so one prefect.yaml serves
    pools of all types, wherever it was deployed from.
    """
    folder = Path(__file__).parents[1]
    os.chdir(folder)
    return {"directory": str(folder)}
