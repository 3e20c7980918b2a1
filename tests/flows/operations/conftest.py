"""One `phusa up` for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.conftest import recipe_of
from tests.flows.operations.living_up import LivingUp
from tests.flows.servers import free_port
from tests.site import TinySite


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, tiny_site: TinySite) -> Iterator[LivingUp]:
    """All of it, up and ready."""
    folder = tmp_path_factory.mktemp("up")
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(recipe_of(tiny_site)))
    living = LivingUp(folder, recipe, free_port())
    try:
        living.start()
        yield living
    finally:
        living.close()
