"""What the console shows at the end of a run: of whole runs, of parts, with several models."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.ending import GO_ON, Ending, next_commands
from flows.recipe import RECIPE
from flows.run_report import print_report
from storage.errors import GateFailed, Interrupted
from storage.manifest import Manifest
from storage.store import Store
from tasks.artifacts.adapter import Adapter
from tasks.artifacts.artifact import Artifact, Score
from tasks.artifacts.model import Model
from tests.flows.run_page.conftest import RUN
from tests.flows.run_page.test_run_summary import result, sealed
from tests.flows.sealed import seal

PROMPTS = ("What is a mill?", "Who?")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Manifest]:
    """A base and two adapters of it, which say who they are."""

    def samples(self: Model, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        return (f"{prompt} {artifact.manifest.name} says [so]" for prompt in prompts)

    def scores(self: Model, artifact: Artifact) -> list[Score]:
        own = float(str(artifact.manifest.stats["score"]))
        return [
            Score("other text", "its base model", 9.0),
            Score("held-out text", "unigram tokens", 2.5),
            Score("held-out text", "this model", own, own=True),
        ]

    for kind in (Model, Adapter):
        monkeypatch.setattr(kind, "samples", samples)
        monkeypatch.setattr(kind, "scores", scores)
    base = sealed(tmp_path, "pretrain", "01", stats={"score": 0.75, "parameters": 12, "tokens": 99})
    says: dict[str, Any] = {"stage": "finetune", "stats": {"score": 0.5}, "inputs": (base,)}
    return [base, *(sealed(tmp_path, name, "02", **says) for name in ("lora", "dora"))]


def report(root: Path, made: Sequence[Manifest], prompts: Sequence[str] = PROMPTS) -> list[str]:
    stream = io.StringIO()
    recipe = RECIPE.model_validate({"name": "tiny", "prompts": prompts})
    results = [result(manifest) for manifest in made]
    print_report(Console(file=stream, width=160), recipe, Store(root), Ending(results))
    return stream.getvalue().splitlines()


def cells(lines: Sequence[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_every_model_is_scored_and_answers(tmp_path: Path, models: list[Manifest]) -> None:
    lines = report(tmp_path, models)
    base, lora, dora = (manifest.label for manifest in models)
    assert cells(lines)[:5] == [
        ["held-out text", ""],
        ["unigram tokens", "2.500"],
        [f"{base} (12 parameters, 99 tokens)", "0.750"],
        [f"{lora} (0 trained parameters)", "0.500"],
        [f"{dora} (0 trained parameters)", "0.500"],
    ]
    said = [line.strip() for line in lines if "│" not in line]
    start = said.index(PROMPTS[1])
    assert said[start : start + 7] == [
        "Who?",
        f"base: {base}", "pretrain says [so]",
        f"tuned: {lora}", "lora says [so]",
        f"tuned: {dora}", "dora says [so]",
    ]  # fmt: skip


def test_an_adapter_alone_is_heard_beside_its_base(tmp_path: Path, models: list[Manifest]) -> None:
    lines = report(tmp_path, models[1:2])
    said = "\n".join(lines)
    assert f"base: {models[0].label}" in said and f"tuned: {models[1].label}" in said
    assert f"{models[0].label} (12" not in said  # only what was made is scored
    assert models[2].label not in said


def test_without_models_there_is_the_table_of_stages(tmp_path: Path) -> None:
    crawl = sealed(tmp_path, "crawl", "01", rows_in=3)
    other = sealed(tmp_path, "odd", "02", stage="unheard-of", rows_in=4, rows_out=2)
    lines = report(tmp_path, [crawl, other])
    rows = cells(lines)
    assert [row[0] for row in rows] == ["crawl", "odd"]
    assert [row[3] for row in rows] == ["0 pages", "2 rows"]
    assert not any("held out" in line or PROMPTS[0] in line for line in lines)
    assert cells(report(tmp_path, [])) == []


def test_without_prompts_no_model_is_loaded(
    tmp_path: Path, models: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Model, "samples")
    assert not any("says" in line for line in report(tmp_path, models, ()))


def test_where_all_is_reused_no_model_is_asked(tmp_path: Path, models: list[Manifest]) -> None:
    reused = [result(m).model_copy(update={"reused": True}) for m in models]
    assert "says [so]" not in ended(tmp_path, Ending(reused))
    assert "says [so]" in ended(tmp_path, Ending([*reused[1:], result(models[0])]))


def test_a_model_that_cannot_answer_costs_nothing_else(
    tmp_path: Path, models: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Iterator[str]:
        raise RuntimeError("no such device")

    monkeypatch.setattr(Model, "samples", broken)
    lines = report(tmp_path, models)
    assert "    (nothing: RuntimeError: no such device)" in lines
    assert "    lora says [so]" in lines and [r[0] for r in cells(lines)[-2:]] == ["lora", "dora"]


# --- what failed, what to do next -----------------------------------------------------------------


def ended(root: Path, ending: Ending) -> str:
    stream = io.StringIO()
    recipe = RECIPE.model_validate({"name": "tiny", "prompts": PROMPTS})
    print_report(Console(file=stream, width=160), recipe, Store(root), ending)
    return stream.getvalue()


def test_a_failure_shows_what_was_made_dropped_and_kept_from_being_made(tmp_path: Path) -> None:
    counts = {"http_404": 3, "not_html": 5, **{f"odd_{n}": 1 for n in range(5)}}
    stats = {"rejected": counts}
    crawl = seal(
        tmp_path, "crawl", "20261121-010101-000-aaaa", {"rejects.parquet": b"x"},
        rows_in=20, rows_out=7, stats=stats, run=RUN,
    )  # fmt: skip
    failed = {"clean": GateFailed("clean@2 [b] does not pass:\n  drop_rate")}
    ending = Ending([result(crawl)], failed, {"dedup": "clean failed"})
    said = ended(tmp_path, ending)
    assert [(row[0], row[-1]) for row in cells(said.splitlines())] == [
        ("crawl", "built"), ("clean", "failed"), ("dedup", "not run: clean failed"),
    ]  # fmt: skip
    assert "clean: GateFailed: clean@2 [b] does not pass:\n" in said
    assert "crawl dropped 13 of 20: 5 not_html, 3 http_404, 1 odd_0, 1 odd_1, 1 odd_2, 2 mo" in said
    for command in ("phusa show clean", f"phusa head {crawl.label} --dropped"):
        assert f"  {command}\n" in said
    assert f"export PHUSA_STORE={tmp_path}\n" in said and GO_ON in said
    assert [(row["instance"], row["action"]) for row in ending.rows(Store(tmp_path))] == [
        ("crawl", "built"), ("clean", "failed"), ("dedup", "not_run"),
    ]  # fmt: skip
    assert ending.rows(Store(tmp_path))[1]["error"]["code"] == "gate_failed"


def test_who_stops_a_run_does_not_wait_for_answers(tmp_path: Path, models: list[Manifest]) -> None:
    results = [result(manifest) for manifest in models]
    said = ended(tmp_path, Ending(results, {"more": Interrupted("stopped")}))
    assert "says [so]" not in said and GO_ON not in said
    assert f"{models[0].label} (12 parameters" in said and "stopped" in said


def test_a_good_end_says_how_to_use_what_was_made(tmp_path: Path, models: list[Manifest]) -> None:
    base, lora = models[:2]
    said = next_commands(Store(tmp_path), Ending([result(base), result(lora)]), {lora.label})
    assert said == [
        f'phusa sample {base.label} "PROMPT"',
        f"phusa promote {base.label} prod",
        f"phusa export {base.label} ./pretrain",
        f'phusa sample {lora.label} "QUESTION"',
        f"phusa export {lora.label} ./lora",
    ]
    assert next_commands(Store(tmp_path), Ending()) == []


@pytest.mark.parametrize(("dropped", "looks"), [(11, True), (10, False)])
def test_what_lost_most_of_its_rows_is_looked_at_after_a_good_end(
    tmp_path: Path, models: list[Manifest], dropped: int, looks: bool
) -> None:
    crawl = seal(
        tmp_path, "crawl", "20261121-010101-000-aaaa", {"rejects.parquet": b"x"},
        rows_in=20, rows_out=20 - dropped, stats={"rejected": {"odd": dropped}}, run=RUN,
    )  # fmt: skip
    said = next_commands(Store(tmp_path), Ending([result(crawl), result(models[0])]))
    assert (f"phusa head {crawl.label} --dropped" in said) is looks


def test_the_store_of_this_project_is_not_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    crawl = sealed(tmp_path / ".phusa", "crawl", "01")
    said = ended(tmp_path / ".phusa", Ending([result(crawl)]))
    assert f"  phusa show {crawl.label}\n" in said and "PHUSA_STORE" not in said
