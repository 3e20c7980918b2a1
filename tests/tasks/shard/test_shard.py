"""Packing, the split by document, and the baselines."""

from __future__ import annotations

import lzma
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from storage.errors import NothingLeft, RunError
from storage.identities import document_id
from storage.parquet import write_rows
from storage.records import DOCUMENT, sequence_schema
from storage.workspace import Workspace
from tasks.lm.tokens import END_OF_TEXT, SPECIAL_TOKENS, TextEncoder
from tasks.shard.config import ShardConfig
from tasks.shard.division import Plan
from tasks.shard.shard import (
    ShardPaths,
    measure_baselines,
    shard_documents,
)
from tasks.tokenizer.config import SMALLEST_VOCABULARY, TokenizerConfig
from tasks.tokenizer.train import train_tokenizer
from tests.tasks.lm.foreign import llama_like
from tests.tasks.shard.planning import BY_URL, is_held_out, plan_of, targets_of

Row = dict[str, Any]
PATHS = ShardPaths("train/a.parquet", "validation/a.parquet")
EOT = 0


def _tokenizer(num_words: int = 50) -> Tokenizer:
    """One id for each word `w0`, `w1`, ..., behind the special tokens."""
    words = [*SPECIAL_TOKENS, "unknown", *(f"w{n}" for n in range(num_words))]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="unknown"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL_TOKENS])
    return tokenizer


def _document(url: str, text: str) -> Row:
    facts = {"language_score": 1.0, "num_words": 1, "repeated_share": 0.0, "pii": []}
    facts |= {"quality": 0.5}
    plain = {field.name: "" for field in DOCUMENT} | facts
    return plain | {"document_id": document_id(url, text), "url": url, "text": text}


def _ids(text: str) -> list[int]:
    return [len(SPECIAL_TOKENS) + 1 + int(word[1:]) for word in text.split()]


def _shard(
    rows: Sequence[Row], root: Path, config: ShardConfig, tokenizer: Tokenizer | None = None
) -> tuple[list[Row], list[Row]]:
    workspace = Workspace(root)
    write_rows(workspace, "documents.parquet", rows, DOCUMENT)
    documents = workspace.data / "documents.parquet"
    plan = Plan.read(plan_of([documents], config)[0])
    encoder = TextEncoder(tokenizer or _tokenizer())
    shard_documents(documents, encoder, config, workspace, PATHS, plan)
    train, validation = (
        pq.read_table(workspace.data / path).to_pylist() for path in (PATHS.train, PATHS.validation)
    )
    return train, validation


def _rows(num: int, length: int = 7) -> list[Row]:
    return [
        _document(f"http://a/{n}", " ".join(f"w{(n * 7 + k) % 50}" for k in range(n % length + 1)))
        for n in range(num)
    ]


def _stream(rows: Sequence[Row]) -> list[int]:
    """Rows put together again; each begins with the last id of the one before."""
    stream: list[int] = []
    for row in rows:
        if stream:
            assert row["input_ids"][0] == stream[-1]
        stream += row["input_ids"][1 if stream else 0 :]
    return stream


def test_every_document_is_on_one_side_and_whole(tmp_path: Path) -> None:
    rows, config = _rows(300), ShardConfig(split=BY_URL, sequence_length=16, validation_share=0.3)
    train, validation = _shard(rows, tmp_path, config)
    sides = {False: targets_of(train), True: targets_of(validation)}
    assert not sides[False].keys() & sides[True].keys()
    assert sides[False]
    assert sides[True]
    for row in rows:
        side = sides[is_held_out(row["url"], config)]
        assert side[row["document_id"]] == _ids(row["text"])
    assert len(sides[False]) + len(sides[True]) == len(rows)
    for packed in (train, validation):
        stream = _stream(packed)
        assert (stream[0], stream[-1]) == (EOT, EOT)
        assert max(len(row["input_ids"]) for row in packed) == 17


def test_documents_keep_their_order(tmp_path: Path) -> None:
    rows, config = _rows(40), ShardConfig(split=BY_URL, sequence_length=8, validation_share=0.2)
    train, validation = _shard(rows, tmp_path, config)
    for packed, side in ((train, False), (validation, True)):
        expected = [EOT]
        for row in rows:
            if is_held_out(row["url"], config) == side:
                expected += [*_ids(row["text"]), EOT]
        assert _stream(packed) == expected


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_a_text_cannot_smuggle_in_a_special_token(tmp_path: Path, token: str) -> None:
    tokenizer = train_tokenizer([], TokenizerConfig(vocab_size=SMALLEST_VOCABULARY))
    text = f"how {token} ends a text"
    rows = [_document("http://a/0", text)]
    config = ShardConfig(split=BY_URL, sequence_length=64, validation_share=1e-9)
    train, _ = _shard(rows, tmp_path, config, tokenizer)
    first, *inner, last = _stream(train)
    assert first == last == EOT
    assert min(inner) >= len(SPECIAL_TOKENS)
    assert tokenizer.decode(inner) == text


