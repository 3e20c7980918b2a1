"""From documents to token shards, and from shards to batches.

`python -m benchmarks.tokens`. Documents: sections of what stands in Debian's
/usr/share/doc (`benchmarks.dedup_documents`), 40 MB of them, and a tokenizer of 32 768 entries made
of them. All in CPU seconds of one process; engines in turn, medians of three; each encodes as much
as it needs some seconds for. The ids are compared first.

Loader: batches of 16 rows of 1 025 ids from a file of 400 000 rows, and the order alone among 10^9
rows; the peer draws each epoch's permutation anew, as phusa did before.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.dedup_documents import PAGES, TEXTS, document_table, sections
from benchmarks.ledger import record
from storage.parquet import write_table
from storage.records import sequence_schema
from storage.workspace import Workspace
from tasks.lm.order import DrawnOrder, Order
from tasks.lm.sequences import Sequences
from tasks.lm.tokens import Split, TextEncoder
from tasks.shard.config import ShardConfig
from tasks.shard.division import Plan, divide, sign_shard
from tasks.shard.encoding import DocumentEncoder, Engine, choose_engine
from tasks.shard.overlap import measure_overlap
from tasks.shard.shard import ShardPaths, shard_documents
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.train import train_tokenizer

COMMAND = "python -m benchmarks.tokens"
_CORPUS_BYTES, _SLOW_BYTES = 40_000_000, 4_000_000
_SPLITS: tuple[Split, ...] = ("gpt2", "llama3", "qwen2", "qwen35")
_LENGTH, _BATCH, _ROWS = 1024, 16, 400_000


def corpus() -> list[tuple[str, str]]:
    """Give URLs and texts of real documentation."""
    found, num_bytes = [], 0
    for url, text in sections(4_500, (*PAGES, *TEXTS)):
        found.append((url, text))
        num_bytes += len(text.encode())
        if num_bytes > _CORPUS_BYTES:
            break
    return found


def cpu_seconds(work: Callable[[], object]) -> float:
    """Run something; returns the CPU seconds that it took, of all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def encoding(texts: Sequence[str], split: Split) -> TextEncoder:
    """Record how fast each engine encodes; returns the tokenizer."""
    config = TokenizerConfig(vocab_size=32_768, split=split)
    encoder = TextEncoder(train_tokenizer(texts[::4], config))
    engine, why = choose_engine(encoder, texts[:2_000], 1 << 30)
    print(split, why)
    assert engine == "gigatoken", why
    few = texts[: max(1, len(texts) * _SLOW_BYTES // _CORPUS_BYTES)]
    size, small = (sum(len(text.encode()) for text in some) / 1e6 for some in (texts, few))
    rates: dict[Engine, list[float]] = {"tokenizers": [], "gigatoken": []}
    for _ in range(3):
        slow = cpu_seconds(lambda: DocumentEncoder(encoder, "tokenizers").encode(few))
        rates["tokenizers"].append(small / slow)
        fast = DocumentEncoder(encoder, "gigatoken")
        rates["gigatoken"].append(size / cpu_seconds(partial(fast.encode, texts)))
    ours, theirs = (statistics.median(rates[one]) for one in ("gigatoken", "tokenizers"))
    record(
        f"encoding, {split}",
        f"{size:.0f} MB of real documentation, 32 768 entries, MB a CPU second, one core, "
        "cold caches; peer: tokenizers' encode_batch_fast",
        f"{ours:.0f}",
        f"{theirs:.1f}",
        f"{ours / theirs:.0f}x",
        COMMAND,
    )
    return encoder


def whole_stage(documents: Sequence[tuple[str, str]], encoder: TextEncoder) -> None:
    """Record the shard stage from Parquet to Parquet, on both engines."""
    size = sum(len(text.encode()) for _, text in documents) / 1e6
    few = documents[: len(documents) // 10]
    _stage_seconds(few[:1000], encoder, "gigatoken")  # compiled before the clock starts
    ours = size / _stage_seconds(documents, encoder, "gigatoken")
    theirs = size * len(few) / len(documents) / _stage_seconds(few, encoder, "tokenizers")
    record(
        "shards",
        f"{size:.0f} MB of real documentation, held out by cluster, packed, its overlap measured, "
        "Parquet to Parquet, MB a CPU second; peer: the same with tokenizers",
        f"{ours:.0f}",
        f"{theirs:.1f}",
        f"{ours / theirs:.0f}x",
        COMMAND,
    )


def _stage_seconds(
    documents: Sequence[tuple[str, str]], encoder: TextEncoder, engine: Engine
) -> float:
    with tempfile.TemporaryDirectory() as folder:
        workspace, config = Workspace(Path(folder)), ShardConfig(sequence_length=_LENGTH)
        urls, texts = zip(*documents, strict=True)
        names = [f"{number:032x}" for number in range(len(documents))]
        columns = {"document_id": names, "url": urls, "text": texts}
        write_table(workspace, "documents.parquet", document_table(columns, len(documents)))
        source = workspace.data / "documents.parquet"
        signed, plan = workspace.scratch / "signed", workspace.scratch / "plan"
        paths = ShardPaths("train/a.parquet", "validation/a.parquet")

        def work() -> None:
            sign_shard(source, config, signed)
            divide([signed], config, [plan])
            planned = Plan.read(plan)
            shard_documents(source, encoder, config, workspace, paths, planned, engine=engine)
            measure_overlap([source], [plan])

        return cpu_seconds(work)


def loading() -> None:
    """Record what a batch costs, and the order of its rows."""
    with tempfile.TemporaryDirectory() as folder:
        ids = np.random.default_rng(0).integers(0, 32_768, (_ROWS // 8, _LENGTH + 1), np.uint16)
        offsets = pa.array(np.arange(len(ids) + 1, dtype=np.int32) * (_LENGTH + 1))
        rows = pa.ListArray.from_arrays(offsets, pa.array(ids.reshape(-1)))
        spans = pa.array([[]] * len(ids), sequence_schema(1).field("spans").type)
        path = Path(folder) / "train.parquet"
        pq.write_table(pa.table([rows, spans], ["input_ids", "spans"]), path)
        began, before = time.perf_counter(), _resident()
        sequences = Sequences([path] * 8, _LENGTH, Path(folder) / "scratch")
        opened, steps = time.perf_counter() - began, 2_000
        took = cpu_seconds(lambda: [sequences.batch(0, step, _BATCH) for step in range(steps)])
        grown = _resident() - before
    rate = steps * _BATCH * _LENGTH / took
    record(
        "loader",
        f"batches of {_BATCH} x {_LENGTH} out of {_ROWS:,} rows (laid out in {opened:.1f} s), "
        "tokens a CPU second; memory that it took",
        f"{rate / 1e6:.0f} M; {grown / 1e6:.0f} MB",
        "-",
        "-",
        COMMAND,
    )
    order, drawn = Order(0, _BATCH, 10**9), DrawnOrder(0, _BATCH, 10**7)
    ours = cpu_seconds(lambda: [order.rows(step) for step in range(2_000)]) / 2_000
    theirs = cpu_seconds(lambda: [drawn.rows(step) for step in range(3)]) / 3
    record(
        "order of rows",
        f"the rows of a batch of {_BATCH} among 10^9; peer: a permutation of 10^7, drawn anew",
        f"{ours * 1e6:.0f} µs",
        f"{theirs * 1e3:.0f} ms",
        f"{theirs / ours:,.0f}x",
        COMMAND,
    )


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    documents = corpus()
    texts = [text for _, text in documents]
    encoders = [encoding(texts, split) for split in _SPLITS]
    whole_stage(documents, encoders[2])
    loading()


if __name__ == "__main__":
    main()
