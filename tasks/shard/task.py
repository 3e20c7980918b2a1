"""How sharding is placed: one task for each shard of documents and each step, one for what is
decided on all of them, one for the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.parquet import shard_name
from storage.takedown import Forgotten
from storage.workspace import Workspace
from tasks.artifacts.sequences import SPLITS
from tasks.lm.tokens import TextEncoder, load_tokenizer
from tasks.progress import note, track
from tasks.shard.composition import count_composition
from tasks.shard.config import ShardConfig
from tasks.shard.division import Plan, divide, sign_shard
from tasks.shard.encoding import COMPARED_DOCUMENTS, DocumentEncoder, Engine, choose_engine
from tasks.shard.overlap import measure_overlap
from tasks.shard.shard import ShardPaths, measure_baselines, shard_documents
from tasks.stage import Job, Outcome, count_rows, handed, results


def build(job: Job) -> Outcome:
    """Tokenize shard by shard, and measure what simple models make of the held-out documents."""
    documents, tokenizer = job.files("documents", "documents/"), job.folder("tokenizer")
    config, work, forgotten = job.config, job.work, job.forgotten
    engine, why = choose.submit(documents, tokenizer).result()
    note(f"tokens by {engine}: {why}")
    shards = list(enumerate(documents, 1))
    signed = results(
        [sign.submit(n, path, tokenizer, config, work, forgotten, engine) for n, path in shards]
    )
    plans, grouped = plan.submit(signed, config).result()
    futures = [
        tokenize.submit(n, len(shards), path, tokenizer, config, work, plans[n - 1], engine)
        for n, path in shards
    ]
    packed = [handed(future) for future in futures]
    measured = baselines.submit(documents, packed, plans, tokenizer, config)
    files = [path for of_shard in results(futures) for path in of_shard]
    return Outcome(count_rows(documents), count_rows(files), grouped | measured.result())


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


@task(task_run_name="sign shard {number}", cache_policy=NO_CACHE)
def sign(
    number: int,
    documents: Path,
    tokenizer: Path,
    config: ShardConfig,
    work: Path,
    forgotten: Forgotten,
    engine: Engine,
) -> Path:
    """Write what the documents of one shard are drawn by, and their tokens for a mixture."""
    target = Workspace(work).scratch / f"signed/{number:05d}.safetensors"
    encoder = DocumentEncoder(TextEncoder.load(tokenizer), engine) if config.mixture else None
    count = (lambda texts: np.diff(encoder.encode(texts).ends) + 1) if encoder else None
    with track(f"sign shard {number}", pq.read_metadata(documents).num_rows, "documents") as bar:
        sign_shard(documents, config, target, forgotten, count, bar.advance)
    return target


@task(task_run_name="hold documents out", cache_policy=NO_CACHE)
def plan(signed: Sequence[Path], config: ShardConfig) -> tuple[list[Path], dict[str, int]]:
    """Decide which documents are held out; return a plan for each shard, and figures."""
    plans = [path.with_suffix(".plan") for path in signed]
    return plans, divide(signed, config, plans)


@task(task_run_name="tokenize shard {number} of {count}", cache_policy=NO_CACHE)
def tokenize(
    number: int,
    count: int,
    documents: Path,
    tokenizer: Path,
    config: ShardConfig,
    work: Path,
    plan: Path,
    engine: Engine = "tokenizers",
) -> list[Path]:
    """Tokenize and pack one shard; returns a file for each side."""
    sides = SPLITS if config.test_share else SPLITS[:2]
    paths = ShardPaths(*(shard_name(side, number - 1, count) for side in sides))
    workspace, planned = Workspace(work), Plan.read(plan)
    with track(f"tokenize shard {number} of {count}", planned.rows.size, "documents") as bar:
        encoder = TextEncoder.load(tokenizer)
        shard_documents(documents, encoder, config, workspace, paths, planned, bar.advance, engine)
    return [workspace.data / path for path in paths.all]


@task(task_run_name="measure baselines", cache_policy=NO_CACHE)
def baselines(
    documents: Sequence[Path],
    shards: Sequence[Sequence[Path]],
    plans: Sequence[Path],
    tokenizer: Path,
    config: ShardConfig,
) -> dict[str, Any]:
    """What unigram counts and xz make of the held-out documents, how much of these stands in what
    is trained on, and what that is made of."""
    train, validation, *_ = zip(*shards, strict=True)
    vocab_size = load_tokenizer(tokenizer).get_vocab_size()
    found = asdict(measure_baselines(documents, train, validation, plans, config, vocab_size))
    with track("compare with training", len(documents), "shards") as bar:
        found |= measure_overlap(documents, plans, bar.advance)
    return found | count_composition(documents, train, config.mixture)
