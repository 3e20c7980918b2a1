"""Documents to token sequences, and what a model has to beat on the held-out ones."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import NothingLeft
from storage.parquet import ROW_GROUP_ROWS, read_tables, write_tables
from storage.records import SPAN, sequence_schema
from storage.workspace import Workspace
from tasks.lm.tokens import END_OF_TEXT, TextEncoder, special_id
from tasks.shard.config import ShardConfig
from tasks.shard.division import Plan
from tasks.shard.encoding import DocumentEncoder, Engine, Ids

Positions = npt.NDArray[np.int64]
_BATCH_DOCUMENTS = 256
_PACKED_BYTES = 32 << 20  # of held-out text, to be compared with; it takes half a minute


@dataclass(frozen=True)
class ShardPaths:
    """Where one shard of documents goes."""

    train: str
    validation: str
    test: str = ""

    @property
    def all(self) -> list[str]:
        """By their sides; without the last where nothing is held out for a test."""
        return [path for path in (self.train, self.validation, self.test) if path]


def shard_documents(
    documents: Path,
    encoder: TextEncoder,
    config: ShardConfig,
    workspace: Workspace,
    paths: ShardPaths,
    plan: Plan,
    advance: Callable[[int], None] = lambda amount: None,
    engine: Engine = "tokenizers",
) -> None:
    """Tokenize and pack one shard of documents into a file for each side, as it is planned."""
    if all(map(workspace.entry, paths.all)):
        return
    schema = sequence_schema(encoder.tokenizer.get_vocab_size())
    end_of_text = special_id(encoder.tokenizer, END_OF_TEXT)
    documents_encoder = DocumentEncoder(encoder, engine)
    packers = [_Packer(config, end_of_text) for _ in paths.all]
    table = pq.read_table(documents, columns=["document_id", "text"])
    for batch in plan.batches(_BATCH_DOCUMENTS):
        rows = table.take(pa.array(batch.rows)).to_pylist()
        encoded = documents_encoder.encode([row["text"] for row in rows])
        for side, row, ids in zip(batch.sides, rows, encoded, strict=True):
            packers[side].add(row["document_id"], ids)
        advance(len(rows))
    for path, packer in zip(paths.all, packers, strict=True):
        write_tables(workspace, path, packer.tables(schema), schema)


class _Packer:
    """One stream of tokens, `<end of text> document <end of text> document …`, cut into rows.

    A row has one token more than the sequence length: it begins with the last token of the row
    before, so that every token but the very first is predicted exactly once.
    """

    def __init__(self, config: ShardConfig, end_of_text: int) -> None:
        self._length = config.sequence_length
        self._end_of_text = np.array([end_of_text], dtype=np.uint32)
        self._ids = [self._end_of_text]
        self._documents: list[str] = []

    def add(self, document_id: str, ids: npt.ArrayLike) -> None:
        """Put a document's ids at the end of the stream."""
        self._ids += [np.asarray(ids, dtype=np.uint32), self._end_of_text]
        self._documents.append(document_id)

    def tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Cut the stream into rows of `sequence_schema`, a row group at a time."""
        stream = np.concatenate(self._ids)
        starts = np.arange(0, len(stream) - 1, self._length)
        ends = np.minimum(starts + self._length + 1, len(stream))
        spans = self._spans(starts, ends)
        for at in range(0, len(starts), ROW_GROUP_ROWS):
            rows = slice(at, min(at + ROW_GROUP_ROWS, len(starts)))
            columns = [
                _cut(stream, starts[rows], ends[rows], schema.field("input_ids").type),
                spans.lists(rows, self._documents),
            ]
            yield pa.table(columns, schema=schema)

    def _spans(self, starts: Positions, ends: Positions) -> _Spans:
        """Find which positions of each row come from which document.

        A document from b to e is in the rows that start before e and end after b; one without
        tokens is in none.
        """
        lengths = np.array([len(ids) for ids in self._ids[1::2]], dtype=np.int64)
        begins = np.cumsum([1, *(lengths + 1)], dtype=np.int64)[:-1]
        stops = begins + lengths
        first = (begins - 1) // self._length
        count = np.where(lengths > 0, (stops - 1) // self._length - first + 1, 0)
        document = np.repeat(np.arange(len(lengths)), count)
        row = np.arange(len(document)) - np.repeat(np.cumsum(count) - count, count)
        row += first[document]
        return _Spans(
            document,
            row,
            np.maximum(begins[document], starts[row]) - starts[row],
            np.minimum(stops[document], ends[row]) - starts[row],
        )


@dataclass(frozen=True)
class _Spans:
    """Spans of all rows, in order; `document` is a number, `end` one past the last position."""

    document: Positions
    row: Positions
    start: Positions
    end: Positions

    def lists(self, rows: slice, names: Sequence[str]) -> pa.ListArray:
        """Give those of some rows, a list for each."""
        here = slice(*np.searchsorted(self.row, (rows.start, rows.stop)))
        of = pa.array([names[number] for number in self.document[here]], pa.string())
        columns = (of, pa.array(self.start[here], pa.int32()), pa.array(self.end[here], pa.int32()))
        spans = pa.StructArray.from_arrays(columns, fields=list(SPAN))
        counts = np.bincount(self.row[here] - rows.start, minlength=rows.stop - rows.start)
        return pa.ListArray.from_arrays(_offsets(counts), spans)


def _cut(stream: Ids, starts: Positions, ends: Positions, kind: pa.DataType) -> pa.ListArray:
    """Cut pieces out of a stream, one after the other; they share their ends."""
    offsets = _offsets(ends - starts)
    at = np.arange(offsets[-1].as_py()) - np.repeat(offsets.to_numpy()[:-1] - starts, ends - starts)
    ids = stream[at].astype(kind.value_type.to_pandas_dtype())
    return pa.ListArray.from_arrays(offsets, pa.array(ids))


def _offsets(lengths: Positions) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())


@dataclass(frozen=True)
class Baselines:
    """The size of the documents, and what simple models make of those held out."""

    text_bytes: int
    validation_documents: int
    validation_bytes: int
    validation_tokens: int
    train_tokens: int
    unigram_bits_per_byte: float
    xz_bits_per_byte: float


def measure_baselines(
    documents: Sequence[Path],
    train: Sequence[Path],
    validation: Sequence[Path],
    plans: Sequence[Path],
    config: ShardConfig,
    vocab_size: int,
) -> Baselines:
    """Bits per byte of a unigram token model and of `xz -9` on the held-out documents.

    Raises NothingLeft if one side of the split has no token.
    """
    counts = {
        name: _count(paths, vocab_size)
        for name, paths in (("train", train), ("validation", validation))
    }
    for name, of in counts.items():
        if of.sum() == 0:
            raise NothingLeft(
                f"the {name} split has no token; expected at least one document on each side of "
                f"shard.validation_share={config.validation_share}. Crawl more pages, change the "
                f"share, draw again with --set shard.split_seed={config.split_seed + 1}, or let "
                f"less than shard.split.kind={config.split.kind} does stay together."
            )
    text_bytes, held_out = _read_texts(documents, plans)
    num_bytes = sum(map(len, held_out))
    packed, num_packed = _pack(held_out)
    probabilities = (counts["train"] + 1) / (counts["train"].sum() + vocab_size)
    bits = -(counts["validation"] * np.log2(probabilities)).sum()
    return Baselines(
        text_bytes=text_bytes,
        validation_documents=len(held_out),
        validation_bytes=num_bytes,
        validation_tokens=int(counts["validation"].sum()),
        train_tokens=int(counts["train"].sum()),
        unigram_bits_per_byte=float(bits / num_bytes),
        xz_bits_per_byte=8 * packed / num_packed,
    )


def _pack(texts: Sequence[bytes]) -> tuple[int, int]:
    """Give the size of the first texts by `xz -9`, and without: it takes 1 MB a second."""
    taken, num_bytes = [], 0
    for text in texts:
        taken.append(text)
        num_bytes += len(text)
        if num_bytes >= _PACKED_BYTES:
            break
    return len(lzma.compress(b"\n".join(taken), preset=9)), num_bytes


def _read_texts(documents: Sequence[Path], plans: Sequence[Path]) -> tuple[int, list[bytes]]:
    """The bytes of the texts to train on, each as often as it is packed, and of those held out for
    validation, together, and these."""
    text_bytes, held_out = 0, []
    for path, plan in zip(documents, map(Plan.read, plans), strict=True):
        texts = pq.read_table(path, columns=["text"])["text"]
        lengths = pc.binary_length(texts).to_numpy()
        text_bytes += int(lengths[plan.rows[plan.sides < 2]].sum())
        held_out += [
            t.encode() for t in texts.take(pa.array(plan.rows[plan.sides == 1])).to_pylist()
        ]
    return text_bytes, held_out


def _count(paths: Sequence[Path], vocab_size: int) -> npt.NDArray[np.int64]:
    """Count each id among the predicted tokens (all but the first of each row)."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for table in read_tables(paths):
        for lists in table["input_ids"].chunks:
            ids, starts = lists.flatten().to_numpy(), lists.offsets.to_numpy()[:-1]
            counts += np.bincount(ids, minlength=vocab_size)
            counts -= np.bincount(ids[starts - starts[:1]], minlength=vocab_size)
    return counts
