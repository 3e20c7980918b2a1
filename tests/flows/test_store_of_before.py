"""A store that the version before graphs has made: it opens, answers, and is reused.

`fixtures/store-of-schema-2.tar.xz` holds the recipe and what commit 2c39f8b made of it.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.stages import STAGES
from storage.store import Store
from tests.flows.conftest import Cli

ARCHIVE = Path(__file__).parent / "fixtures" / "store-of-schema-2.tar.xz"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_what_comes_out_the_same_is_reused(cli: Cli, old: Path) -> None:
    """Fingerprints are what they were; tokenizers are made otherwise since."""
    said = cli("plan", old / "recipe.yaml", "--store", old / "store", "--json").out
    steps = json.loads(said)
    assert [s["instance"] for s in steps] == list(STAGES)
    actions = [s["action"] for s in steps]
    anew = list(STAGES).index("tokenizer")
    assert actions == ["reuse"] * anew + ["run"] * (len(STAGES) - anew)
    assert "stage version: 1 → 2" in steps[anew]["reason"]


def test_it_is_listed_shown_and_verified(cli: Cli, old: Path) -> None:
    at = ("--store", old / "store", "--json")
    listed = json.loads(cli("artifacts", *at).out)
    assert {one["name"] for one in listed} == set(STAGES)
    for name, stage in STAGES.items():
        shown = json.loads(cli("show", name, *at).out)
        assert (shown["stage"], shown["schema_version"]) == (name, 2)
        assert len(shown["inputs"]) == len([p for p in stage.ports if not p.names])
    done = cli("verify", "--deep", *at)
    assert (done.code, json.loads(done.out)) == (0, [])


def test_a_page_is_traced_through_it(cli: Cli, old: Path) -> None:
    store = Store(old / "store")
    (documents,) = store.files(store.resolve("dedup"), "documents/")
    url = pq.read_table(documents, columns=["url"])["url"][0].as_py()
    found = json.loads(cli("trace", url, "--store", old / "store", "--json").out)
    asked = {visit["stage"] for visit in found["visits"]}
    assert asked == set(STAGES) and not any(visit["problem"] for visit in found["visits"])


def test_it_is_exported(cli: Cli, old: Path) -> None:
    for name in ("clean", "pretrain", "finetune"):
        assert cli("export", name, old / name, "--store", old / "store").code == 0
        assert (old / name / "README.md").stat().st_size > 1000