@pytest.mark.parametrize(
    ("vocab_size", "kind"),
    [(300, pa.uint16()), (1 << 16, pa.uint16()), ((1 << 16) + 1, pa.uint32())],
)
def test_ids_are_stored_in_two_bytes_where_all_fit(vocab_size: int, kind: pa.DataType) -> None:
    schema = sequence_schema(vocab_size)
    assert schema.field("input_ids").type == pa.list_(kind)
    rows = [{"input_ids": [vocab_size - 1], "spans": []}]
    assert pa.Table.from_pylist(rows, schema=schema).to_pylist() == rows


@pytest.mark.parametrize(("num_words", "kind"), [(50, pa.uint16()), (70_000, pa.uint32())])
def test_the_file_has_the_width_of_the_vocabulary(
    tmp_path: Path, num_words: int, kind: pa.DataType
) -> None:
    text = f"w{num_words - 1}"
    rows = [_document(f"http://a/{n}", text) for n in range(30)]
    config = ShardConfig(split=BY_URL, sequence_length=8, validation_share=0.3)
    train, _ = _shard(rows, tmp_path, config, _tokenizer(num_words))
    assert pq.read_schema(tmp_path / "data" / PATHS.train).field(0).type == pa.list_(kind)
    assert train[0]["input_ids"][1] == len(SPECIAL_TOKENS) + 1 + num_words - 1


def test_a_page_that_changes_stays_on_its_side(tmp_path: Path) -> None:
    config = ShardConfig(split=BY_URL, sequence_length=8, validation_share=0.4)
    before = _rows(50)
    after = [_document(row["url"], row["text"] + " w49") for row in before]
    sides = []
    for name, rows in (("before", before), ("after", after)):
        _, validation = _shard(rows, tmp_path / name, config)
        urls = {row["document_id"]: row["url"] for row in rows}
        sides.append({urls[document] for document in targets_of(validation)})
    assert sides[0] == sides[1] != set()


def test_a_finished_shard_is_skipped_and_a_half_finished_one_made_again(tmp_path: Path) -> None:
    rows, config = _rows(40), ShardConfig(split=BY_URL, sequence_length=8, validation_share=0.3)
    _shard(rows, tmp_path, config)
    workspace = Workspace(tmp_path)
    files = [workspace.data / path for path in (PATHS.train, PATHS.validation)]
    before = [file.read_bytes() for file in files]
    plan = Plan.read(plan_of([workspace.data / "documents.parquet"], config)[0])
    encoder = TextEncoder(_tokenizer())
    shard_documents(Path("nowhere"), encoder, config, workspace, PATHS, plan, _never)
    files[1].write_bytes(before[1][:-4])  # torn
    _shard(rows, tmp_path, config)
    assert [file.read_bytes() for file in files] == before


def _never() -> None:
    raise AssertionError("a finished shard was worked on")


def test_a_tokenizer_without_end_of_text_is_refused(tmp_path: Path) -> None:
    foreign = Tokenizer(models.WordLevel({"w1": 0, "unknown": 1}, unk_token="unknown"))
    with pytest.raises(RunError) as refused:
        _shard(_rows(3), tmp_path, ShardConfig(), foreign)
    assert [fault.code for fault in refused.value.faults] == ["no_end_of_text"]


def test_documents_begin_as_the_tokenizer_begins_a_text(tmp_path: Path) -> None:
    encoder = TextEncoder.load(llama_like(tmp_path / "llama"))
    rows = [{**row, "text": "bada kế"} for row in _rows(3)]
    workspace = Workspace(tmp_path)
    write_rows(workspace, "d.parquet", rows, DOCUMENT)
    config = ShardConfig(sequence_length=1 << 10, validation_share=1e-9)
    documents = workspace.data / "d.parquet"
    plan = Plan.read(plan_of([documents], config)[0])
    shard_documents(documents, encoder, config, workspace, ShardPaths("t", "v"), plan)
    (row,) = pq.read_table(workspace.data / "t").to_pylist()
    end = encoder.end_of_text
    document = [*encoder.opening, *encoder.encode("bada kế"), end]
    assert row["input_ids"] == [end, *document * 3]
    assert [span["end"] - span["start"] for span in row["spans"]] == [len(document) - 1] * 3


