"""Branches of a recipe side by side, with flows that take no time: order, inputs, failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.graph import graph_of
from flows.parameters import INPUTS, RunOptions, StageResult
from flows.pipeline import PipelineRun
from flows.plan import Selection
from flows.recipe import Recipe
from flows.stages import STAGES
from storage.errors import BranchesFailed, CorpusTooSmall, Interrupted
from storage.store import Store
from tests.flows.by_hand import recipe, seal

FURTHER = {
    "words-2": {"stage": "tokenizer", "vocab_size": 400},
    "pages-2": {"stage": "shard", "inputs": {"tokenizer": "words-2"}},
    "model-2": {"stage": "pretrain", "inputs": {"sequences": "pages-2"}},
    "lora-2": {"stage": "finetune", "inputs": {"model": "model-2"}},
}
"""A branch from the tokenizer on, beside the main line."""


class Flows(dict[str, Callable[..., StageResult]]):
    """In the place of the stages' flows: notes what they were given; `ends` are what they do."""

    def __init__(self) -> None:
        self.given: dict[str, tuple[RunOptions, dict[str, tuple[str, ...]]]] = {}
        self.order: list[str] = []
        self.ends: dict[str, Callable[[], object]] = {}
        for stage in STAGES:
            self[stage] = self._making(stage)

    def _making(self, stage: str) -> Callable[..., StageResult]:
        def run(*, options: RunOptions, inputs: dict[str, Any], config: Any) -> StageResult:
            assert isinstance(config, STAGES[stage].config)
            sources = INPUTS[stage].model_validate(inputs).sources()
            self.given[options.instance] = (options, sources)
            self.ends.get(options.instance, lambda: None)()
            self.order.append(options.instance)
            name = options.instance
            return StageResult(
                instance=name, stage=stage, name=name, version="1", digest="", reused=False,
                reason="", rows_in=0, rows_out=0, num_bytes=0, seconds=0,
            )  # fmt: skip

        return run


@pytest.fixture
def flows(monkeypatch: pytest.MonkeyPatch) -> Flows:
    found = Flows()
    monkeypatch.setattr("flows.pipeline.FLOWS", found)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def fail(name: str) -> Callable[[], None]:
    def raising() -> None:
        raise CorpusTooSmall(f"{name} is too small")

    return raising


def river(**changes: object) -> Recipe:
    return recipe(tokenizer={}, stages=FURTHER, **changes)


def names(run: PipelineRun) -> list[str]:
    return [result.instance for result in run.made]


def test_each_is_given_what_was_made_for_it(flows: Flows, store: Store) -> None:
    whole = river(workers=3)
    run = PipelineRun(whole, store, Selection(force=("lora*",)))
    run.carry_out()
    assert names(run) == [instance.name for instance in graph_of(whole)]
    for instance in graph_of(whole):
        options, sources = flows.given[instance.name]
        assert options.recipe == "r" and options.force == (instance.name == "lora-2")
        own = {port.name for port in instance.stage.ports if not port.names}
        assert sources == {p: tuple(f"{s}@1" for s in instance.sources[p]) for p in own}
        done = flows.order[: flows.order.index(instance.name)]
        assert {*instance.upstream} <= {*done}


def test_branches_share_the_workers(flows: Flows, store: Store) -> None:
    """Two that are ready at once: neither ends before the other has begun."""
    both = threading.Barrier(2, timeout=60)
    flows.ends = {"tokenizer": both.wait, "words-2": both.wait}
    PipelineRun(river(workers=4), store, Selection(to=("words-2", "tokenizer"))).carry_out()
    assert {n: flows.given[n][0].workers for n in ("crawl", "tokenizer", "words-2")} == {
        "crawl": 4, "tokenizer": 2, "words-2": 2,
    }  # fmt: skip


def test_trainings_take_turns(flows: Flows, store: Store) -> None:
    going = threading.Lock()

    def train() -> None:
        assert going.acquire(blocking=False), "two trainings at once"
        time.sleep(0.02)
        going.release()

    flows.ends = dict.fromkeys(("pretrain", "model-2", "finetune", "lora-2"), train)
    PipelineRun(river(workers=4), store, Selection()).carry_out()


def test_a_failure_stops_what_is_made_from_it_alone(flows: Flows, store: Store) -> None:
    flows.ends = {"words-2": fail("words-2")}
    run = PipelineRun(river(workers=2), store, Selection())
    with pytest.raises(CorpusTooSmall, match="words-2 is too small"):
        run.carry_out()
    assert names(run) == list(STAGES)
    assert list(run.failed) == ["words-2"] and "pages-2" not in flows.given


def test_several_failures_are_all_told(flows: Flows, store: Store) -> None:
    flows.ends = {"words-2": fail("words-2"), "pretrain": fail("pretrain")}
    run = PipelineRun(river(), store, Selection())
    with pytest.raises(BranchesFailed) as caught:
        run.carry_out()
    assert caught.value.exit_code == 1
    assert "words-2: words-2 is too" in str(caught.value) and "pretrain: " in str(caught.value)
    assert names(run) == [n for n in STAGES if n not in ("pretrain", "finetune")]


def test_a_request_to_stop_stops_all(flows: Flows, store: Store) -> None:
    def stop() -> None:
        raise Interrupted("asked to")

    flows.ends = {"dedup": stop}
    run = PipelineRun(river(), store, Selection())
    with pytest.raises(Interrupted):
        run.carry_out()
    assert names(run) == ["crawl", "clean", "quality"] and "tokenizer" not in flows.given


def test_artifacts_are_taken_from_the_store_once(flows: Flows, store: Store) -> None:
    for name in ("crawl", "clean", "quality", "dedup", "tokenizer"):
        seal(store, recipe(), name, name)
    made = {name: store.resolve(name).label for name in store.names()}
    chosen = Selection(only=("shard",), inputs={"words-2": made["tokenizer"]})
    PipelineRun(river(), store, chosen).carry_out()
    assert flows.given["shard"][1] == {
        "documents": (made["dedup"],), "tokenizer": (made["tokenizer"],),
    }  # fmt: skip
    flows.given.clear()
    alone = recipe(
        crawl=None, pretrain=None, finetune=None,
        stages={"lora": {"stage": "finetune", "inputs": {"model": "a@1", "documents": "b@prod"}}},
    )  # fmt: skip
    PipelineRun(alone, store, Selection()).carry_out()
    assert flows.given["lora"][1] == {"documents": ("b@prod",), "model": ("a@1",)}
