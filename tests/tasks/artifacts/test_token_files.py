"""Sequences as the files of other trainers, read back as these read them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import RequestError
from storage.parquet import write_rows, write_tables
from storage.records import sequence_schema
from storage.workspace import Workspace
from tasks.artifacts import token_files
from tasks.artifacts.sequences import SEQUENCES
from tasks.shard.config import Packing, ShardConfig
from tasks.shard.packing import Packer

LENGTH, EOT = 16, 0
Documents = list[list[int]]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files of rows in a form: some to train on, and one that is held out."""
    (tmp_path / "out").mkdir()

    def write(form: str, train: Sequence[Path], validation: Path) -> Path:
        places = {"train/": list(train), "validation/": [validation]}
        artifact: Any = SimpleNamespace(
            files=lambda prefix: places.get(prefix, []), label="shard@1"
        )
        folder = tmp_path / "out" / f"{form}-{len(list((tmp_path / 'out').iterdir()))}"
        folder.mkdir()
        SEQUENCES.write_form(artifact, form, folder)
        return folder

    return write


def packed(
    folder: Path,
    files: Sequence[Documents],
    vocab_size: int = 400,
    packing: Packing = "concatenate",
) -> list[Path]:
    """Pack the documents of each file."""
    workspace, schema = Workspace(folder), sequence_schema(vocab_size)
    for index, documents in enumerate(files):
        packer = Packer(ShardConfig(sequence_length=LENGTH, packing=packing), EOT)
        for ids in documents:
            packer.add(str(ids), ids)  # equal documents are one that is read again
        write_tables(workspace, f"{index}.parquet", packer.tables(schema), schema)
    return [workspace.data / f"{index}.parquet" for index in range(len(files))]


def span(name: str, start: int, end: int) -> dict[str, object]:
    return {"document_id": name, "start": start, "end": end}


def megatron(prefix: Path) -> list[list[int]]:
    """Documents as Megatron's IndexedDataset gives them."""
    index, data = prefix.with_suffix(".idx").read_bytes(), prefix.with_suffix(".bin").read_bytes()
    magic, version, code, num, num_bounds = struct.unpack_from("<9sQBQQ", index)
    assert (magic, version, num_bounds) == (b"MMIDIDX\0\0", 1, num + 1)
    kind = {4: np.int32, 8: np.uint16}[code]
    sizes = np.frombuffer(index, np.int32, num, 34)
    places = np.frombuffer(index, np.int64, num, 34 + 4 * num)
    bounds = np.frombuffer(index, np.int64, num + 1, 34 + 12 * num)
    assert len(index) == 34 + 12 * num + 8 * (num + 1)
    assert bounds.tolist() == list(range(num + 1))
    assert sizes.sum() * np.dtype(kind).itemsize == len(data)
    pairs = zip(places, sizes, strict=True)
    return [np.frombuffer(data, kind, size, place).tolist() for place, size in pairs]


