"""What is derived from the registry of stages, and nothing beside it."""

from __future__ import annotations

import ast
from itertools import permutations

import grimp
import pytest

from flows.stages import STAGES
from tests.conftest import ROOT

STAGE_PACKAGES = [stage.config.__module__.rpartition(".")[0] for stage in STAGES.values()]
BEFORE_MODELS = {"crawl", "clean", "quality", "dedup"}


def names_in(text: str) -> list[str]:
    """String constants that are a stage's name, or a reference to one of its artifacts."""
    strings = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    return [s for s in strings if isinstance(s, str) and s.partition("@")[0] in STAGES]


def test_no_file_outside_the_registry_spells_a_stage() -> None:
    assert names_in("x = 'dedup'; y = f'{z} dedup'; w = 'clean@1'") == ["dedup", "clean@1"]
    spelt = {
        str(path.relative_to(ROOT)): found
        for folder in ("flows", "storage")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != ROOT / "flows" / "stages.py" and (found := names_in(path.read_text()))
    }
    assert spelt == {"storage/records.py": ["quality"]}  # a column of documents


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(
        *("flows", "tasks", "storage"),
        include_external_packages=True,
        exclude_type_checking_imports=True,
    )


def test_stages_meet_in_artifacts_only(imports: grimp.ImportGraph) -> None:
    chains = {
        f"{one} → {other}": imports.find_shortest_chain(one, other, as_packages=True)
        for one, other in permutations(STAGE_PACKAGES, 2)
    }
    assert {pair: chain for pair, chain in chains.items() if chain} == {}


def test_the_modelling_library_is_for_stages_that_touch_tokens_or_models(
    imports: grimp.ImportGraph,
) -> None:
    for stage in BEFORE_MODELS:
        package = STAGES[stage].config.__module__.rpartition(".")[0]
        for heavy in ("tasks.lm", "torch"):
            assert imports.find_shortest_chain(package, heavy, as_packages=True) is None, package


def test_every_stage_says_what_there_is_to_know() -> None:
    for name, stage in STAGES.items():
        assert stage.name == name and stage.says and stage.config.__doc__
        assert len({port.key for port in stage.ports}) == len(stage.ports)
        for port in stage.ports:
            assert not port.names or port.name in stage.config.model_fields