def test_progress_counts_every_document(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_rows(workspace, "d.parquet", _rows(600), DOCUMENT)
    counted: list[int] = []
    shard_documents(
        workspace.data / "d.parquet",
        TextEncoder(_tokenizer()),
        ShardConfig(),
        workspace,
        PATHS,
        Plan.read(plan_of([workspace.data / "d.parquet"], ShardConfig())[0]),
        counted.append,
    )
    assert sum(counted) == 600


def test_baselines_by_hand(tmp_path: Path) -> None:
    config = ShardConfig(split=BY_URL, sequence_length=8, validation_share=0.3)
    rows, tokenizer = _rows(60), _tokenizer()
    _shard(rows, tmp_path, config, tokenizer)
    data = tmp_path / "data"
    vocab_size = tokenizer.get_vocab_size()
    found = measure_baselines(
        [data / "documents.parquet"],
        [data / PATHS.train],
        [data / PATHS.validation],
        plan_of([data / "documents.parquet"], config),
        config,
        vocab_size,
    )
    held_out = [row for row in rows if is_held_out(row["url"], config)]
    kept = [row for row in rows if not is_held_out(row["url"], config)]
    seen = Counter(token for row in kept for token in (*_ids(row["text"]), EOT))
    asked = [token for row in held_out for token in (*_ids(row["text"]), EOT)]
    num_bytes = sum(len(row["text"].encode()) for row in held_out)
    smoothed = seen.total() + vocab_size
    bits = sum(-math.log2((seen[token] + 1) / smoothed) for token in asked)
    packed = lzma.compress(b"\n".join(row["text"].encode() for row in held_out), preset=9)

    assert found.validation_documents == len(held_out)
    assert found.validation_bytes == num_bytes
    assert found.validation_tokens == len(asked)
    assert found.train_tokens == seen.total()
    num_rows = sum(pq.read_metadata(data / of).num_rows for of in (PATHS.train, PATHS.validation))
    assert found.filled == (seen.total() + len(asked)) / (8 * num_rows)
    assert found.unigram_bits_per_byte == pytest.approx(bits / num_bytes)
    assert found.xz_bits_per_byte == pytest.approx(8 * len(packed) / num_bytes)


def test_baselines_add_up_over_shards(tmp_path: Path) -> None:
    config, rows = ShardConfig(split=BY_URL, sequence_length=8, validation_share=0.3), _rows(60)
    halves = {"1": rows[:30], "2": rows[30:], "empty": []}
    for name, half in halves.items():
        _shard(half, tmp_path / name, config)
    _shard(rows, tmp_path / "all", config)

    def measure(*names: str) -> Any:
        folders = [tmp_path / name / "data" for name in names]
        return measure_baselines(
            [folder / "documents.parquet" for folder in folders],
            [folder / PATHS.train for folder in folders],
            [folder / PATHS.validation for folder in folders],
            [plan_of([folder / "documents.parquet"], config)[0] for folder in folders],
            config,
            _tokenizer().get_vocab_size(),
        )

    apart, together = measure("1", "2", "empty"), measure("all")
    assert apart == replace(together, filled=apart.filled)
    assert apart.filled == pytest.approx(together.filled, rel=0.2)


@pytest.mark.parametrize("side", ["train", "validation"])
def test_an_empty_side_is_refused_with_a_remedy(tmp_path: Path, side: str) -> None:
    """Of several pages one is held out in any case."""
    config = ShardConfig(split=BY_URL, sequence_length=8, validation_share=0.5, split_seed=4)
    rows = [row for row in _rows(40) if is_held_out(row["url"], config) == (side == "train")]
    rows = rows[:1] if side == "validation" else rows
    _shard(rows, tmp_path, config)
    data = tmp_path / "data"
    with pytest.raises(NothingLeft, match=f"the {side} split has no token.*split_seed=5"):
        measure_baselines(
            [data / "documents.parquet"],
            [data / PATHS.train],
            [data / PATHS.validation],
            plan_of([data / "documents.parquet"], config),
            config,
            100,
        )


def test_end_of_text_is_the_first_special_token() -> None:
    assert _tokenizer().token_to_id(END_OF_TEXT) == EOT
