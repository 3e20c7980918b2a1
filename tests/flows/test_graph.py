"""How a recipe's instances are connected, and what is refused, with where it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.graph import Graph, Instance, graph_of
from flows.plan import Selection, plan
from flows.recipe import load_recipe
from flows.stages import STAGES
from storage.errors import Fault, RequestError
from storage.store import Store
from tests.conftest import ROOT
from tests.flows.by_hand import recipe, seal
from tests.flows.test_recipe import CRAWL

Raw = dict[str, Any]

TRAINED = [name for name in STAGES if name != "finetune"]


def connect(*overrides: str, crawl: object = CRAWL, **raw: object) -> Graph:
    """The graph of a recipe file with a crawl and what is said."""
    path = Path(yaml_of({"name": "r", "crawl": crawl, **raw}))
    return graph_of(load_recipe(path, overrides))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def yaml_of(raw: Raw) -> str:
    Path("r.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return "r.yaml"


def sources(instance: Instance) -> dict[str, str]:
    """What it is made from by port, without empty ports."""
    return {port: " ".join(of) for port, of in instance.sources.items() if of}


def faults(*overrides: str, **raw: object) -> dict[str, Fault]:
    """What is wrong, by where."""
    with pytest.raises(RequestError) as caught:
        connect(*overrides, **raw)
    return {fault.where.removeprefix("r.yaml: "): fault for fault in caught.value.faults}


# --- the main line ------------------------------------------------------------------------------


def test_the_main_line_takes_from_itself() -> None:
    found = connect(pretrain={}, finetune={})
    assert {i.name: sources(i) for i in found} == {
        "crawl": {},
        "clean": {"pages": "crawl"},
        "quality": {"documents": "clean"},
        "dedup": {"documents": "clean", "scores": "quality"},
        "tokenizer": {"documents": "dedup"},
        "shard": {"documents": "dedup", "tokenizer": "tokenizer"},
        "pretrain": {"sequences": "shard", "tokenizer": "tokenizer"},
        "finetune": {"documents": "dedup", "model": "pretrain"},
    }
    assert [i.name for i in found] == list(STAGES)
    assert [i.name for i in found if i.is_named] == ["crawl", "pretrain", "finetune"]
    assert all(i.stage is STAGES[i.name] and i.where == i.name for i in found)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["crawl"]),
        ("pretrain:", TRAINED),
        ("pretrain: {}\nfinetune: null", TRAINED),
        ("pretrain: ~\ndedup:", ["crawl", "clean", "quality", "dedup"]),
        ("clean: null\nquality: {}", ["crawl", "clean", "quality"]),  # needed, so there after all
    ],
)
def test_what_nobody_names_or_needs_is_not_there(text: str, names: list[str]) -> None:
    Path("r.yaml").write_text(f"name: r\n{yaml.safe_dump({'crawl': CRAWL})}{text}\n")
    assert [i.name for i in graph_of(load_recipe(Path("r.yaml")))] == names


def test_a_default_that_cannot_be_there_is_named_with_who_needs_it() -> None:
    found = faults(crawl=None, pretrain={}, finetune={})
    assert list(found) == ["crawl"]
    assert "clean" in found["crawl"].expected and "crawl.source" in found["crawl"].remedy


def test_further_instances_leave_the_main_line_alone() -> None:
    further = {
        "clean-2": {"stage": "clean"},
        "scores-2": {"stage": "quality", "inputs": {"documents": "clean-2"}},
        "small": {"stage": "tokenizer", "inputs": {"documents": "dedup"}},
        "small-pages": {"stage": "shard", "inputs": {"tokenizer": "small"}},
        "lora": {"stage": "finetune", "inputs": {"model": "pretrain", "documents": "dedup"}},
    }
    alone = connect(finetune={})
    beside = connect(finetune={}, stages=further)
    assert {i.name: i.sources for i in beside if i.name not in further} == {
        i.name: i.sources for i in alone
    }


def test_an_input_of_its_own_brings_what_belongs_to_it() -> None:
    """An instance of the main line that stands under `stages`: its model has its tokenizer."""
    pages = {"stage": "shard", "inputs": {"tokenizer": "small"}}
    stages = {"small": {"stage": "tokenizer"}, "shard": pages}
    found = connect(tokenizer={}, pretrain={}, stages=stages)
    assert sources(found["pretrain"]) == {"sequences": "shard", "tokenizer": "small"}


def test_the_graph_of_the_documentation() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "graphs.md").read_text(), re.S)
    Path("r.yaml").write_text(text)
    found = graph_of(load_recipe(Path("r.yaml")))
    tokens = {i.name: sources(i)["tokenizer"] for i in found if "tokenizer" in i.sources}
    assert tokens == {
        "shard": "tokenizer",
        "pretrain": "tokenizer",
        "small-pages": "small-words",
        "small-model": "small-words",
    }
    assert sources(found["lora-wide"])["model"] == "pretrain"
    assert sources(found["lora-small"])["model"] == "small-model"


# --- the nearest producer -----------------------------------------------------------------------


def test_the_one_producer_is_taken() -> None:
    found = connect(stages={"small": {"stage": "tokenizer"}, "pages": {"stage": "shard"}})
    assert sources(found["small"]) == {"documents": "dedup"}
    assert sources(found["pages"]) == {"documents": "dedup", "tokenizer": "small"}
    assert "tokenizer" not in found.instances and not found["dedup"].is_named
    assert found["pages"].where == "stages.pages"


def test_the_nearest_is_not_one_that_another_was_made_from() -> None:
    found = connect(stages={"corpus": {"stage": "dedup"}, "small": {"stage": "tokenizer"}})
    assert sources(found["small"]) == {"documents": "corpus"}  # clean makes documents, too
    chain = {
        "lora": {"stage": "finetune", "inputs": {"model": "pretrain"}},
        "again": {"stage": "finetune", "inputs": {"model": "lora"}},
    }
    found = connect(pretrain={}, stages=chain)
    assert sources(found["again"]) == {"documents": "dedup", "model": "lora"}
    assert [i.name for i in found][-3:] == ["pretrain", "lora", "again"]


def test_what_it_is_made_from_already_comes_first() -> None:
    """The tokenizer is that of the sequences, the documents those of the scores."""
    found = connect(
        tokenizer={},
        clean={},
        stages={
            "small": {"stage": "tokenizer", "inputs": {"documents": "dedup"}},
            "small-pages": {"stage": "shard", "inputs": {"tokenizer": "small"}},
            "small-model": {"stage": "pretrain", "inputs": {"sequences": "small-pages"}},
            "clean-2": {"stage": "clean"},
            "scores-2": {"stage": "quality", "inputs": {"documents": "clean-2"}},
            "corpus-2": {"stage": "dedup", "inputs": {"scores": "scores-2"}},
        },
    )
    assert sources(found["small-model"]) == {"sequences": "small-pages", "tokenizer": "small"}
    assert sources(found["corpus-2"]) == {"documents": "clean-2", "scores": "scores-2"}


def test_scores_are_of_the_documents() -> None:
    found = connect(
        dedup={},
        clean={},
        stages={
            "clean-2": {"stage": "clean"},
            "scores-2": {"stage": "quality", "inputs": {"documents": "clean-2"}},
            "corpus-2": {"stage": "dedup", "inputs": {"documents": "clean-2"}},
        },
    )
    assert sources(found["corpus-2"])["scores"] == "scores-2"
    assert sources(found["dedup"]) == {"documents": "clean", "scores": "quality"}
    assert not found["quality"].is_named


def test_several_that_could_be_meant_are_refused_with_their_names() -> None:
    stages = {"small": {"stage": "tokenizer"}, "pages": {"stage": "shard"}}
    found = faults(tokenizer={}, stages={**stages, "model": {"stage": "pretrain"}})
    assert list(found) == ["stages.pages.inputs.tokenizer", "stages.model.inputs.tokenizer"]
    for fault in found.values():
        assert "tokenizer" in fault.found and "small" in fault.found
        assert "{tokenizer: tokenizer}" in fault.remedy
    crawls = {"crawl-2": {"stage": "crawl", **CRAWL}, "clean-2": {"stage": "clean"}}
    assert "crawl and crawl-2" in faults(stages=crawls)["stages.clean-2.inputs.pages"].found
    main = connect(clean={}, stages={"crawl-2": {"stage": "crawl", **CRAWL}})
    assert sources(main["clean"]) == {"pages": "crawl"}


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "port", "found", "helps"),
    [
        ({"model": "dedup"}, "model", "`dedup`, which makes documents", "model"),
        ({"modle": "pretrain"}, "modle", "a port that finetune does not have", "documents, model"),
        ({"model": "pretain"}, "model", "`pretain`, which is not there", "`pretrain`"),
        ({"model": ["pretrain", "lora"]}, "model", "2 of them", "one model"),
        ({"model": []}, "model", "0 of them", "one model"),
    ],
)
def test_wrong_inputs(inputs: Raw, port: str, found: str, helps: str) -> None:
    stages = {"lora": {"stage": "finetune", "inputs": inputs}}
    wrong = faults(pretrain={}, stages=stages)[f"stages.lora.inputs.{port}"]
    assert wrong.found == found and helps in f"{wrong.expected} {wrong.remedy}"


def test_ports_that_knobs_fill_are_not_named_in_inputs() -> None:
    stages = {"corpus": {"stage": "dedup", "inputs": {"against": ["dedup"]}}}
    fault = faults(stages=stages)["stages.corpus.inputs.against"]
    assert fault.expected == "one of documents, scores"
    nothing = faults(stages={"web": {"stage": "crawl", **CRAWL, "inputs": {"pages": "crawl"}}})
    assert "takes nothing" in nothing["stages.web.inputs.pages"].expected


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_cycles_are_drawn(names: str) -> None:
    links = dict(zip(names, names[1:] + names[0], strict=True))
    stages = {n: {"stage": "finetune", "inputs": {"model": of}} for n, of in links.items()}
    found = faults(stages=stages)
    assert list(found) == ["stages.a.inputs"]
    assert found["stages.a.inputs"].found == f"a cycle: {' ← '.join([*names, 'a'])}"


def test_names_of_stages_are_those_of_the_main_line() -> None:
    found = faults(stages={"clean": {"stage": "tokenizer"}})
    assert list(found) == ["stages.clean"] and "tokenizer" in found["stages.clean"].found
    assert list(faults(clean={}, stages={"clean": {"stage": "clean"}})) == ["stages.clean"]
    own = connect(stages={"clean": {"stage": "clean", "inputs": {"pages": "crawl@2"}}})
    assert sources(own["clean"]) == {"pages": "crawl@2"}  # the main line with an input of its own


def test_all_that_is_wrong_is_said_at_once() -> None:
    stages = {
        "lora": {"stage": "finetune", "inputs": {"model": "dedup", "modle": "x"}},
        "pages": {"stage": "shard", "inputs": {"tokenizer": "nope"}},
        "dedup": {"stage": "tokenizer"},
    }
    assert set(faults(stages=stages)) == {
        "stages.dedup",
        "stages.lora.inputs.model",
        "stages.lora.inputs.modle",
        "stages.pages.inputs.tokenizer",
    }


def test_wrong_instances_are_found_with_the_rest_of_the_recipe() -> None:
    stages = {
        "a": {"stage": "nope"},
        "b": {"vocab_size": 300},
        "c": {"stage": "tokenizer", "vocab_sise": 300},
        "D": {"stage": "tokenizer"},
    }
    found = faults(stages=stages, clean={"extractor": {"kind": "magic"}})
    assert set(found) == {
        "stages.a.stage",
        "stages.b.stage",
        "stages.c.vocab_sise",
        "stages.D",
        "clean.extractor.kind",
    }
    assert "tokenizer" in found["stages.a.stage"].expected
    assert "`vocab_size`" in found["stages.c.vocab_sise"].remedy
    assert "resiliparse" in found["clean.extractor.kind"].expected  # kinds, not stages


# --- like ---------------------------------------------------------------------------------------


TO_SHARD = {"sequences": "shard"}


def test_like_takes_everything_but_what_is_said() -> None:
    found = connect(
        shard={},
        pretrain={"tokens": 5000, "model": {"kind": "qwen3", "num_layers": 3, "head_dim": 16}},
        stages={
            "deep": {"like": "pretrain", "model": {"num_layers": 9}, "inputs": TO_SHARD},
            "deeper": {"like": "deep", "model": {"num_layers": 11}, "seed": 4},
            "by-default": {"like": "shard", "inputs": {"tokenizer": "tokenizer"}},
            "from-it": {"like": "by-default", "split_seed": 3},
        },
    )
    config: Any = found["deeper"].config
    assert (config.tokens, config.seed) == (5000, 4)
    assert (config.model.num_layers, config.model.head_dim) == (11, 16)
    assert found["deep"].config.model.num_layers == 9  # type: ignore[attr-defined]
    assert found["pretrain"].config.model.num_layers == 3  # type: ignore[attr-defined]
    assert found["from-it"].sources == found["by-default"].sources
    assert type(config) is STAGES["pretrain"].config
    assert found["by-default"].config == STAGES["shard"].config()


def test_one_of_another_kind_is_taken_whole() -> None:
    first = {"source": {**CRAWL["source"], "max_pages": 7}, "num_shards": 2}
    stages = {
        "read": {"like": "crawl", "source": {"kind": "files", "path": "pages"}},
        "more": {"like": "crawl", "source": {"kind": "web", "max_pages": 8}},
    }
    found = connect(crawl=first, stages=stages)
    read: Any = found["read"].config
    assert (read.source.kind, read.num_shards) == ("files", 2)
    more: Any = found["more"].config
    assert (more.source.max_pages, more.source.seeds) == (8, ("http://a.example/",))


def test_likes_that_go_round_or_nowhere() -> None:
    stages = {
        "a": {"like": "b"},
        "b": {"like": "a"},
        "c": {"like": "c"},
        "d": {"like": "e-"},
        "e": {"stage": "shard"},
    }
    found = faults(stages=stages)
    assert set(found) == {f"stages.{name}.like" for name in "abcd"}
    assert "a → b → a" in {fault.found for fault in found.values()}
    assert found["stages.d.like"].remedy == "Did you mean `e`?"


# --- --set --------------------------------------------------------------------------------------


def test_set_takes_instances_and_globs() -> None:
    stages = {"t2": {"like": "tokenizer", "min_frequency": 5}, "lora": {"stage": "finetune"}}
    found = connect(
        "t*.vocab_size=400", "lora.epochs=3", "stages.lora.seed=4", "lora.inputs.documents=dedup",
        tokenizer={}, stages=stages,
    )  # fmt: skip
    config: dict[str, Any] = {i.name: i.config for i in found}
    assert config["tokenizer"].vocab_size == config["t2"].vocab_size == 400
    assert (config["lora"].epochs, config["lora"].seed) == (3, 4)
    assert sources(found["lora"])["documents"] == "dedup"


def test_set_says_what_it_does_not_find() -> None:
    found = faults("nope*.vocab_size=400", "t3.seed=3", tokenizer={})
    assert "crawl, tokenizer" in found["--set"].expected
    assert "`tokenizer`" not in found["t3"].remedy and "t3" in found["t3"].found
    wrong = faults("*.vocab_size=400", tokenizer={})
    assert set(wrong) == {"crawl.vocab_size"}


# --- artifacts of the store ---------------------------------------------------------------------


def test_an_artifact_takes_the_place_of_all_it_was_made_from(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for name in STAGES:
        seal(store, recipe(), name, name)
    model = store.resolve("pretrain")
    store.aliases.promote("pretrain", model.version, "prod", "", lambda: {model.label})
    inputs = {"model": "pretrain@prod", "documents": f"dedup@{store.resolve('dedup').version}"}
    lora = {"lora": {"stage": "finetune", "inputs": inputs}}
    raw = {"name": "other", "stages": lora}  # no crawl
    (step,) = plan(load_recipe(Path(yaml_of(raw))), store, Selection())
    assert (step.instance.name, step.action) == ("lora", "reuse")
    assert step.artifact == store.resolve("finetune")  # equal, whatever the name
    assert step.instance.upstream == ()

    lora["lora"]["inputs"] = {**inputs, "model": "dedup@latest"}
    with pytest.raises(RequestError) as caught:
        plan(load_recipe(Path(yaml_of(raw))), store, Selection())
    (fault,) = caught.value.faults
    assert (fault.where, fault.expected) == ("stages.lora.inputs.model", "model")
    lora["lora"]["inputs"] = {**inputs, "model": "pretrain@1999"}
    with pytest.raises(RequestError, match="pretrain@1999"):
        plan(load_recipe(Path(yaml_of(raw))), store, Selection())


def test_what_is_given_together_has_to_fit_together() -> None:
    wp = {"stage": "tokenizer", "vocab_size": 300}
    model = {"stage": "pretrain", "inputs": {"sequences": "shard", "tokenizer": "wp"}}
    corpus = {"stage": "dedup", "inputs": {"documents": "c2"}}
    for further, where in (
        ({"wp": wp, "m": model}, "stages.m.inputs.sequences"),
        ({"c2": {"stage": "clean"}, "d": corpus}, "stages.d.inputs.scores"),
    ):
        with pytest.raises(RequestError) as caught:
            connect(tokenizer={}, stages=further)
        assert [fault.where for fault in caught.value.faults] == [where]


def test_a_recipe_without_a_stage_is_refused() -> None:
    with pytest.raises(RequestError):
        graph_of(load_recipe(Path(yaml_of({"name": "r"}))))
