"""A folder of files instead of a crawl, through the flows and the commands that ask about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.flows.conftest import Phusa

NOTE = (
    "# Silt {n}\n\nThe river {n} leaves silt on its banks, and people plant rice in it. "
    + "so " * 9
)


def test_files_are_collected_cleaned_traced_and_forgotten(phusa: Phusa, tmp_path: Path) -> None:
    library, store = tmp_path / "library", ("--store", tmp_path / "store")
    library.mkdir()
    for n in range(4):
        (library / f"{n}.md").write_text(NOTE.format(n=n))
    recipe = tmp_path / "files.yaml"
    wanted: dict[str, Any] = {
        "name": "files",
        "crawl": {"source": {"kind": "files", "path": str(library)}},
        "clean": {"filters": [{"kind": "length", "min_words": 5}]},
    }
    recipe.write_text(yaml.safe_dump(wanted))
    for stage in ("crawl", "clean"):
        phusa("run", recipe, "--only", stage, *store)
    assert '"rows_out": 4' in json.dumps(
        json.loads(phusa("show", "clean", "--json", *store).stdout)
    )
    traced = phusa("trace", "file:///2.md", *store).stdout
    assert "text/markdown" in traced and "extracted by plain" in traced
    said = phusa("forget", "file:///2.md", "--why", "asked for", *store).stdout
    assert "crawl@" in said and "1 document" in said
