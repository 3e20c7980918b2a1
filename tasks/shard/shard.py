"""Documents to token sequences, and what a model has to beat on the held-out ones."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from storage.errors import NothingLeft
from storage.parquet import read_tables, write_rows
from storage.records import sequence_schema
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.lm.tokens import END_OF_TEXT, TextEncoder, special_id
from tasks.shard.config import ShardConfig

Row = dict[str, Any]
_BATCH_DOCUMENTS = 256


def is_held_out(url: str, config: ShardConfig) -> bool:
    """Whether the document at `url` belongs to the validation split."""
    draw = xxhash.xxh3_64_intdigest(url.encode(), seed=config.split_seed) / 2**64
    return draw < config.validation_share


@dataclass(frozen=True)
class ShardPaths:
    """Where one shard of documents goes."""

    train: str
    validation: str


def shard_documents(
    documents: Path,
    encoder: TextEncoder,
    config: ShardConfig,
    workspace: Workspace,
    paths: ShardPaths,
    advance: Callable[[int], None] = lambda amount: None,
    forgotten: Forgotten = NOTHING,
) -> None:
    """Tokenize and pack one shard of documents into a train and a validation file.

    Documents that are `forgotten` are left out.
    """
    if workspace.entry(paths.train) and workspace.entry(paths.validation):
        return
    schema = sequence_schema(encoder.tokenizer.get_vocab_size())
    end_of_text = special_id(encoder.tokenizer, END_OF_TEXT)
    packers = {False: _Packer(config, end_of_text), True: _Packer(config, end_of_text)}
    table = pq.read_table(documents, columns=["document_id", "url", "text"])
    for batch in table.to_batches(max_chunksize=_BATCH_DOCUMENTS):
        rows = [row for row in batch.to_pylist() if _is_kept(row, forgotten)]
        encoded = encoder.encode_batch([row["text"] for row in rows])
        for row, ids in zip(rows, encoded, strict=True):
            packer = packers[is_held_out(row["url"], config)]
            packer.add(row["document_id"], ids)
        advance(len(batch))
    write_rows(workspace, paths.train, packers[False].rows(), schema)
    write_rows(workspace, paths.validation, packers[True].rows(), schema)


def _is_kept(row: Row, forgotten: Forgotten) -> bool:
    return forgotten.covers(row["url"], row["document_id"]) is None


class _Packer:
    """One stream of tokens, `<end of text> document <end of text> document …`, cut into rows.

    A row has one token more than the sequence length: it begins with the last token of the row
    before, so that every token but the very first is predicted exactly once.
    """

    def __init__(self, config: ShardConfig, end_of_text: int) -> None:
        self._length = config.sequence_length
        self._end_of_text = end_of_text
        self._ids: list[int] = [end_of_text]
        self._documents: list[tuple[str, int, int]] = []

    def add(self, document_id: str, ids: list[int]) -> None:
        start = len(self._ids)
        self._ids += ids
        self._documents.append((document_id, start, len(self._ids)))
        self._ids.append(self._end_of_text)

    def rows(self) -> list[Row]:
        rows = []
        first = 0  # of the documents that reach into the row
        for start in range(0, len(self._ids) - 1, self._length):
            end = min(start + self._length + 1, len(self._ids))
            while first < len(self._documents) and self._documents[first][2] <= start:
                first += 1
            rows.append(
                {"input_ids": self._ids[start:end], "spans": self._spans(first, start, end)}
            )
        return rows

    def _spans(self, first: int, start: int, end: int) -> list[Row]:
        spans = []
        for index in range(first, len(self._documents)):
            document_id, begin, stop = self._documents[index]
            if begin >= end:
                break
            if max(begin, start) < min(stop, end):
                span = {"start": max(begin, start) - start, "end": min(stop, end) - start}
                spans.append({"document_id": document_id, **span})
        return spans


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
    config: ShardConfig,
    vocab_size: int,
    forgotten: Forgotten = NOTHING,
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
                f"share, or draw again with --set shard.split_seed={config.split_seed + 1}."
            )
    text_bytes, held_out = _read_texts(documents, config, forgotten)
    num_bytes = sum(map(len, held_out))
    packed = lzma.compress(b"\n".join(held_out), preset=9)
    probabilities = (counts["train"] + 1) / (counts["train"].sum() + vocab_size)
    bits = -(counts["validation"] * np.log2(probabilities)).sum()
    return Baselines(
        text_bytes=text_bytes,
        validation_documents=len(held_out),
        validation_bytes=num_bytes,
        validation_tokens=int(counts["validation"].sum()),
        train_tokens=int(counts["train"].sum()),
        unigram_bits_per_byte=float(bits / num_bytes),
        xz_bits_per_byte=8 * len(packed) / num_bytes,
    )


def _read_texts(
    documents: Sequence[Path], config: ShardConfig, forgotten: Forgotten
) -> tuple[int, list[bytes]]:
    """The bytes of all texts together, and the texts that are held out."""
    text_bytes, held_out = 0, []
    for path in documents:
        table = pq.read_table(path, columns=["document_id", "url", "text"])
        if forgotten:
            rows = table.select(["document_id", "url"]).to_pylist()
            table = table.filter(pa.array([_is_kept(row, forgotten) for row in rows]))
        text_bytes += pc.sum(pc.binary_length(table["text"])).as_py() or 0
        urls, texts = table["url"].to_pylist(), table["text"]
        held_out += [
            text.as_py().encode()
            for url, text in zip(urls, texts, strict=True)
            if is_held_out(url, config)
        ]
    return text_bytes, held_out


def _count(paths: Sequence[Path], vocab_size: int) -> npt.NDArray[np.int64]:
    """Occurrences of each id among the predicted tokens (all but the first of each row)."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for table in read_tables(paths):
        for ids in table["input_ids"]:
            counts += np.bincount(ids.values.to_numpy()[1:], minlength=vocab_size)
    return counts
