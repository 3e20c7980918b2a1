"""The flow that deployments of a pipeline run, with the form of the recipe they are made for.

`prefect deploy` reads the form here: a group for each instance of PHUSA_RECIPE. A worker's run
reads whatever a form gave, of this recipe or of another, so there it takes any recipe.
"""

from __future__ import annotations

from flows.deploying import deployed_recipe, recipe_form
from flows.graph import graph_of
from flows.pipeline import Pipeline, make_pipeline
from flows.stopping import serves_one_run


def _form_of_recipe() -> Pipeline:
    _, recipe = deployed_recipe()
    graph = graph_of(recipe)
    return make_pipeline(recipe_form(recipe, graph), [instance.name for instance in graph])


pipeline = make_pipeline() if serves_one_run() else _form_of_recipe()
