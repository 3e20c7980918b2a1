"""Scores of models: their own, and what they are to beat, by what they were made from."""

from __future__ import annotations

from pathlib import Path

from flows.stages import open_artifact
from storage.manifest import Manifest
from storage.store import Store
from tasks.artifacts.artifact import Score
from tests.flows.sealed import seal

UNIGRAM = Score("held-out documents", "unigram tokens", 2.5)
XZ = Score("held-out documents", "xz -9", 1.5)


def _scores(root: Path, manifest: Manifest) -> list[Score]:
    artifact = open_artifact(Store(root), manifest)
    return artifact.type.scores(artifact)


def _model(root: Path, *inputs: Manifest) -> Manifest:
    stats = {"validation_bits_per_byte": 0.5}
    return seal(root, "base", "1", {"a": b"1"}, stage="pretrain", inputs=inputs, stats=stats)


def _adapter(root: Path, name: str, base: Manifest, **stats: float) -> Manifest:
    return seal(root, name, "1", {"a": b"1"}, stage="finetune", inputs=(base,), stats=stats)


def test_a_model_beside_simple_ones(tmp_path: Path) -> None:
    stats = {"unigram_bits_per_byte": 2.5, "xz_bits_per_byte": 1.5}
    shards = seal(tmp_path, "pages-wp", "1", {"a": b"1"}, stage="shard", stats=stats)
    model = _model(tmp_path, seal(tmp_path, "tokenizer", "1", {"a": b"1"}), shards)
    own = Score("held-out documents", "this model", 0.5, own=True)
    assert _scores(tmp_path, model) == [UNIGRAM, XZ, own]
    (tmp_path / "versions/pages-wp/1/manifest.json").unlink()
    assert _scores(tmp_path, model) == [own]


def test_an_adapter_beside_its_base_and_an_adapter_on_it(tmp_path: Path) -> None:
    stats = {"unigram_bits_per_byte": 2.5, "xz_bits_per_byte": 1.5}
    base = _model(tmp_path, seal(tmp_path, "shard", "1", {"a": b"1"}, stats=stats))
    answers = {"held_out_bits_per_byte_before": 0.9, "held_out_bits_per_byte": 0.7}
    lora = _adapter(tmp_path, "lora", base, **answers)
    documents = [UNIGRAM, XZ, Score("held-out documents", "its base model", 0.5)]
    assert _scores(tmp_path, lora) == [
        *documents,
        Score("answers for held-out names", "its base model", 0.9),
        Score("answers for held-out names", "this model", 0.7, own=True),
    ]
    more = _adapter(tmp_path, "more", lora, held_out_bits_per_byte=0.6)
    own = Score("answers for held-out names", "this model", 0.6, own=True)
    assert _scores(tmp_path, more) == [*documents, own]
    (tmp_path / "versions/base/1/manifest.json").write_bytes(b"{")
    assert _scores(tmp_path, lora)[0].text == "answers for held-out names"


def test_what_was_not_measured_has_none(tmp_path: Path) -> None:
    assert _scores(tmp_path, seal(tmp_path, "pretrain", "1", {"a": b"1"})) == []
    assert _scores(tmp_path, seal(tmp_path, "finetune", "1", {"a": b"1"})) == []
    assert _scores(tmp_path, seal(tmp_path, "elsewhere", "1", {"a": b"1"})) == []
