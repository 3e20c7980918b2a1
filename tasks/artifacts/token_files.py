"""Sequences in the files of other trainers: Megatron, nanoGPT, litdata.

All of them want documents whole, one after the other, where rows hold pieces of them. A file of
rows is put in the order of its documents by way of a scratch file, so memory goes with the number
of their pieces (some 330 bytes for each in a file), not with the tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import Fault, RequestError
from storage.parquet import streamed
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.sequences import SPLITS

Numbers = npt.NDArray[np.int64]
Ids = npt.NDArray[Any]
Documents = Iterator[tuple[Ids, Numbers]]
"""Documents, each with an end of text, as stretches of ids, and where in a stretch they end: one
may reach over several."""

_IDS_AT_ONCE = 1 << 20
_MEGATRON_HEAD = b"MMIDIDX\x00\x00" + (1).to_bytes(8, "little")
_MEGATRON_CODES, _LITDATA_CODES = {"uint16": 8, "int32": 4}, {"uint16": 20, "int32": 16}
_LITDATA_CHUNK_IDS = 1 << 24


def write(artifact: Artifact, form: str, folder: Path) -> None:
    """Write an artifact of sequences in one of its type's forms into an empty folder.

    Raises RequestError if its ids do not fit.
    """
    schema = pq.read_schema(artifact.files("train/")[0])
    is_short = schema.field("input_ids").type.value_type == pa.uint16()
    signed = "uint16" if is_short else "int32"  # neither reads unsigned ones of four bytes
    if form == "nanogpt" and not is_short:
        found, expected = "a vocabulary of more than 65,536 entries", "ids that fit in two bytes"
        remedy = "Take --form nanogpt-uint32, and have the trainer read np.uint32."
        raise RequestError(Fault(artifact.label, found, expected, remedy, "ids_too_wide"))
    for split, paths in ((split, artifact.files(f"{split}/")) for split in SPLITS):
        if not paths:
            continue
        documents = _documents(paths, folder)
        if form == "megatron":
            _write_megatron(documents, folder / split, signed)
        elif form == "litdata":
            _write_litdata(documents, folder / split, signed)
        else:
            name = "val.bin" if split == "validation" else f"{split}.bin"
            _write_ids(documents, folder / name, "uint16" if form == "nanogpt" else "uint32")


def _write_ids(documents: Documents, path: Path, kind: str) -> Numbers:
    """Write ids and nothing else; returns where documents end. Source: nanoGPT,
    data/openwebtext/prepare.py."""
    bounds, total = [np.zeros(0, np.int64)], 0
    with path.open("wb") as file:
        for ids, ends in documents:
            file.write(ids.astype(kind).data)
            bounds.append(ends + total)
            total += len(ids)
    return np.concatenate(bounds)


def _write_megatron(documents: Documents, path: Path, kind: str) -> None:
    """Write `.bin` and `.idx`; a document is one sequence.

    The index: magic, version, code of the ids' type; the numbers of sequences and of bounds of
    documents; then for each sequence its length (int32) and its place in bytes (int64), and the
    bounds, in sequences (int64). Source: Megatron-LM, megatron/core/datasets/indexed_dataset.py.
    """
    ends = _write_ids(documents, path.with_suffix(".bin"), kind)
    lengths = np.diff(ends, prepend=0)
    with path.with_suffix(".idx").open("wb") as file:
        file.write(_MEGATRON_HEAD + bytes([_MEGATRON_CODES[kind]]))
        file.write(np.array([len(ends), len(ends) + 1]).data)
        file.write(lengths.astype(np.int32).data)
        file.write(((ends - lengths) * np.dtype(kind).itemsize).data)
        file.write(np.arange(len(ends) + 1).data)


def _write_litdata(documents: Documents, folder: Path, kind: str) -> None:
    """Write chunks, and `index.json`, which lists them.

    A chunk has one item here, its ids: the number of items, where it begins and ends in bytes
    (uint32), and the item. Source: litdata, src/litdata/streaming/writer.py.
    """
    chunks = []
    folder.mkdir()
    for number, parts in enumerate(_in_chunks(ids.astype(kind) for ids, _ in documents)):
        name, end = f"chunk-0-{number}.bin", 12 + sum(ids.nbytes for ids in parts)
        with (folder / name).open("wb") as file:
            file.write(np.array([1, 12, end], np.uint32).data)
            file.writelines(ids.data for ids in parts)
        size = {"chunk_bytes": end, "chunk_size": 1, "dim": sum(map(len, parts))}
        chunks.append({"filename": name, **size})
    config: dict[str, object] = dict.fromkeys(("compression", "encryption", "data_spec"))
    config |= {"chunk_size": None, "chunk_bytes": _LITDATA_CHUNK_IDS * np.dtype(kind).itemsize}
    config |= {"data_format": [f"no_header_tensor:{_LITDATA_CODES[kind]}"]}
    config |= {"item_loader": "TokensLoader"}
    index = {"chunks": chunks, "config": config, "updated_at": "0"}
    (folder / "index.json").write_text(json.dumps(index))


def _in_chunks(stream: Iterable[Ids]) -> Iterator[list[Ids]]:
    parts: list[Ids] = []
    for ids in stream:
        parts.append(ids)
        if sum(map(len, parts)) >= _LITDATA_CHUNK_IDS:
            yield parts
            parts = []
    if parts:
        yield parts


def _documents(paths: Sequence[Path], folder: Path) -> Documents:
    """Read the documents of a split, in the order of the first row of each."""
    for path in paths:
        with TemporaryFile(dir=folder) as scratch, streamed(path) as file:
            if file.metadata.num_rows:
                kind = str(file.schema_arrow.field("input_ids").type.value_type)
                yield from _gather(_spread(file, scratch), scratch, kind)


@dataclass(frozen=True)
class _Pieces:
    """What is predicted of documents in the rows of a file, in the order of documents: where each
    piece begins among the ids, its length, and whether it is the last of its document."""

    start: Numbers
    size: Numbers
    last: npt.NDArray[np.bool_]


def _spread(file: pq.ParquetFile, scratch: IO[bytes]) -> _Pieces:
    """Write the ids of all rows to `scratch`, one after the other."""
    names, columns, total = [], [], 0
    first_rows = file.metadata.row_group(0)
    num_rows = max(1, _IDS_AT_ONCE * first_rows.num_rows // first_rows.column(0).num_values)
    for batch in file.iter_batches(num_rows, columns=["input_ids", "spans"]):
        offsets, ids = batch["input_ids"].offsets.to_numpy(), batch["input_ids"].flatten()
        row, spans = pc.list_parent_indices(batch["spans"]).to_numpy(), batch["spans"].flatten()
        start, end = (spans.field(side).to_numpy() for side in ("start", "end"))
        names.append(spans.field("document_id"))
        begin = total + (offsets[row] - offsets[0]).astype(np.int64)
        columns.append((begin, start, end, end == np.diff(offsets)[row]))
        scratch.write(ids.to_numpy().data)
        total += len(ids)
    scratch.flush()
    begin, start, end, goes_on = map(np.concatenate, zip(*columns, strict=True))
    document = _numbered(pa.concat_arrays(names), start, goes_on)
    order = np.argsort(document, kind="stable")
    first = np.maximum(start, 1)  # the first id of a row is predicted in another one
    last = np.diff(document[order], append=-1) != 0
    return _Pieces((begin + first)[order], (end - first)[order], last)


def _numbered(names: pa.StringArray, start: Numbers, goes_on: npt.NDArray[np.bool_]) -> Numbers:
    """Number the documents that pieces are of, by the first piece of each.

    A document may be there several times. What begins at the second place of a row, after an end of
    text, begins anew; what begins later goes on with one that is not at its end yet, if a packing
    puts ends of documents into other rows.
    """
    open_: dict[int, list[int]] = {}
    found = np.arange(len(names))
    columns = (names.dictionary_encode().indices, start, goes_on)
    pieces = zip(*(column.tolist() for column in columns), strict=True)
    for at, (code, place, stays) in enumerate(pieces):
        waiting = open_.get(code)
        if waiting and place != 1:
            found[at] = waiting.pop()
        if stays:
            open_.setdefault(code, []).append(int(found[at]))
    return found


def _gather(pieces: _Pieces, scratch: IO[bytes], kind: str) -> Documents:
    """Read pieces in their order, some at a time, with an end of text after each document."""
    room = pieces.size + pieces.last
    cuts = np.flatnonzero(np.diff(np.cumsum(room) // _IDS_AT_ONCE)) + 1
    for start, stop in pairwise([0, *cuts.tolist(), len(room)]):
        here = slice(start, stop)
        sizes, ends = pieces.size[here], np.cumsum(room[here])
        # Mapped anew each time: pages that were read count as memory until they are let go.
        source = np.memmap(scratch, kind, mode="r")
        ids = np.full(room[here].sum(), source[0])  # a file begins with an end of text
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        found = source[np.repeat(pieces.start[here], sizes) + within]
        ids[np.repeat(ends - room[here], sizes) + within] = found
        yield ids, ends[pieces.last[here]]
