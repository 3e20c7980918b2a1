"""Forms of deployments: typed groups for the instances of a recipe, and what fills them in."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from flows.deploying import recipe_form, recipe_forms
from flows.graph import graph_of
from flows.parameters import INPUTS, StageResult, whole_reference
from flows.pipeline import make_pipeline
from flows.recipe import RECIPE, load_recipe
from flows.stage_flows import FLOWS
from flows.stages import STAGES
from tests.conftest import ROOT
from tests.flows.test_recipe import CRAWL

ORDER = ["recipe", "only", "from_stage", "to_stage", "force", "inputs", "promote", "store"]
FURTHER = {
    "words-2": {"stage": "tokenizer", "vocab_size": 400},
    "pages-2": {"stage": "shard", "inputs": {"tokenizer": "words-2"}},
    "lora": {"stage": "finetune", "inputs": {"model": "pretrain@prod"}},
    "lora-2": {"like": "lora", "epochs": 9},
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PHUSA_STORE", raising=False)
    path = tmp_path / "r.yaml"
    raw = {"name": "r", "crawl": CRAWL, "tokenizer": {}, "shard": {}, "stages": FURTHER}
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def test_what_a_form_is_filled_with_is_the_recipe(path: Path) -> None:
    recipe = load_recipe(path)
    filled = recipe_forms(str(path))
    read = RECIPE.model_validate(filled["recipe"])
    asked, found = graph_of(recipe), graph_of(read)
    assert [(i.name, i.config, i.sources) for i in found] == [
        (i.name, i.config, i.sources) for i in asked
    ]
    assert filled["store"] == filled["options"]["store"] == str(path.parent / ".phusa")
    for name, stage in STAGES.items():
        assert stage.config.model_validate(filled[name])
    assert "force" not in filled["options"]


def test_the_form_has_a_group_for_each_instance(path: Path) -> None:
    recipe = load_recipe(path)
    graph = graph_of(recipe)
    form = recipe_form(recipe, graph)
    main = {i.name for i in graph if i.name in STAGES}
    assert main < set(form.model_fields) and "pretrain" not in form.model_fields
    groups = form.model_fields["stages"].annotation.model_fields  # type: ignore[union-attr]
    assert list(groups) == [i.name for i in graph if i.name in FURTHER]
    schema = form.model_json_schema()
    words = schema["$defs"]["FurtherTokenizerConfig"]["properties"]
    assert "vocab_size" in words and "stage" not in words
    given = form.model_validate(recipe_forms(str(path))["recipe"])
    assert graph_of(RECIPE.model_validate(given.model_dump(mode="json"))) == graph_of(
        RECIPE.model_validate(recipe_forms(str(path))["recipe"])
    )


def test_the_form_of_a_pipeline(path: Path) -> None:
    names = [instance.name for instance in graph_of(load_recipe(path))]
    for pipeline in (make_pipeline(), make_pipeline(RECIPE, names)):
        assert list(inspect.signature(pipeline.fn).parameters) == ORDER
        properties = parameter_schema(pipeline).properties
        assert all(properties[name]["description"] for name in ORDER)
    for one in ("only", "from_stage", "to_stage"):
        assert properties[one]["enum"] == ["", *names]
    assert properties["force"]["items"]["enum"] == names
    kinds = inspect.signature(pipeline.fn).parameters["inputs"].annotation
    assert list(kinds.model_fields) == names and set(kinds().model_dump().values()) == {""}


@pytest.mark.parametrize("name", list(STAGES))
def test_the_form_of_a_stage(name: str) -> None:
    stage, flow = STAGES[name], FLOWS[name]
    schema = parameter_schema(flow)
    assert list(schema.properties) == ["config", "inputs", "options"]
    assert schema.required == ["config", "options"]
    assert {p.name for p in stage.ports if not p.names} == set(INPUTS[name].model_fields)
    assert stage.config.__name__ in schema.definitions
    assert flow.name == flow.fn.__name__ == name


def test_prefect_yaml_deploys_every_stage() -> None:
    raw: Any = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    entries = {one["name"]: one["entrypoint"] for one in raw["deployments"]}
    pipelines = dict.fromkeys(("nightly", "manual"), "flows/deployed.py:pipeline")
    assert entries == pipelines | {name: f"flows/stage_flows.py:{name}" for name in STAGES}
    pools = {one["name"]: one["work_pool"]["name"] for one in raw["deployments"]}
    assert {name for name in STAGES if pools[name] == "gpu"} == {
        name for name, stage in STAGES.items() if stage.trains
    }


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("dedup", "dedup"),
        ("corpus-2", "corpus-2"),
        ("corpus@prod", "corpus@prod"),
        ("@prod", "dedup@prod"),
        ("latest", "dedup@latest"),
        ("20261121-01", "dedup@20261121-01"),
    ],
)
def test_references_of_a_form(reference: str, whole: str) -> None:
    port = STAGES["tokenizer"].port("documents")
    assert port is not None and whole_reference(port, reference) == whole
    assert port.holds("dedup") and STAGES["tokenizer"].port("dedup") == port


def test_inputs_take_results_and_references() -> None:
    result = StageResult(
        instance="corpus", stage="dedup", name="dedup", version="1", digest="", reused=True,
        reason="", rows_in=0, rows_out=0, num_bytes=0, seconds=0,
    )  # fmt: skip
    given = INPUTS["shard"].model_validate({"documents": result, "tokenizer": ""})
    assert given.sources() == {"documents": ("dedup@1",), "tokenizer": ()}
    assert INPUTS["shard"]().sources() == {"documents": ("dedup",), "tokenizer": ("tokenizer",)}
    with pytest.raises(ValueError, match="dedup"):
        INPUTS["shard"].model_validate({"dedup": "dedup"})