def litdata(folder: Path, block_size: int) -> list[list[int]]:
    """Blocks as litdata's TokensLoader gives them."""
    index = json.loads((folder / "index.json").read_text())
    (kind,) = index["config"]["data_format"]
    name = {"no_header_tensor:16": np.int32, "no_header_tensor:20": np.uint16}[kind]
    blocks = []
    for chunk in index["chunks"]:
        data = (folder / chunk["filename"]).read_bytes()
        assert len(data) == chunk["chunk_bytes"]
        ids = np.frombuffer(data, name, offset=(1 + chunk["chunk_size"] + 1) * 4)
        assert len(ids) == chunk["dim"]
        blocks += ids[: len(ids) // block_size * block_size].reshape(-1, block_size).tolist()
    return blocks


def ended(files: Sequence[Documents]) -> list[list[int]]:
    return [[*ids, EOT] for documents in files for ids in documents if ids]


DOCUMENTS = st.lists(st.lists(st.integers(1, 399), max_size=3 * LENGTH), min_size=1, max_size=9)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    files=st.lists(DOCUMENTS, min_size=1, max_size=3),
    at_once=st.sampled_from([1, 40, 1 << 22]),
    vocab_size=st.sampled_from([400, 70_000]),
)
def test_documents_are_whole_and_in_order(
    tmp_path: Path, write: Write, files: list[Documents], at_once: int, vocab_size: int
) -> None:
    *train, held_out = packed(tmp_path, [*files, [[9, 8]]], vocab_size)
    stream = [token for ids in ended(files) for token in ids]
    form, kind = ("nanogpt", "<u2") if vocab_size == 400 else ("nanogpt-uint32", "<u4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_files, "_IDS_AT_ONCE", at_once)
        patch.setattr(token_files, "_LITDATA_CHUNK_IDS", 50)
        folder = write("megatron", train, held_out)
        assert megatron(folder / "train") == ended(files)
        assert megatron(folder / "validation") == [[9, 8, EOT]]
        blocks = litdata(write("litdata", train, held_out) / "train", 1)
        assert [token for (token,) in blocks] == stream
        folder = write(form, train, held_out)
        assert np.memmap(folder / "val.bin", kind, mode="r").tolist() == [9, 8, EOT]
        assert np.fromfile(folder / "train.bin", kind).tolist() == stream


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(documents=DOCUMENTS, lengths=st.sampled_from([1, LENGTH - 1, LENGTH, 2 * LENGTH - 1]))
def test_documents_are_whole_after_best_fit(
    tmp_path: Path, write: Write, documents: Documents, lengths: int
) -> None:
    repeated = [list(range(1, lengths + 1))] * 3
    named = [
        *documents[:1],
        *repeated[:1],
        *documents[1:3],
        *repeated[1:2],
    ]  # the second comes again
    train, held_out = packed(tmp_path, [named, [[9, 8]]], packing="best_fit")
    found = megatron(write("megatron", [train], held_out) / "train")
    assert sorted(found) == sorted(ended([named]))


def test_pieces_that_a_packing_put_apart_come_together(tmp_path: Path, write: Write) -> None:
    rows = [
        {"input_ids": [EOT, 1, 2, 3], "spans": [span("a", 1, 4)]},
        {"input_ids": [EOT, 7, 8, EOT], "spans": [span("b", 1, 3)]},
        {"input_ids": [3, EOT, 9, EOT], "spans": [span("a", 0, 1), span("c", 2, 3)]},
        {"input_ids": [EOT, 6], "spans": [span("d", 1, 2)]},
        {"input_ids": [6, 5, EOT], "spans": [span("d", 0, 2)]},
    ]
    write_rows(Workspace(tmp_path), "0.parquet", rows, sequence_schema(400))
    path = tmp_path / "data" / "0.parquet"
    assert megatron(write("megatron", [path], path) / "train") == [
        [1, 2, 3, EOT],
        [7, 8, EOT],
        [9, EOT],
        [6, 5, EOT],
    ]


def test_a_document_that_is_there_several_times_is_so_in_the_export(
    tmp_path: Path, write: Write
) -> None:
    rows = [
        {"input_ids": [EOT, 1, 2, 3, 4], "spans": [span("a", 1, 5)]},
        {"input_ids": [EOT, 1, 2, 3, 4], "spans": [span("a", 1, 5)]},
        {"input_ids": [4, 5, 6, EOT, 9, EOT], "spans": [span("a", 0, 3), span("b", 4, 5)]},
        {"input_ids": [EOT, 9, EOT, 5, 6, EOT], "spans": [span("b", 1, 2), span("a", 3, 5)]},
    ]
    write_rows(Workspace(tmp_path), "0.parquet", rows, sequence_schema(400))
    path = tmp_path / "data" / "0.parquet"
    whole, short = [1, 2, 3, 4, 5, 6, EOT], [9, EOT]
    assert megatron(write("megatron", [path], path) / "train") == [whole, whole, short, short]


def test_ids_that_do_not_fit_are_refused(tmp_path: Path, write: Write) -> None:
    (path,) = packed(tmp_path, [[[66_000]]], 70_000)
    with pytest.raises(RequestError) as caught:
        write("nanogpt", [path], path)
    assert caught.value.faults[0].code == "ids_too_wide"
