"""`import phusa`, as docs/api.md prints it, and beside a user's own modules of our names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

import phusa
from tests.conftest import ROOT, recipe_of
from tests.flows.sealed import seal
from tests.site import TinySite

HIDING = "raise RuntimeError('not phusa')\n"


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder as a user has it, with modules of their own that have our packages' names."""
    (tmp_path / "tasks.py").write_text(HIDING)
    (tmp_path / "storage.py").write_text(HIDING)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text(HIDING)
    return tmp_path


def run_python(folder: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    path = {"PYTHONPATH": f".:{ROOT}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-W", "ignore", *words]
    return subprocess.run(
        command, cwd=folder, env={**env, **path}, capture_output=True, text=True, timeout=240
    )


def test_the_documentation_runs_beside_modules_of_our_names(
    beside: Path, tiny_site: TinySite, prefect_env: dict[str, str]
) -> None:
    (beside / "recipes").mkdir()
    recipe = {**recipe_of(tiny_site), "name": "mine", "prompts": []}
    recipe["clean"]["extractor"] = {"kind": "trafilatura"}  # in child processes
    (beside / "recipes" / "mine.yaml").write_text(yaml.safe_dump(recipe))
    page = (ROOT / "docs" / "api.md").read_text()
    (beside / "notebook.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", page, re.S)))
    done = run_python(beside, prefect_env, "notebook.py")
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert re.search(r"^crawl run never made by this recipe$", said, re.M)
    assert re.search(r"^[1-9]\d* documents$", said, re.M)
    assert re.search(r"^ {14}crawl@", said, re.M), "the lineage of seven stages"
    assert re.search(r"^\S*mine.yaml: dedup.treshold unknown key .*threshold", said, re.M)


def test_the_command_runs_beside_modules_of_our_names(
    beside: Path, prefect_env: dict[str, str]
) -> None:
    done = run_python(beside, prefect_env, "-m", "phusa", "artifacts", "--json")
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_what_was_imported_before_is_named(beside: Path) -> None:
    (beside / "tasks.py").write_text("")
    done = run_python(beside, {}, "-c", "import tasks, phusa")
    assert done.returncode == 1
    assert f"`tasks` that is imported already is {beside / 'tasks.py'}" in done.stderr


def test_the_import_is_light() -> None:
    heavy = "{'prefect', 'torch', 'pyarrow', 'pandas', 'pydantic', 'typer'} & sys.modules.keys()"
    done = run_python(ROOT, {}, "-c", f"import sys, phusa; print({heavy})")
    assert done.stdout.strip() == "set()", done.stderr


def test_tables_by_name_split_and_columns(tmp_path: Path) -> None:
    rows = {
        split: pa.table({"input_ids": [[n] for n in range(count)], "n": range(count)})
        for split, count in (("train", 5), ("validation", 2))
    }
    seal(tmp_path, "shard", "1", {f"{split}/part-0.parquet": t for split, t in rows.items()})
    found = phusa.open("shard", tmp_path)
    assert found.tables == {"sequences": {"train": 5, "validation": 2}}
    assert found.table().num_rows == 7
    assert found.pandas(split="validation", columns=["n"]).to_dict("list") == {"n": [0, 1]}
    assert found.dataset("sequences", split="train").count_rows() == 5
    files = {"documents/part-0.parquet": rows["train"], "duplicates.parquet": rows["train"][:0]}
    seal(tmp_path, "dedup", "1", files)
    assert phusa.open("dedup", tmp_path).table("duplicates").num_rows == 0
    for wrong in ({"table": "documents"}, {"split": "test"}):
        with pytest.raises(phusa.RequestError) as refused:
            found.table(**wrong)
        (fault,) = refused.value.faults
        assert fault.code == "unknown_table" and "sequences (train, validation)" in fault.expected
    with pytest.raises(phusa.RequestError) as refused:
        found.model()
    assert [fault.code for fault in refused.value.faults] == ["no_model"]


def test_what_is_not_there_raises(tmp_path: Path) -> None:
    assert phusa.artifacts(tmp_path) == []
    with pytest.raises(phusa.RequestError):
        phusa.open("clean", tmp_path)
    with pytest.raises(AttributeError, match=r"no attribute 'opne'; it has .*open"):
        phusa.opne  # type: ignore[attr-defined]  # noqa: B018
