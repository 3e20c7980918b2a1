"""A stage that this project does not know: a folder beside it and one line in the registry."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from tests.conftest import ROOT

Call = Callable[..., Any]
WORDS = ["silt", "delta", "basin", "current", "grain", "flood", "levee", "estuary"]

RUNNER = """
import sys
from wordcount.config import STAGE
from flows.stages import STAGES
STAGES[STAGE.name] = STAGE  # the line in the registry
from flows.cli import main
main()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage of docs/stages.md in a folder, some pages, and a recipe that counts their words."""
    home = tmp_path_factory.mktemp("wordcount")
    (home / "wordcount").mkdir()
    (home / "wordcount" / "__init__.py").touch()
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "stages.md").read_text(), re.S)
    (home / "wordcount" / "config.py").write_text(code)
    (home / "runner.py").write_text(RUNNER)
    pages = home / "pages"
    pages.mkdir()
    for number in range(6):
        sentences = (
            f"The {WORDS[(number + n) % 8]} of year {number * 7 + n} carries {WORDS[n % 8]} away."
            for n in range(12)
        )
        text = " ".join(sentences)
        (pages / f"{number}.html").write_text(f"<html><body><p>{text}</p></body></html>")
    recipe = {
        "name": "counted",
        "crawl": {"source": {"kind": "files", "path": str(pages)}, "num_shards": 1},
        "clean": {"filters": [{"kind": "length", "min_words": 5}], "min_language_score": 0.0},
        "stages": {
            "words": {"stage": "wordcount"},
            "long-words": {"like": "words", "min_letters": 6},
        },
    }
    (home / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return home


@pytest.fixture(scope="module")
def phusa(home: Path, prefect_env: dict[str, str]) -> Call:
    """`phusa("plan", …)`: the answer as JSON where it was asked for; `code` is what is expected."""

    def call(*words: object, code: int = 0, asks: bool = True) -> Any:
        command = [sys.executable, "-W", "ignore", str(home / "runner.py"), *map(str, words)]
        command += ["--store", str(home / "store"), *(["--json"] if asks else [])]
        env = {**prefect_env, "PYTHONPATH": f"{ROOT}:{home}"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if asks else done.stdout + done.stderr

    return call


@pytest.fixture(scope="module")
def first(home: Path, phusa: Call) -> dict[str, Any]:
    """What the first run made, as `phusa show` has it."""
    planned = phusa("plan", home / "recipe.yaml")
    assert [s["instance"] for s in planned][-2:] == ["words", "long-words"]
    assert planned[-1]["inputs"] == {"documents": ["dedup"]}
    phusa("run", home / "recipe.yaml", asks=False)
    shown: dict[str, Any] = phusa("show", "words")
    return shown


def test_it_is_planned_built_reused_and_shown(
    home: Path, phusa: Call, first: dict[str, Any]
) -> None:
    assert (first["stage"], first["type"], first["rows_out"]) == ("wordcount", "words", 6)
    assert first["stats"]["words"] > phusa("show", "long-words")["stats"]["words"] > 0
    assert {step["action"] for step in phusa("plan", home / "recipe.yaml")} == {"reuse"}
    changed = phusa("plan", home / "recipe.yaml", "--set", "words.min_letters=3")
    assert [s["instance"] for s in changed if s["action"] == "run"] == ["words"]


def test_a_page_is_followed_through_it(home: Path, phusa: Call, first: dict[str, Any]) -> None:
    visits = {visit["artifact"]: visit for visit in phusa("trace", "file:///1.html")["visits"]}
    words = visits[f"words@{first['version']}"]
    assert words["stage"] == "wordcount" and words["finding"]["words"] > 50


def test_it_is_exported(home: Path, phusa: Call, first: dict[str, Any]) -> None:
    phusa("export", "words", home / "exported", asks=False)
    cache = str(home / "cache")
    loaded = datasets.load_dataset(str(home / "exported"), split="train", cache_dir=cache)
    assert sum(loaded["words"]) == first["stats"]["words"]
    card = (home / "exported" / "README.md").read_text()
    assert f"words@{first['version']}" in card


def test_it_has_a_page_in_the_ui(prefect_env: dict[str, str], first: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{prefect_env['PREFECT_API_URL']}/artifacts/filter",
        json.dumps({"artifacts": {"key": {"like_": "words"}}}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        pages = {page["key"]: page for page in json.loads(answer.read())}
    assert first["version"] in pages["words"]["data"] and "Made from" in pages["words"]["data"]
    assert json.loads(pages["words-rows"]["data"])[1]["rows"] == "6"


def test_it_is_gated(home: Path, phusa: Call, first: dict[str, Any]) -> None:
    gate = "words.checks=[{measure: words, min: 1000000}]"
    planned = {s["instance"]: s for s in phusa("plan", home / "recipe.yaml", "--set", gate)}
    assert (
        planned["words"]["action"] == planned["long-words"]["action"] == "blocked"
    )  # it is like it
    phusa("run", home / "recipe.yaml", "--set", gate, code=1, asks=False)


def test_what_is_taken_down_is_left_out_of_it(
    home: Path, phusa: Call, first: dict[str, Any]
) -> None:
    """The last test: it changes the store."""
    url = "file:///2.html"
    found = phusa("forget", url, "--why", "asked")
    held = {holder["artifact"].partition("@")[0] for holder in found["holders"]}
    assert held == {"crawl", "clean", "dedup", "words", "long-words"}
    done = phusa("forget", url, "--purge", asks=False)
    assert "no data in the store holds it any more" in done
    after = phusa("show", "words")
    assert after["rows_out"] == 5 and after["version"] != first["version"]
    assert {step["action"] for step in phusa("plan", home / "recipe.yaml")} == {"reuse"}
