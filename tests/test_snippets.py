"""Every fence of README.md and docs/*.md is run: Python executes, recipes are read, commands are
parsed as their program parses them, and those of ours that only ask are run on a small store."""

from __future__ import annotations

import configparser
import contextlib
import fnmatch
import importlib.util
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
import yaml
from typer.testing import CliRunner

from flows.cli import app
from flows.graph import graph_of
from flows.recipe import RECIPE, check_recipe
from flows.stages import STAGES
from storage.parquet import shard_name
from storage.records import SCORE
from storage.store import Store
from tasks.quality.classifiers.trained import MODEL_FILES
from tests.conftest import ROOT
from tests.flows.cleaned import seal_cleaned
from tests.flows.river import PART, A, B, River, doc, documents, table
from tests.flows.sealed import seal
from tests.snippets import PAGES, SNIPPETS, Snippet, program_of, snippets_of
from tests.tasks.clean.conftest import Page
from tests.tasks.clean.test_clean import PAGES as PAGES_OF_A_SITE
from tests.test_operations_docs import check as check_prefect

GROUP = typer.main.get_command(app)
BASE = {"name": "base", "crawl": {"source": {"kind": "files", "path": "."}}}
# Commands that only ask, or write to no store: what a page says of them is run.
ASKING = frozenset({"artifacts", "diff", "export", "gc", "show", "trace", "verify"})


def of_language(*languages: str) -> list[Snippet]:
    return [one for one in SNIPPETS if one.language in languages]


def commands(*programs: str) -> list[tuple[Snippet, str]]:
    """Every line that begins with one of the programs, after what it sets for itself."""
    found = [(one, line) for one in SNIPPETS for line in one.commands()]
    return [(one, line) for one, line in found if program_of(line) in programs]


def words_of(line: str) -> list[str]:
    """What a program is told: without variables before it, and what comes after `|` or `&`."""
    words = shlex.split(line)
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    ends = [words.index(end) for end in ("|", "&", "&&", ">") if end in words]
    return words[1 : min(ends, default=None)]


def test_the_fences_are_found() -> None:
    """A fence that is not found is not run: each that opens in a page is one of those found."""
    for path in PAGES:
        fences = re.findall(r"^ *```", path.read_text(), re.M)
        assert len(fences) == 2 * len(snippets_of(path)), path.name
    assert {one.language for one in SNIPPETS} <= {"", "sh", "text", "yaml", "json", "python", "ini"}


def test_a_mark_is_one_that_the_tests_know() -> None:
    for one in SNIPPETS:
        assert one.key in ("", "in", "run by"), one
        if one.key == "run by":
            assert (ROOT / one.value).is_file(), one
            assert one.page.name in (ROOT / one.value).read_text(), f"{one}: {one.value}"


# --- Python -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `.phusa` in it that holds a crawl, its cleaning and its deduplication."""
    home = tmp_path_factory.mktemp("cleaned")
    text = "今日は天気がよいので、川のそばを歩いて、友だちと昼ご飯を食べました。" * 8
    japanese = Page("http://a/ja", f"<html><body><p>{text}</p></body></html>".encode(), "utf-8")
    clean = seal_cleaned(home / ".phusa", home / "work", (*PAGES_OF_A_SITE, japanese))
    name = shard_name("documents", 0, 1)
    documents = Store(home / ".phusa").files(clean, "documents/")
    files: dict[str, Any] = {name: pq.read_table(documents[0])}
    seal(home / ".phusa", "dedup", "20261121-030101-000-cccc", files, inputs=(clean,))
    return home


@pytest.mark.parametrize(
    "snippet", [one for one in of_language("python") if one.key != "run by"], ids=str
)
def test_python_runs(snippet: Snippet, cleaned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, home = Store(cleaned / ".phusa"), cleaned
    if snippet.key == "in":
        name = store.resolve(snippet.value)
        home = cleaned / ".phusa" / "versions" / name.name / name.version / "data"
    monkeypatch.chdir(home)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(snippet.body, str(snippet), "exec"), {"__name__": "__main__"})


# --- recipes and other YAML ---------------------------------------------------------------------


