"""A few lines of what a stage made: documents, tokens, a model's own words.

Taken from the beginning of the files: documents lie in the order of their ids, which are hashes, so
the first are as good a draw as any, and the same in every run. All of it may come from the web and
is fenced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow.parquet as pq

from flows.run_page.markdown import fence, number
from flows.run_page.quality import scored_samples
from storage.manifest import Manifest
from storage.store import Store

_DOCUMENTS = 3
_CHARACTERS = 300
_TOKENS = 96
_ANSWER_TOKENS = 48
_ANSWERS_WITHIN_S = 20.0  # no more prompts after it: a large model on a CPU takes a second a token

Sampled = Callable[[Store, Manifest, Sequence[str]], str]


def samples(store: Store, manifest: Manifest, prompts: Sequence[str]) -> str:
    """Markdown with samples of what the stage made; empty if it makes nothing to read."""
    sampled = _SAMPLED.get(manifest.name)
    return sampled(store, manifest, prompts) if sampled else ""


def first_rows(
    store: Store, manifest: Manifest, prefix: str, columns: Sequence[str], count: int
) -> list[dict[str, Any]]:
    """The first rows of the first file under `prefix` that has any.

    One file is fetched from a remote store, and of it one batch is decoded.
    """
    entry = next((e for e in manifest.files if e.path.startswith(prefix) and e.rows), None)
    if entry is None:
        return []
    (path,) = store.files(manifest, entry.path)
    with pq.ParquetFile(path, buffer_size=1 << 16) as file:
        batch = next(file.iter_batches(batch_size=count, columns=list(columns)))
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def _documents(store: Store, manifest: Manifest, prompts: Sequence[str]) -> str:
    columns = ("url", "title", "text", "language", "num_words")
    blocks = []
    for row in first_rows(store, manifest, "documents/", columns, _DOCUMENTS):
        head = "\n".join(line for line in (row["url"], row["title"]) if line)
        words = f"{number(row['num_words'])} words, {row['language']}"
        blocks.append(fence(f"{head}\n{words}\n\n{_beginning(row['text'])}"))
    return "\n\n".join(blocks)


def _beginning(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS].rstrip()} …"


def _split_words(store: Store, manifest: Manifest, prompts: Sequence[str]) -> str:
    from tasks.lm.tokens import load_tokenizer

    documents = store.manifest("dedup", manifest.inputs["dedup"].version)
    tokenizer = load_tokenizer(store.folder(manifest))
    rows = first_rows(store, documents, "documents/", ["text"], 1)
    text = rows[0]["text"][:_CHARACTERS] if rows else ""
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    split = "|".join(text[start:end] for start, end in offsets)
    return f"Bars stand between tokens:\n\n{fence(split)}"


def _decoded(store: Store, manifest: Manifest, prompts: Sequence[str]) -> str:
    from tasks.lm.tokens import load_tokenizer

    made_with = store.manifest("tokenizer", manifest.inputs["tokenizer"].version)
    tokenizer = load_tokenizer(store.folder(made_with))
    rows = first_rows(store, manifest, "train/", ["input_ids"], 1)
    ids = rows[0]["input_ids"][:_TOKENS] if rows else []
    text = tokenizer.decode(ids, skip_special_tokens=False)
    return f"The first {len(ids)} tokens of the first sequence:\n\n{fence(text)}"


def _continued(store: Store, manifest: Manifest, prompts: Sequence[str]) -> str:
    if not prompts:
        return ""
    from tasks.lm.generate import Sampler, Sampling  # torch is there already: it has just trained

    # At temperature 0 a base model repeats itself.
    model, sampling = Sampler(store.folder(manifest)), Sampling(_ANSWER_TOKENS, temperature=0.7)
    return _said(prompts, lambda prompt: prompt + model.continue_text(prompt, sampling))


def _answered(store: Store, manifest: Manifest, prompts: Sequence[str]) -> str:
    if not prompts:
        return ""
    from tasks.lm.generate import Sampler, Sampling

    model = Sampler(_merged(store, manifest))
    return _said(prompts, lambda p: f"{p}\n\n{model.answer(p, Sampling(_ANSWER_TOKENS)).strip()}")


def _merged(store: Store, manifest: Manifest) -> Path:
    return store.folder(manifest, "merged/") / "merged"


def _said(prompts: Sequence[str], say: Callable[[str], str]) -> str:
    return "\n\n".join(_in_time(prompts, say))


def _in_time(prompts: Sequence[str], say: Callable[[str], str]) -> Iterator[str]:
    began = monotonic()
    for done, prompt in enumerate(prompts):
        if monotonic() - began > _ANSWERS_WITHIN_S:
            yield f"{len(prompts) - done} more prompts would have taken too long here."
            return
        yield fence(say(prompt))


_SAMPLED: Mapping[str, Sampled] = {
    "clean": _documents,
    "quality": scored_samples,
    "dedup": _documents,
    "tokenizer": _split_words,
    "shard": _decoded,
    "pretrain": _continued,
    "finetune": _answered,
}
