"""How tokenizer training is placed: one task (the merges need all counts)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.workspace import Workspace
from tasks.artifacts.tokenizer import REPORT
from tasks.lm.vocabulary import draw_sample
from tasks.progress import Bar, note, track
from tasks.stage import Job, Outcome
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.report import make_report, stats_of
from tasks.tokenizer.train import (
    bytes_per_token,
    document_texts,
    save_tokenizer,
    train_tokenizer,
)

_SAMPLE_BYTES = 1 << 20  # half a second to encode


def build(job: Job) -> Outcome:
    """Train on all documents at once, or take a tokenizer that is there."""
    documents = job.files("documents", "documents/")
    if job.config.base:
        seen = take.submit(documents, job.config, job.work).result()
        return Outcome(seen.pop("documents"), seen.pop("entries"), seen)
    seen = train.submit(documents, job.config, job.work).result()
    return Outcome(seen.pop("documents"), job.config.vocab_size, seen)


@task(task_run_name="train {config.kind} of {config.vocab_size} entries", cache_policy=NO_CACHE)
def train(documents: Sequence[Path], config: TokenizerConfig, work: Path) -> dict[str, Any]:
    """Train and save the tokenizer; returns what it was trained on and how well it compresses."""
    total = sum(pq.read_metadata(path).num_rows for path in documents)
    workspace, sample = Workspace(work), list(_first(documents))
    with track("train tokenizer", total, "documents") as bar:
        texts = _Texts(documents, bar)
        tokenizer = train_tokenizer(texts, config, sample, workspace.scratch)
    with workspace.writing_folder("") as folder:
        save_tokenizer(tokenizer, folder)
    report = make_report(tokenizer, config, draw_sample(documents))
    # Beside the content digest: equal tokenizers of other documents are the same to what follows.
    with workspace.writing(REPORT, volatile=True) as stream:
        stream.write(json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n")
    return {
        "documents": texts.documents,
        "text_bytes": texts.text_bytes,
        "bytes_per_token": bytes_per_token(tokenizer, sample),
        **stats_of(report),
    }


@task(task_run_name="take the tokenizer of a {config.base.kind}", cache_policy=NO_CACHE)
def take(documents: Sequence[Path], config: TokenizerConfig, work: Path) -> dict[str, Any]:
    """Take a tokenizer of others, extend it if wanted, save it; returns what it was extended on
    and how well it compresses."""
    from tasks.tokenizer.given import extend_tokenizer, save_given, take_tokenizer

    assert config.base is not None
    workspace, sample = Workspace(work), list(_first(documents))
    encoder = take_tokenizer(config.base.fetch(workspace.scratch / "base"))
    measured: dict[str, Any] = {"documents": 0}
    if config.extend_by:
        measured["bytes_per_token_before"] = bytes_per_token(encoder.tokenizer, sample)
        total = sum(pq.read_metadata(path).num_rows for path in documents)
        with track("extend tokenizer", total, "documents") as bar:
            texts = _Texts(documents, bar)
            encoder = extend_tokenizer(encoder, texts, config.extend_by, config.min_frequency)
        measured |= {"documents": texts.documents, "text_bytes": texts.text_bytes}
    changed = sum(encoder.decode(encoder.encode(text)) != text for text in sample)
    note(f"tokenizer of a {config.base.kind}: {changed} of {len(sample)} documents read otherwise")
    with workspace.writing_folder("") as folder:
        save_given(encoder, folder)
    return measured | {
        "entries": encoder.tokenizer.get_vocab_size(),
        "bytes_per_token": bytes_per_token(encoder.tokenizer, sample),
    }


class _Texts:
    """The texts of all documents, as often as they are asked for; counted the first time."""

    def __init__(self, paths: Sequence[Path], bar: Bar) -> None:
        self._paths, self._bar = paths, bar
        self.documents = self.text_bytes = self._passes = 0

    def __iter__(self) -> Iterator[str]:
        self._passes += 1
        first = self._passes == 1
        for text in document_texts(self._paths):
            if first:
                self.documents += 1
                self.text_bytes += len(text.encode())
                self._bar.advance()
            yield text


def _first(documents: Sequence[Path]) -> Iterator[str]:
    """Give the first texts, a megabyte or so: their order is that of ids, which is random."""
    seen = 0
    for text in document_texts(documents):
        yield text
        seen += len(text.encode())
        if seen >= _SAMPLE_BYTES:
            return
