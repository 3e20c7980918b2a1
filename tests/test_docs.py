"""What the documentation says must exist: commands, options, files, knobs."""

from __future__ import annotations

import re
import subprocess
import sys

import typer

from flows.cli import app
from flows.reference import reference
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_reference_is_current() -> None:
    assert (ROOT / "docs" / "recipes.md").read_text() == reference(), "run `make docs`"


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in COMMANDS:
        assert f"phusa {command} " in readme, command
    for option in ("--set", "--only", "--from", "--to", "--force", "--input", "--json", "--store"):
        assert option in readme, option


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


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
