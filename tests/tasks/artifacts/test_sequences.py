"""A document's tokens, found again in the rows that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.records import sequence_schema
from tasks.artifacts.artifact import Files
from tasks.artifacts.sequences import RowSpan, count_tokens, find_sequences
from tasks.shard.config import Packing, ShardConfig
from tasks.shard.packing import Packer
from tasks.stage import count_rows

SETTINGS = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
END_OF_TEXT = 0
Documents = dict[str, list[int]]


def files_of(train: list[Path], validation: Sequence[Path] = ()) -> Files:
    return {"train/": train, "validation/": list(validation), "test/": []}.__getitem__


def _pack(path: Path, documents: Documents, length: int, packing: Packing = "concatenate") -> Path:
    """A file as `shard_documents` leaves it, in row groups of three."""
    packer = Packer(ShardConfig(sequence_length=length, packing=packing), END_OF_TEXT)
    for name, ids in documents.items():
        packer.add(name, ids)
    path.parent.mkdir(exist_ok=True)
    schema = sequence_schema(300)
    table = pa.concat_tables([schema.empty_table(), *packer.tables(schema)])
    pq.write_table(table, path, row_group_size=3)
    return path


@st.composite
def _files(draw: st.DrawFn) -> list[Documents]:
    """Documents of some files; every id is of one document and of one place in it."""
    lengths = draw(st.lists(st.lists(st.integers(0, 60), max_size=6), min_size=2, max_size=3))
    number = 0
    files: list[Documents] = []
    for of_file in lengths:
        documents = {}
        for length in of_file:
            documents[f"{number:032x}"] = [
                (7 * number + place) % 299 + 1 for place in range(length)
            ]
            number += 1
        files.append(documents)
    return files


@SETTINGS
@given(files=_files(), length=st.integers(8, 24), packing=st.sampled_from(get_args(Packing)))
def test_every_token_is_found_again(
    tmp_path: Path, files: list[Documents], length: int, packing: Packing
) -> None:
    *of_train, of_validation = files
    train = [_pack(tmp_path / "train" / f"{i}", d, length, packing) for i, d in enumerate(of_train)]
    validation = [_pack(tmp_path / "validation" / "0", of_validation, length, packing)]
    rows = {path: pq.read_table(path)["input_ids"].to_pylist() for path in train + validation}
    first = {path: sum(len(rows[p]) for p in train[:i]) for i, path in enumerate(train)}
    first[validation[0]] = 0
    everything = {name: ids for documents in files for name, ids in documents.items()}

    found = find_sequences(files_of(train, validation), set(everything))
    assert found.train_rows == count_rows(train) == sum(len(rows[path]) for path in train)
    assert {d.document_id for d in found.documents} == {n for n, ids in everything.items() if ids}
    for document in found.documents:
        assert (document.split == "validation") == (document.document_id in of_validation)
        ids: list[int] = []
        for span in document.spans:
            path = tmp_path / span.file
            assert span.index == first[path] + span.row
            ids += rows[path][span.row][max(span.start, 1) : span.end]
            assert span.tokens == span.end - max(span.start, 1)
        assert ids == everything[document.document_id]
        assert document.tokens == len(ids)


@SETTINGS
@given(files=_files(), seed=st.integers(0, 99), packing=st.sampled_from(get_args(Packing)))
def test_tokens_are_counted_as_often_as_their_rows_are_read(
    tmp_path: Path, files: list[Documents], seed: int, packing: Packing
) -> None:
    paths = [_pack(tmp_path / "train" / f"{i}", d, 8, packing) for i, d in enumerate(files)]
    once = {name: len(ids) for documents in files for name, ids in documents.items() if ids}
    ones = np.ones(count_rows(paths), dtype=np.int64)
    assert count_tokens(paths, ones) == once

    times = np.random.default_rng(seed).integers(0, 4, len(ones))
    totals = count_tokens(paths, times)
    for document in find_sequences(files_of(paths), set(once)).documents:
        expected = sum(span.tokens * times[span.index] for span in document.spans)
        assert totals[document.document_id] == expected


def test_one_document_alone(tmp_path: Path) -> None:
    ids = {name: list(range(1, 11)) for name in ("aa", "bb", "cc")}
    path = _pack(tmp_path / "train" / "0", ids, 8)
    # <end> aa*10 <end> bb*10 <end> cc*10 <end>; rows begin at 0, 8, 16, 24, 32
    (document,) = find_sequences(files_of([path]), {"bb", "b", "zz"}).documents
    assert document.spans == (
        RowSpan("train/0", 1, 1, start=4, end=9, tokens=5),
        RowSpan("train/0", 2, 2, start=0, end=6, tokens=5),
    )
    assert not find_sequences(files_of([path]), {"b"}).documents


def test_rows_that_do_not_follow_each_other_are_not_told_as_if_they_did(tmp_path: Path) -> None:
    ids = {name: list(range(1, 20)) for name in ("aa", "bb")}
    for packing, told in (
        ("concatenate", "in rows 0 to 2 of"),
        ("best_fit", "in 3 of rows 0 to 4 of"),
    ):
        path = _pack(tmp_path / "train" / packing, ids, 8, packing)
        found = find_sequences(files_of([path]), {"aa"})
        assert told in next(iter(found.lines()))
