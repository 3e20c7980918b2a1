"""How sharding is placed: one task for each shard of documents, one for the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.parquet import shard_name
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.lm.tokens import TextEncoder, load_tokenizer
from tasks.progress import note, track
from tasks.shard.config import ShardConfig
from tasks.shard.encoding import COMPARED_DOCUMENTS, Engine, choose_engine
from tasks.shard.shard import ShardPaths, measure_baselines, shard_documents
from tasks.stage import Job, Outcome, count_rows, handed, results


def build(job: Job) -> Outcome:
    """Tokenize shard by shard, and measure what simple models make of the held-out documents."""
    documents, tokenizer = job.files("documents", "documents/"), job.folder("tokenizer")
    config, work, forgotten = job.config, job.work, job.forgotten
    engine, why = choose.submit(documents, tokenizer).result()
    note(f"tokens by {engine}: {why}")
    futures = [
        tokenize.submit(number, len(documents), path, tokenizer, config, work, forgotten, engine)
        for number, path in enumerate(documents, 1)
    ]
    shards = [handed(future) for future in futures]
    measured = baselines.submit(documents, shards, tokenizer, config, forgotten)
    packed = [path for pair in results(futures) for path in pair]
    return Outcome(count_rows(documents), count_rows(packed), measured.result())


@task(task_run_name="choose an encoder", cache_policy=NO_CACHE)
def choose(documents: Sequence[Path], tokenizer: Path) -> tuple[Engine, str]:
    """Choose what encodes the documents: the first of every shard are compared."""
    total = count_rows(documents)
    share = -(-COMPARED_DOCUMENTS // len(documents))
    texts = (
        text
        for path in documents
        for batch in islice(pq.ParquetFile(path).iter_batches(share, columns=["text"]), 1)
        for text in batch["text"].to_pylist()
    )
    return choose_engine(TextEncoder.load(tokenizer), texts, total)


@task(task_run_name="tokenize shard {number} of {count}", cache_policy=NO_CACHE)
def tokenize(
    number: int,
    count: int,
    documents: Path,
    tokenizer: Path,
    config: ShardConfig,
    work: Path,
    forgotten: Forgotten = NOTHING,
    engine: Engine = "tokenizers",
) -> tuple[Path, Path]:
    """Tokenize and pack one shard; returns the train and the validation file."""
    paths = ShardPaths(
        shard_name("train", number - 1, count), shard_name("validation", number - 1, count)
    )
    workspace = Workspace(work)
    total = pq.read_metadata(documents).num_rows
    with track(f"tokenize shard {number} of {count}", total, "documents") as bar:
        encoder = TextEncoder.load(tokenizer)
        shard_documents(
            documents, encoder, config, workspace, paths, bar.advance, forgotten, engine
        )
    return workspace.data / paths.train, workspace.data / paths.validation


@task(task_run_name="measure baselines", cache_policy=NO_CACHE)
def baselines(
    documents: Sequence[Path],
    shards: Sequence[tuple[Path, Path]],
    tokenizer: Path,
    config: ShardConfig,
    forgotten: Forgotten = NOTHING,
) -> dict[str, Any]:
    """What unigram counts and xz make of the held-out documents."""
    train, validation = zip(*shards, strict=True)
    vocab_size = load_tokenizer(tokenizer).get_vocab_size()
    return asdict(measure_baselines(documents, train, validation, config, vocab_size, forgotten))
