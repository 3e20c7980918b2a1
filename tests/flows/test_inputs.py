"""Increments: each corpus is held against those before it, named in the recipe."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from flows.inputs import Given, named_by_knobs, whole
from flows.plan import Selection, plan
from flows.stages import STAGES, inputs_by
from storage.errors import RequestError
from storage.manifest import Manifest
from storage.parquet import shard_name, write_rows
from storage.records import DOCUMENT
from storage.sealing import Draft, commit
from storage.store import Store
from tasks.clean.config import CleanConfig
from tasks.config import Config
from tasks.dedup.config import DedupConfig
from tests.flows.by_hand import CodeRef, RunRef, recipe
from tests.flows.conftest import Cli, Phusa
from tests.flows.sealed import seal
from tests.tasks.dedup.conftest import document

Row = dict[str, Any]


def _rows(*names: str) -> list[Row]:
    """A document of 80 words of its own for each name."""
    return [
        document(f"http://a.example/{name}", " ".join(random.Random(name).choices(_WORDS, k=80)))
        for name in names
    ]


_WORDS = [f"word{n}" for n in range(500)]


def _seal(store: Store, name: str, rows: Sequence[Row]) -> None:
    """A cleaning with these documents, and its quality stage, which scored none."""
    for stage in ("clean", "quality"):
        _seal_stage(store, stage, name, rows)


def _seal_stage(store: Store, stage: str, name: str, rows: Sequence[Row]) -> Manifest:
    key = name.encode().hex().ljust(64, "0")
    with store.building(stage, key) as workspace:
        if stage == "clean":
            write_rows(workspace, shard_name("documents", 0, 1), rows, DOCUMENT)
        else:
            workspace.write_json("quality.json", {"classifier": None, "of": name})
        draft = Draft(
            name=stage,
            stage=stage,
            type=STAGES[stage].output.name,
            fingerprint=key,
            config={},
            inputs={},
            rows_in=len(rows),
            rows_out=len(rows),
            stats={},
            code=CodeRef(stage_version=1, source_sha256="0" * 64),
            run=RunRef(recipe=name, host="test"),
        )
        return commit(store, workspace, draft)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe().model_dump(mode="json")))
    return path


def _urls(store: Store, manifest: Manifest) -> set[str]:
    paths = store.files(manifest, "documents/")
    return {url[-1] for path in paths for url in pq.read_table(path)["url"].to_pylist()}


def test_a_later_corpus_keeps_only_what_is_new(phusa: Phusa, store: Store, written: Path) -> None:
    """Three increments: the third meets the first by way of the second."""
    parts = {"one": "abc", "two": "bcde", "three": "aefg"}
    against: list[str] = []
    for name, letters in parts.items():
        _seal(store, name, _rows(*letters))
        settings = ["--set", f"name={name}", "--set", f"dedup.against={json.dumps(against)}"]
        run = ["run", written, "--store", store.address, "--only", "dedup", *settings]
        phusa(*run)
        against = [name]
    found = {name: _urls(store, store.resolve("dedup", name)) for name in parts}
    assert found == {"one": set("abc"), "two": set("de"), "three": set("fg")}
    third = store.resolve("dedup", "three")
    assert third.stats["already_there"] == 2
    earlier = [reference.label for reference in inputs_by(third, "against")]
    assert earlier == [store.resolve("dedup", name).label for name in ("one", "two")]
    assert [*third.inputs][-2:] == ["against-1", "against-2"]
    evidence = pq.read_table(store.files(third, "duplicates.parquet")[0]).to_pylist()
    assert {row["kept_in"] for row in evidence} == {*earlier}
    assert "reuse" in phusa(*run).stdout  # the same again is a hit


def test_what_cannot_be_held_against_is_refused(cli: Cli, store: Store, written: Path) -> None:
    _seal(store, "r", _rows("a"))
    for wrong, says in {
        "nowhere": "nowhere",
        "r": "this recipe itself",
        "clean@2": "dedup",
    }.items():
        settings = ["--set", f"dedup.against=[{wrong}]"]
        done = cli("plan", written, "--store", store.address, "--only", "dedup", *settings)
        assert done.code == 2, done.err
        assert says in done.err


def test_a_corpus_that_is_not_there_is_told_with_its_instance(store: Store) -> None:
    _seal(store, "r", _rows("a"))
    corpus = {"stage": "dedup", "against": ["r"]}
    with pytest.raises(RequestError) as caught:
        plan(recipe(stages={"corpus": corpus}), store, Selection(only=("corpus",)))
    assert [fault.where for fault in caught.value.faults] == ["corpus.against"]


def test_other_stages_name_no_corpus(store: Store) -> None:
    def named(stage: str, config: Config) -> Given:
        return named_by_knobs(store, STAGES[stage], config, "r", "here")

    assert named("clean", CleanConfig()) == {}
    assert named("dedup", DedupConfig()) == {"against": ()}
    with pytest.raises(RequestError) as caught:
        named("dedup", DedupConfig(against=("never", "r", "dedup@1")))
    assert len(caught.value.faults) == 3 and caught.value.faults[1].where == "here.against"


def test_sequences_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    """Whichever way they came: ids of one tokenizer mean nothing to another."""
    stage = STAGES["pretrain"]
    config = stage.config.model_validate({})
    texts = seal(tmp_path, "dedup", "20261121-000000-000-aaaa", {"a": b""})
    one, other, equal = (
        seal(tmp_path, "tokenizer", f"20261121-00000{n}-000-aaaa", {"tokenizer.json": content})
        for n, content in enumerate((b"1", b"2", b"1"))
    )
    shards = seal(tmp_path, "shard", "20261121-000003-000-aaaa", {"a": b""}, inputs=(texts, one))
    store = Store(tmp_path)

    def given(tokenizer: Manifest) -> Given:
        found: Given = {"sequences": (shards,), "tokenizer": (tokenizer,)}
        return whole(store, stage, config, found, "tiny", "pretrain")

    assert given(one)["tokenizer"] == (one,)
    assert given(equal)["tokenizer"] == (equal,)  # the same content, made again
    with pytest.raises(RequestError) as caught:
        given(other)
    (fault,) = caught.value.faults
    assert (fault.code, fault.where) == ("made_apart", "pretrain.inputs.sequences")
