"""How tokenizer training is placed: one task (the merges need all counts)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.workspace import Workspace
from tasks.progress import Bar, track
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.train import document_texts, save_tokenizer, train_tokenizer


@task(task_run_name="train BPE of {config.vocab_size} entries", cache_policy=NO_CACHE)
def train_bpe(documents: Sequence[Path], config: TokenizerConfig, work: Path) -> dict[str, int]:
    """Train and save the tokenizer; returns the documents and bytes it was trained on."""
    total = sum(pq.read_metadata(path).num_rows for path in documents)
    seen = {"documents": 0, "text_bytes": 0}
    with track("train tokenizer", total, "documents") as bar:
        tokenizer = train_tokenizer(_counted(documents, seen, bar), config)
    with Workspace(work).writing_folder("") as folder:
        save_tokenizer(tokenizer, folder)
    return seen


def _counted(documents: Sequence[Path], seen: dict[str, int], bar: Bar) -> Iterator[str]:
    for text in document_texts(documents):
        seen["documents"] += 1
        seen["text_bytes"] += len(text.encode())
        bar.advance()
        yield text
