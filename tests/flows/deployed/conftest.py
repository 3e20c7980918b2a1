"""A Prefect server of their own for the tests of deployed runs, with a recipe deployed on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import recipe_of
from tests.flows.deployed.prefect_site import PrefectSite
from tests.site import TinySite


@pytest.fixture(scope="module")
def recipe_path(tmp_path_factory: pytest.TempPathFactory, tiny_site: TinySite) -> Path:
    """The tiny recipe."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe_of(tiny_site)))
    return path


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory, recipe_path: Path) -> Iterator[PrefectSite]:
    """Server, pools and deployments; the tests start their workers."""
    home = tmp_path_factory.mktemp("prefect")
    with PrefectSite(home, recipe_path, home / "store") as site:
        for pool in ("cpu", "gpu"):
            site.prefect("work-pool", "create", pool, "--type", "process")
        site.prefect("--no-prompt", "deploy", "--all")
        yield site
