"""From documents to token shards, and from shards to batches.

`python -m benchmarks.tokens`. Documents: sections of what stands in Debian's
/usr/share/doc (`benchmarks.dedup_documents`), 40 MB of them, and a tokenizer of 32 768 entries made
of them. All in CPU seconds of one process; engines in turn, medians of three; each encodes as much
as it needs some seconds for. The ids are compared first.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.dedup_documents import PAGES, TEXTS, document_table, sections
from benchmarks.ledger import record
from storage.parquet import write_table
from storage.workspace import Workspace
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
_LENGTH = 1024


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
    few = texts[:: _CORPUS_BYTES // _SLOW_BYTES]
    peers = (encoder.tokenizer.encode_batch, encoder.tokenizer.encode_batch_fast)
    rates: list[tuple[float, ...]] = []
    for _ in range(3):
        with ThreadPoolExecutor(1) as fresh:  # a thread keeps its encoder
            ours = fresh.submit(both_halves, encoder, texts).result()
        work = (partial(peer, few, add_special_tokens=False) for peer in peers)
        rates.append((*ours, *(size(few) / cpu_seconds(each) for each in work)))
    cold, kept, batch, fast = map(statistics.median, zip(*rates, strict=True))
    record(
        f"encoding, {split}",
        f"{size(texts) / 2:.0f} MB of real documentation, 32 768 entries, MB a CPU second, one "
        f"core, with an empty cache and after as much other text; peers: tokenizers' encode_batch "
        "and encode_batch_fast, ids not yet taken out",
        f"{cold:.0f}, {kept:.0f}",
        f"{batch:.1f}, {fast:.1f}",
        f"{cold / batch:.0f}x and {kept / batch:.0f}x, {cold / fast:.0f}x and {kept / fast:.0f}x",
        COMMAND,
    )
    return encoder


def both_halves(encoder: TextEncoder, texts: Sequence[str]) -> tuple[float, ...]:
    """Give MB a CPU second of one half of the texts, and then of the other."""
    ours = DocumentEncoder(encoder, "gigatoken")
    halves = (texts[::2], texts[1::2])
    return tuple(size(half) / cpu_seconds(partial(ours.encode, half)) for half in halves)


def size(texts: Sequence[str]) -> float:
    """Give MB of UTF-8."""
    return sum(len(text.encode()) for text in texts) / 1e6


def whole_stage(documents: Sequence[tuple[str, str]], encoder: TextEncoder) -> None:
    """Record the shard stage from Parquet to Parquet, on both engines."""
    num_mb = size([text for _, text in documents])
    few = documents[: len(documents) // 10]
    _stage_seconds(few[:1000], encoder, "gigatoken")  # compiled before the clock starts
    ours = num_mb / _stage_seconds(documents, encoder, "gigatoken")
    theirs = num_mb * len(few) / len(documents) / _stage_seconds(few, encoder, "tokenizers")
    record(
        "shards",
        f"{num_mb:.0f} MB of real documentation, held out by cluster, packed, overlap measured, "
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


def main() -> None:
    documents = corpus()
    texts = [text for _, text in documents]
    encoders = [encoding(texts, split) for split in _SPLITS]
    whole_stage(documents, encoders[2])


if __name__ == "__main__":
    main()
