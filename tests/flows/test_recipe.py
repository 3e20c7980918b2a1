"""Recipes: every fault at once, each with where, what, expected and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.recipe import RECIPE, load_recipe
from flows.stages import STAGES
from storage.errors import RequestError
from tests.conftest import ROOT

CRAWL = {"source": {"kind": "web", "seeds": ["http://a.example/"], "contact": "me@a.example"}}


def write(folder: Path, value: object) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
    return path


def faults(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(RequestError) as caught:
        load_recipe(path, overrides)
    assert caught.value.exit_code == 2
    return [str(fault) for fault in caught.value.faults]


def test_the_smallest_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, {"name": "mine", "crawl": CRAWL}))
    assert [name for name, *_ in recipe.named()] == ["crawl"]
    knobs = {name: recipe.config(STAGES[name]) for name in ("dedup", "clean")}
    assert knobs["dedup"].threshold == 0.8  # type: ignore[attr-defined]
    assert knobs["clean"] == STAGES["clean"].config()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_recipes_are_valid_and_have_a_header(path: Path) -> None:
    assert load_recipe(path).name == path.stem
    head = path.read_text().splitlines()[:8]
    for word in ("Gives:", "Time:", "Command:"):
        assert any(line.startswith("#") and word in line for line in head), word


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "name": "Bad Name",
            "crawl": CRAWL,
            "dedup": {"treshold": 0.5, "num": 1},
            "tokenizer": {"vocab_size": 12},
            "pretrain": {"model": {"kind": "qwen3", "num_layer": 3}},
        },
    )
    said = faults(path)
    assert len(said) == 5
    text = "\n".join(said)
    assert "dedup.treshold: found unknown key `treshold`" in text
    assert "Did you mean `threshold`?" in text
    assert "found unknown key `num`" in text and "Did you mean `num_layers`?" in text
    assert "tokenizer.vocab_size: found 12; expected a whole number from 263 to" in text
    assert 'name: found "Bad Name"' in text


def test_missing_source_and_missing_contact(tmp_path: Path) -> None:
    missing = faults(write(tmp_path, {"name": "x", "crawl": {}}))
    assert "crawl.source: found nothing; expected a mapping with `kind:`" in missing[0]
    assert "crawl.source: found nothing" in faults(write(tmp_path, "name: x\ncrawl:\n"))[0]
    no_contact = {"name": "x", "crawl": {"source": {"kind": "web", "seeds": ["http://a.example"]}}}
    assert "`contact` is missing" in faults(write(tmp_path, no_contact))[0]


def test_unknown_kind_and_bad_pattern(tmp_path: Path) -> None:
    raw = {
        "name": "x",
        "crawl": {"source": {**CRAWL["source"], "exclude": ["("]}},
        "clean": {"extractor": {"kind": "magic"}, "filters": [{"kind": "length", "min": 3}]},
    }
    text = "\n".join(faults(write(tmp_path, raw)))
    assert "a regular expression (missing )" in text
    assert "magic" in text and "resiliparse" in text  # the kinds that there are
    assert "unknown key `min`" in text and "min_words" in text


def test_overrides(tmp_path: Path) -> None:
    path = write(
        tmp_path, {"name": "x", "crawl": CRAWL, "clean": {"filters": [{"kind": "length"}]}}
    )
    recipe = load_recipe(
        path, ["dedup.threshold=0.7", "clean.filters.0.min_words=9", "prompts=[a, b]"]
    )
    dedup, clean = recipe.config(STAGES["dedup"]), recipe.config(STAGES["clean"])
    assert dedup.threshold == 0.7  # type: ignore[attr-defined]
    assert clean.filters[0].min_words == 9  # type: ignore[attr-defined]
    assert recipe.prompts == ("a", "b")


@pytest.mark.parametrize(
    "wrong", ["dedup.threshold", "=3", "clean.filters.7.min_words=1", "name.x=1"]
)
def test_wrong_overrides_name_themselves(tmp_path: Path, wrong: str) -> None:
    raw = {"name": "x", "crawl": CRAWL, "clean": {"filters": [{"kind": "length"}]}}
    assert any(wrong in said for said in faults(write(tmp_path, raw), wrong))


def test_unreadable_files(tmp_path: Path) -> None:
    write(tmp_path, {"name": "x"})
    assert "In that folder:" in faults(tmp_path / "none.yaml")[0]
    assert "recipe.yaml" in faults(tmp_path / "none.yaml")[0]
    assert "a readable YAML file" in faults(write(tmp_path, "a: [1"))[0]
    assert "found a list" in faults(write(tmp_path, "[1, 2]"))[0]


def test_every_stage_is_a_field_of_the_recipe() -> None:
    for name, stage in STAGES.items():
        assert RECIPE.model_fields[name].annotation == stage.config | None


def test_a_recipe_is_read_back_as_a_form_or_a_file_gives_it() -> None:
    lora = {"stage": "finetune", "inputs": {"model": "pretrain"}, "epochs": 3}
    raw = {"name": "x", "crawl": CRAWL, "stages": {"lora": lora, "two": {"like": "lora"}}}
    recipe = RECIPE.model_validate(raw)
    again = RECIPE.model_validate(recipe.model_dump(mode="json"))
    assert again == recipe and RECIPE.model_validate(recipe) == recipe
    found = {name: (stage.name, config, inputs) for name, stage, config, inputs in again.named()}
    assert found["two"] == found["lora"]
    assert found["lora"][2] == {"model": ("pretrain",)}
    assert type(found["lora"][1]) is STAGES["finetune"].config
