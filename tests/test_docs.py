"""What the documentation says must exist: commands, options, files, knobs."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from itertools import pairwise

import pytest
import typer
import yaml

from flows.cli import app
from flows.graph import graph_of
from flows.recipe import load_recipe
from flows.reference import reference
from flows.stages import STAGES
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def documented_commands() -> list[tuple[str, str]]:
    """Every `phusa …` line of every page, in code blocks and in back quotes."""
    found = []
    for page in PAGES:
        text = page.read_text()
        lines = re.findall(r"^phusa [^\n]+", text, re.M) + re.findall(r"`(phusa [^`\n]+)`", text)
        found += [(page.name, re.split(r"\s{3,}", line)[0]) for line in lines]
    return found


def test_the_reference_is_current() -> None:
    assert (ROOT / "docs" / "recipes.md").read_text() == reference(), "run `make docs`"


@pytest.mark.parametrize(("page", "line"), documented_commands())
def test_documented_commands_exist(page: str, line: str) -> None:
    words = line.split()
    if words[1].startswith("-") or "|" in words:
        return  # `phusa --help`, `phusa run | plan | …`
    assert words[1] in COMMANDS, f"{page}: {line}"
    command = COMMANDS[words[1]]
    if hasattr(command, "commands"):  # such as `phusa clean replay`
        assert words[2] in command.commands, f"{page}: {line}"
        command = command.commands[words[2]]
    options = {o for p in command.params for o in p.opts} | {"--help"}
    for word in words[2:]:
        if word.startswith("--"):
            assert word.split("=")[0] in options, f"{page}: {line}"
    for flag, stage in pairwise(words):
        if flag in ("--only", "--from", "--to", "--force") and stage.islower():
            assert fnmatch.filter(instances_in(page), stage.strip("'")), f"{page}: {line}"


def instances_in(page: str) -> list[str]:
    """The stages, and the instances that the recipes of a page name."""
    (path,) = [one for one in PAGES if one.name == page]
    recipes = re.findall(r"```yaml\n(.*?)```", path.read_text(), re.S)
    parts = [part for block in recipes for part in yaml.safe_load_all(block)]
    return [*STAGES, *(n for p in parts if isinstance(p, dict) for n in p.get("stages") or {})]


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in COMMANDS:
        assert f"phusa {command} " in readme, command
    for option in ("--set", "--only", "--from", "--to", "--force", "--input", "--json", "--store"):
        assert option in readme, option


def test_documented_overrides_are_knobs() -> None:
    demo = ROOT / "recipes" / "demo.yaml"
    for _, line in documented_commands():
        overrides = re.findall(r"--set (\S+=\S+)", line)
        if overrides and "demo.yaml" in line:
            load_recipe(demo, [o for o in overrides if "PATH" not in o])


def test_recipes_in_the_documentation_are_valid(tmp_path: object) -> None:
    from pathlib import Path

    found = 0
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S):
            if any(part.get("crawl") for part in yaml.safe_load_all(block)):
                path = Path(str(tmp_path)) / "recipe.yaml"
                path.write_text(block)
                graph_of(load_recipe(path))
                found += 1
    assert found


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_in_the_documentation_exist() -> None:
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for target in re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", page.read_text(), re.M):
            assert (target[0] or target[1]) in made, f"{page.name}: make {target}"


def test_nothing_names_a_path_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in listed:
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ""}:
            text = path.read_text()
            assert not re.search(r"/(?:ho)me/|/ro" r"ot/|/wo" r"rk/", text.replace("work/{", "")), (
                name
            )


def test_reference_runs_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.reference"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == reference()
