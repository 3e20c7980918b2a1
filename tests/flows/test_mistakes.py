"""Typical mistakes of a newcomer: each ends at once, with a code, the value found and the remedy.

The recipe and the command are as they are typed; the answer is read as programs read it.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.manifest import CheckResult, RunRef
from tests.flows.conftest import Cli
from tests.flows.sealed import seal

GOOD: dict[str, Any] = {
    "name": "mine",
    "crawl": {"source": {"kind": "web", "seeds": ["http://a.example/"], "contact": "me@a.example"}},
    "clean": {"filters": [{"kind": "length"}]},
    "pretrain": {"model": {"kind": "qwen3", "num_heads": 4, "num_kv_heads": 2}},
}
PLAN = "plan recipe.yaml"


@dataclass(frozen=True)
class Mistake:
    """What is typed, and what is said of it: the code, and words of what was found and to be done.

    `knobs` are put into the recipe by their paths; `command` may name `recipe.yaml` and `store`.
    """

    says: str
    code: str
    found: str
    remedy: str
    command: str = PLAN
    knobs: tuple[tuple[str, Any], ...] = ()
    exit_code: int = 2
    text: str = ""
    """Of the recipe, where it is not made of knobs."""


def written(says: str, text: str, code: str, found: str, remedy: str) -> Mistake:
    return Mistake(says, code, found, remedy, text=text)


def knob(path: str, value: Any, code: str, found: str, remedy: str) -> Mistake:
    return Mistake(f"{path}={value}", code, found, remedy, knobs=((path, value),))


def typed(command: str, code: str, found: str, remedy: str, exit_code: int = 2) -> Mistake:
    return Mistake(command, code, found, remedy, command, exit_code=exit_code)


MISTAKES = [
    # the recipe
    knob("pretrian", {}, "unknown_key", "pretrian", "`pretrain`"),
    knob("dedup.treshold", 0.5, "unknown_key", "treshold", "`threshold`"),
    knob("clean.filters.0.kind", "lenght", "unknown_kind", "lenght", "`length`"),
    knob("clean.filters.0", {"min_words": 9}, "missing", "nothing", "`kind: length`"),
    knob("workers", "two", "wrong_type", '"two"', "shards worked on at once"),
    knob("clean.authors", "maybe", "wrong_type", '"maybe"', "by default true"),
    knob("dedup.threshold", 8, "out_of_range", "8", "by default 0.8"),
    knob("clean.extractor", {"kind": "auto", "way": "artcle"}, "not_one_of", "tcl", "`article`"),
    knob("prompts", "Hello", "wrong_type", "Hello", "[Hello]"),
    knob("name", "My Model", "wrong_form", "My Model", "names the recipe"),
    knob("name", None, "missing", "nothing", "Add `name"),
    knob("crawl.source", None, "missing", "nothing", "Add `source"),
    knob("crawl.source.contact", None, "contact_missing", "contact", "contact: you@example.org"),
    knob("crawl.source.contact", "toi", "contact_unusable", "toi", "you@example.org"),
    knob("crawl.source.seeds", ["http://a:99999/"], "refused_value", "99999", "pages come from"),
    knob("crawl.source.exclude", ["("], "not_a_pattern", "'('", "regular expressions"),
    knob("crawl.source.languages", ["Vietnamese"], "unknown_language", "Vietnamese", "`vi`"),
    knob("clean.languages", "Vietnamese", "unknown_language", "Vietnamese", "`vi`"),
    knob("clean.languages", ["tiếng việt"], "unknown_language", "tiếng việt", "`vi`"),
    knob("crawl.source.languages", ["9"], "unknown_language", "9", "https://iso639-3.sil.org"),
    knob("clean.languages", ["vn"], "unknown_language", "vn", "`vi`"),
    knob("crawl.source", {"kind": "folder"}, "unknown_kind", "folder", "`files`: Every HTML"),
    knob("tokenizer.vocab_size", 40.5, "wrong_type", "40.5", "40_000"),
    knob("pretrain.tokens", "1.000.000", "wrong_type", "1.000.000", "40_000"),
    knob("pretrain.model.num_kv_heads", 3, "heads_do_not_divide", "=3", "one of 1, 2, 4"),
    knob("clean.checks", [{"measure": "drop_rat", "max": 1}], "not_one_of", "t", "`drop_rate`"),
    knob("stages", {"two": {"stage": "tokeniser"}}, "unknown_kind", "tokeniser", "`tokenizer`"),
    knob("stages", {"two": {"like": "clen"}}, "unknown_instance", "clen", "`clean`"),
    written("a tab", "name: mine\ncrawl:\n\tsource: x\n", "yaml_unreadable", "\\t", "spaces"),
    written("a key twice", "name: a\nclean: {}\nclean: {}\n", "yaml_repeated_key", "clean", "one"),
    # what only the plan knows
    knob("pretrain.compute", {"device": "cuda"}, "no_gpu", "cuda", "auto"),
    knob("pretrain.tokens", 10, "budget_below_a_step", "10", "Raise it"),
    knob("crawl.source", {"kind": "files", "path": "pages"}, "missing_folder", "pages", "spelling"),
    knob("crawl.source.seeds", ["http://127.0.0.1/"], "private_address", "127.0.0.1", "Set it"),
    knob("finetune", {"adapter": {"targets": ["q_porj"]}}, "unknown_targets", "q_porj", "q_proj"),
    # the command
    typed("plan missing.yaml", "no_such_file", "no such file", "recipe.yaml"),
    typed(f"{PLAN} --only dedupe", "unknown_instance", "dedupe", "`dedup`"),
    typed(f"{PLAN} --from tokeniser", "unknown_instance", "tokeniser", "`tokenizer`"),
    typed(f"{PLAN} --to pretrian", "unknown_instance", "pretrian", "`pretrain`"),
    typed(f"{PLAN} --to crawl --force clean", "idle_force", "clean", "Leave it out"),
    typed(f"{PLAN} --input craw=latest", "unknown_instance", "craw", "`crawl`"),
    typed(f"{PLAN} --input crawl", "wrong_form", "crawl", "phusa plan"),
    typed(f"{PLAN} --set dedpu.threshold=0.5", "unknown_key", "dedpu", "`dedup`"),
    typed(f"{PLAN} --set dedup.threshold", "wrong_form", "dedup.threshold", "docs/recipes.md"),
    typed(f"{PLAN} --only clean --from clean", "excluded", "both", "Leave one"),
    typed(f"{PLAN} --only dedup", "unknown_artifact", "clean@latest made by", "phusa run RECIPE"),
    typed("show pretrian", "unknown_artifact", "pretrian", "`pretrain`"),
    typed("show clean@2027", "unknown_version", "clean@2027", "phusa artifacts"),
    typed("show clean@prud", "unknown_alias", "clean@prud", "`prod`"),
    typed("show dedup", "ambiguous_recipe", "dedup", "mine/dedup"),
    typed("plan .", "not_a_file", "directory", "Name a file"),
    typed("artifacts --store recipe.yaml", "not_a_folder", "recipe.yaml", "--store"),
    typed("artifacts pretrian", "unknown_artifact", "pretrian", "`pretrain`"),
    typed("promote pretrain best", "check_failed", "loss", "--override"),
    typed("diff clean pretrain", "different_stages", "clean@", "phusa artifacts clean"),
    typed("forget", "wrong_options", "nothing", "phusa forget https://"),
    typed("gc --keep two", "wrong_type", "two", "phusa gc --help"),
    typed("gc --keep 0", "out_of_range", "0", "phusa gc --help"),
    typed("init . --hours 0,5", "wrong_type", "0,5", "phusa init --help"),
    typed("gc --kep 1", "wrong_words", "--kep", "phusa gc --help"),
    typed("plam", "wrong_words", "plam", "phusa --help"),
    typed("trace", "wrong_options", "neither", "phusa trace --model"),
]


def changed(knobs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """Give the good recipe with these knobs; null takes one out."""
    recipe: dict[str, Any] = json.loads(json.dumps(GOOD))
    for path, value in knobs:
        *parents, last = path.split(".")
        node: Any = recipe
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        key: Any = int(last) if isinstance(node, list) else last
        node[key] = value
        if value is None:
            del node[key]
    return recipe


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a store in it: a cleaning that is prod, and a model whose check failed."""
    check = CheckResult(
        measure="loss", value=1, last=None, bounds={}, severity="warn", passed=False, says="loss. x"
    )
    root = tmp_path / ".phusa"
    seal(root, "clean", "20261121-030405-000-aaaa", {"a": b"x"})
    for number, recipe in enumerate(("mine", "other")):
        run = RunRef(recipe=recipe, host="here")
        seal(root, "dedup", f"20261121-03040{number}-000-aaaa", {"a": b"x"}, run=run)
    seal(root, "pretrain", "20261121-030405-000-bbbb", {"a": b"x"}, checks=(check,))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    gc.enable()  # `phusa artifacts` ends with its process, and leaves it off


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.says)
def test_a_mistake_is_named_with_its_remedy(mistake: Mistake, here: Path, cli: Cli) -> None:
    text = mistake.text or yaml.safe_dump(changed(mistake.knobs), allow_unicode=True)
    (here / "recipe.yaml").write_text(text, encoding="utf-8")
    if "@prud" in mistake.command:
        assert cli("promote", "clean", "prod").code == 0
    said = cli(*mistake.command.split(), "--json")
    assert said.code == mistake.exit_code
    faults = json.loads(said.err)["error"]["faults"]
    meant = [f for f in faults if f["code"] == mistake.code and mistake.found in f["found"]]
    assert len(meant) == 1 and mistake.remedy in meant[0]["remedy"], faults
    assert meant[0]["expected"] and meant[0]["where"]
    validator = ("Input should", "valid ", "validation", "unable to", "type=")
    assert not any(word in str(fault) for fault in faults for word in validator)


@pytest.mark.parametrize(("asked", "meant"), [("pln", "plan"), ("artefacts", "artifacts")])
def test_a_command_that_is_none_is_asked_back(asked: str, meant: str, cli: Cli) -> None:
    said = cli(asked)
    assert said.code == 2 and f"'{meant}'" in said.err


def test_commands_that_answer_no_json(here: Path, cli: Cli) -> None:
    said = cli("sample", "clean", "Hello")
    assert said.code == 2 and "no model in it" in said.err and "phusa artifacts" in said.err
    (here / "mine").write_text("here before")
    said = cli("export", "clean", "mine")
    assert said.code == 2 and "found a file" in said.err and "Choose another" in said.err
