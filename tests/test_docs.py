"""What the documentation says must exist: commands, options, files, knobs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import typer

from flows.cli import app
from flows.reference import reference
from storage.errors import PhusaError
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_reference_is_current() -> None:
    assert (ROOT / "docs" / "recipes.md").read_text() == reference(), "run `make docs`"


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    for name, command in COMMANDS.items():
        for full in [f"{name} {part}" for part in getattr(command, "commands", ())] or [name]:
            assert re.search(rf"^phusa {full}\b", page, re.M), full
    run = {option for parameter in COMMANDS["run"].params for option in parameter.opts}
    for option in {one for one in run if one.startswith("--")} - {"--preflight"}:
        assert option in page, option


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 6 * 1024


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
            to = page.parent / target if target else page
            if "://" not in target:
                assert to.exists(), f"{page.name}: {target}"
                assert not anchor or anchor in anchors(to), f"{page.name}: {target}#{anchor}"


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


def classes_of(kind: type[PhusaError]) -> set[str]:
    """The codes of a class of errors and of all below it."""
    return {kind("").code}.union(*map(classes_of, kind.__subclasses__()))


def words_in_the_sources() -> set[str]:
    """Every text in the code that could be a fault's code."""
    found: set[str] = set()
    for floor in ("flows", "tasks", "storage"):
        for path in (ROOT / floor).rglob("*.py"):
            found |= set(re.findall(r'"([a-z]+(?:_[a-z]+)*)"', path.read_text()))
    return found


def test_codes_in_troubleshooting_exist_and_no_error_is_left_out() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    cells = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", text, re.M)
    named = {code for cell in cells for code in re.findall(r"[a-z_]+", cell)}
    kinds = classes_of(PhusaError)
    assert named <= kinds | words_in_the_sources()
    assert kinds - {"phusa_error", "run_error"} <= named


def test_the_glossary_is_sorted_and_says_one_thing_of_each_word() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    words = re.findall(r"^\*\*(.+?)\*\*: \S", text, re.M)
    assert words == sorted(set(words), key=str.lower)
    assert {"seal", "gate", "fingerprint", "bits per byte", "instance", "port"} <= set(words)
    for line in text.splitlines()[2:]:
        assert not line or (line.startswith("**") and line.endswith(".")), line
