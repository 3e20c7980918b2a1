"""Documents to token sequences, and what a model has to beat on the held-out ones."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import NothingLeft
from storage.parquet import read_tables, write_tables
from storage.records import sequence_schema
from storage.workspace import Workspace
from tasks.lm.tokens import TextEncoder
from tasks.shard.config import ShardConfig
from tasks.shard.division import Plan
from tasks.shard.encoding import DocumentEncoder, Engine
from tasks.shard.packing import Packer

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
    end_of_text = encoder.end_of_text
    opening = encoder.opening if encoder.opening != (end_of_text,) else ()  # it stands there anyway
    documents_encoder = DocumentEncoder(encoder, engine)
    packers = [Packer(config, end_of_text) for _ in paths.all]
    table = pq.read_table(documents, columns=["document_id", "text"])
    for batch in plan.batches(_BATCH_DOCUMENTS):
        rows = table.take(pa.array(batch.rows)).to_pylist()
        encoded = documents_encoder.encode([row["text"] for row in rows])
        for side, row, ids in zip(batch.sides, rows, encoded, strict=True):
            whole = np.concatenate([opening, ids]) if opening else ids
            packers[side].add(row["document_id"], whole)
        advance(len(rows))
    for path, packer in zip(paths.all, packers, strict=True):
        write_tables(workspace, path, packer.tables(schema), schema)


@dataclass(frozen=True)
class Baselines:
    """The size of the documents, and what simple models make of those held out."""

    text_bytes: int
    validation_documents: int
    validation_bytes: int
    validation_tokens: int
    train_tokens: int
    filled: float
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
    num_tokens = sum(int(of.sum()) for of in counts.values())
    num_rows = sum(pq.read_metadata(path).num_rows for path in (*train, *validation))
    probabilities = (counts["train"] + 1) / (counts["train"].sum() + vocab_size)
    bits = -(counts["validation"] * np.log2(probabilities)).sum()
    return Baselines(
        text_bytes=text_bytes,
        validation_documents=len(held_out),
        validation_bytes=num_bytes,
        validation_tokens=int(counts["validation"].sum()),
        train_tokens=int(counts["train"].sum()),
        filled=num_tokens / num_rows / config.sequence_length,
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