def is_recipe(part: Any) -> bool:
    return isinstance(part, dict) and set(part) <= set(RECIPE.model_fields)


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with the files that recipes of the pages name."""
    model = [f"quality-model/{name}" for name in MODEL_FILES]
    for file in ("evals/quiz.jsonl", "examples/good/1.jsonl", *model):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text('{"text": "silt", "question": "?", "choices": "silt"}\n')
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("snippet", of_language("yaml"), ids=str)
def test_yaml_is_what_its_reader_takes(snippet: Snippet) -> None:
    if len(re.findall(r"^runner: ", snippet.body, re.M)) > 1:  # a choice a line
        for line in filter(str.strip, snippet.body.splitlines()):
            check_recipe({**BASE, **yaml.safe_load(line)}, (), snippet.page)
        return
    for part in yaml.safe_load_all(snippet.body):
        if is_recipe(part):
            graph_of(check_recipe({**BASE, **part}, (), Path(str(snippet))))
        else:  # prefect.yaml's, which test_operations_docs.py checks, and Prometheus's
            assert set(part) & {"definitions", "deployments", "scrape_configs"}, snippet


def test_the_alerts_are_automations() -> None:
    from prefect.events import Automation

    for one in yaml.safe_load((ROOT / "docs" / "alerts.yaml").read_text())["automations"]:
        Automation.model_validate({**one, "id": "00000000-0000-0000-0000-000000000000"})


def test_a_recipe_that_is_wrong_is_found_out() -> None:
    assert is_recipe({"clean": {"langauges": ["vi"]}})
    with pytest.raises(Exception, match="langauges"):
        check_recipe({**BASE, "clean": {"langauges": ["vi"]}}, (), ROOT)


@pytest.mark.parametrize("snippet", of_language("json"), ids=str)
def test_json_is_json(snippet: Snippet) -> None:
    json.loads(snippet.body)


@pytest.mark.parametrize("snippet", of_language("ini"), ids=str)
def test_units_are_read(snippet: Snippet) -> None:
    parsed = configparser.RawConfigParser()
    parsed.read_string(snippet.body)
    assert parsed.sections(), snippet


# --- commands -----------------------------------------------------------------------------------


def parse(words: list[str], *, whole: bool = True) -> Any:
    """Parse words as `phusa` does, up to the command's own call; gives its parsed options.

    What is quoted in a sentence may leave arguments out: then names alone are looked at.
    """
    command, context = GROUP, GROUP.make_context("phusa", [], resilient_parsing=True)
    while words and hasattr(command, "commands") and words[0][0] not in "-…[":
        name = words.pop(0)
        assert name in command.commands, f"no command {name}"
        command = command.commands[name]
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    unknown = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)} - options
    assert not unknown, f"no option {unknown}"
    if whole and not hasattr(command, "commands") and "--help" not in words:
        return command.make_context(command.name, words, parent=context).params
    return {}


def test_commands_and_options_that_do_not_exist_are_found_out() -> None:
    for line in ("runn x.yaml", "run x.yaml --fromm dedup", "clean funel", "show", "gc --keep x"):
        with pytest.raises((AssertionError, Exception), match=r"no (command|option)|Missing|valid"):
            parse(line.split())


@pytest.mark.parametrize(("snippet", "line"), commands("phusa"), ids=str)
def test_commands_are_parsed(snippet: Snippet, line: str, tmp_path: Path) -> None:
    try:
        given = parse(words_of(line))
    except AssertionError as error:
        pytest.fail(f"{snippet}: {line}: {error}")
    if (recipe := given.get("recipe")) is not None and snippet.key != "run by":
        raw = recipe_on(snippet.page, Path(recipe))
        instances = [*STAGES, *(raw.get("stages") or {})]
        graph_of(
            check_recipe(raw, [o for o in given.get("set_") or () if "PATH=" not in o], recipe)
        )
        for key in ("only", "from_", "to", "force"):
            for glob in given.get(key) or ():
                assert fnmatch.filter(instances, glob), f"{snippet}: {line}"


def recipe_on(page: Path, path: Path) -> dict[str, Any]:
    """The recipe that a command names: the file, or what the page shows of it, or any."""
    if (ROOT / path).is_file():
        found: dict[str, Any] = yaml.safe_load((ROOT / path).read_text())
        return found
    shown = [yaml.safe_load(one.body) for one in snippets_of(page) if one.language == "yaml"
             and "runner: ray" not in one.body]  # fmt: skip
    whole = [part for part in shown if is_recipe(part) and part.get("crawl")]
    return dict(whole[-1] if whole else yaml.safe_load((ROOT / "recipes/demo.yaml").read_text()))


def quoted() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        prose = re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.M | re.S)
        for line in re.findall(r"`(phusa [^`\n]+)`", prose):
            yield path.name, line


@pytest.mark.parametrize(("page", "line"), sorted(set(quoted())))
def test_commands_in_sentences_exist(page: str, line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if word != "|"]
    if "|" not in line and "…" not in words[0]:
        parse(words, whole=False)


def test_commands_of_other_programs_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for path in PAGES:
        assert set(re.findall(r"`make ([a-z]+)", path.read_text())) <= targets, path.name
    for snippet, line in commands("prefect", "make", "python"):
        words = words_of(line)
        match program_of(line), words:
            case "prefect", _:
                check_prefect(shlex.join(["prefect", *words]))
            case "make", [target, *_]:
                assert target in targets, f"{snippet}: {line}"
            case "python", ["-m", module, *_]:
                assert importlib.util.find_spec(module), f"{snippet}: {line}"
            case "python", [script, *_] if not script.startswith("-"):
                assert (ROOT / script).is_file(), f"{snippet}: {line}"


# --- commands that only ask, run ------------------------------------------------------------------


def asking() -> list[tuple[Snippet, list[str]]]:
    found = [(one, words_of(line)) for one, line in commands("phusa") if one.key != "run by"]
    return [(one, words) for one, words in found if words[0] in ASKING and "--yes" not in words]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with what the pages ask about: their URLs, ids, versions and names."""
    root = tmp_path_factory.mktemp("named")
    words = [word for _, line in asking() for word in line[1:]]
    urls = [A, B, *{u if "://" in u else f"http://{u}" for u in words if "/" in u and u[0] != "."}]
    river = River(root)
    crawl = river.crawl(*urls)
    files = river.clean(crawl, *urls)
    for name, _, version in {word.partition("@") for word in words if "@2" in word}:
        stamp = (version + "1145-996-7204")[:22]
        seal(root, name, stamp, {f"documents/{PART}": documents(A, B)}, inputs=(files,))
    dedup = river.dedup(files, *urls)
    river.put("quality", {f"scores/{PART}": table(SCORE, {"document_id": doc(A), "url": A})}, files)
    shard = river.shard(dedup, urls[:-1], urls[-1:])
    river.models(shard, dedup, A)
    return root


@pytest.mark.parametrize(("snippet", "words"), asking(), ids=str)
def test_commands_that_only_ask_are_run(
    snippet: Snippet, words: list[str], named: Path, tmp_path: Path
) -> None:
    given = [*words[:1], "--store", str(named), *words[1:]]
    given = [doc(A) if re.fullmatch("[0-9a-f]{32}", word) else word for word in given]
    given = [str(tmp_path / word) if word.startswith("./") else word for word in given]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, f"{snippet}: {words}: {done.output} {done.exception}"


def studying() -> list[tuple[Snippet, list[str]]]:
    found = [(one, words_of(line)) for one, line in commands("phusa") if one.key != "run by"]
    return [
        (one, words)
        for one, words in found
        if words[:2] in (["clean", "funnel"], ["dedup", "curve"])
        or (words[:2] == ["clean", "try"] and "://" not in words[2])
    ]


@pytest.mark.parametrize(("snippet", "words"), studying(), ids=str)
def test_commands_that_study_a_cleaning_are_run(
    snippet: Snippet,
    words: list[str],
    cleaned: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "page.html").write_bytes(PAGES_OF_A_SITE[0].body)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHUSA_STORE", str(cleaned / ".phusa"))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{snippet}: {words}: {done.output} {done.exception}"
