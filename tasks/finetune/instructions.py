"""Instruction pairs: collected from documents, split by name, turned into padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import xxhash
from torch import Tensor

from storage.errors import NothingLeft
from storage.parquet import read_tables, write_rows
from storage.records import PAIR, STEP
from storage.workspace import Workspace
from tasks.finetune.config import FinetuneConfig
from tasks.lm.sequences import IGNORED
from tasks.lm.tokens import TextEncoder

Pair = Mapping[str, str]
TRAIN, VALIDATION = "pairs/train.parquet", "pairs/validation.parquet"
STEPS = "pairs/steps.parquet"


def write_pairs(documents: Sequence[Path], config: FinetuneConfig, workspace: Workspace) -> None:
    """Build the pairs, split them by name, write both sides as Parquet.

    Raises NothingLeft if a side has no pair.
    """
    if workspace.entry(TRAIN) and workspace.entry(VALIDATION):
        return
    rows = (row for table in read_tables(documents) for row in table.to_pylist())
    pairs = _unique(rows, config)
    sides: dict[str, list[Pair]] = {TRAIN: [], VALIDATION: []}
    for pair in pairs:
        sides[VALIDATION if _is_held_out(pair["name"], config) else TRAIN].append(pair)
    for path, side in sides.items():
        if not side:
            raise NothingLeft(
                f"{len(pairs)} instruction pairs leave none for {path}; expected at least one on "
                f"each side of finetune.held_out_share={config.held_out_share}. Check that "
                f"finetune.pairs ({config.pairs.kind}) fits the documents, or change the share."
            )
    for path, side in sides.items():
        write_rows(workspace, path, side, PAIR)


def _unique(documents: Iterator[Mapping[str, Any]], config: FinetuneConfig) -> list[Pair]:
    """One pair for each name and for each answer, public names first, sorted by name."""
    found = [pair for document in documents for pair in config.pairs.build(document)]
    found.sort(key=lambda pair: (_is_private(pair["name"]), pair["name"], pair["answer"]))
    names: set[str] = set()
    answers: set[str] = set()
    kept: list[Pair] = []
    for pair in found:
        if pair["name"] not in names and pair["answer"] not in answers:
            names.add(pair["name"])
            answers.add(pair["answer"])
            kept.append(pair)
    return sorted(kept, key=lambda pair: pair["name"])


def _is_private(name: str) -> bool:
    return name.startswith("_") or "._" in name


def _is_held_out(name: str, config: FinetuneConfig) -> bool:
    return xxhash.xxh3_64_intdigest(name.encode()) / 2**64 < config.held_out_share


@dataclass(frozen=True)
class Example:
    """A conversation as ids, of which those that are `learnt` are the assistant's, and its pair."""

    ids: list[int]
    learnt: list[bool]
    name: str = ""
    document_id: str = ""


def encode_pairs(pairs: Sequence[Pair], encoder: TextEncoder, context: int) -> list[Example]:
    """Write pairs as conversations; an exchange longer than the model's context + 1 is left out."""
    examples = []
    for pair in pairs:
        turns = (("user", pair["prompt"]), ("assistant", pair["answer"]))
        said = encoder.converse([{"role": role, "content": text} for role, text in turns])
        if len(said.ids) <= context + 1:
            examples.append(Example(said.ids, said.learnt, pair["name"], pair["document_id"]))
    return examples


def collate(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Give right-padded inputs and targets (B, T); only what is learnt is a target.

    What stands behind a conversation is seen by none of its tokens and is no target: any id does.
    """
    width = max(len(example.ids) for example in examples) - 1
    ids = torch.zeros((len(examples), width), dtype=torch.long)
    targets = torch.full((len(examples), width), IGNORED)
    for row, example in enumerate(examples):
        last = len(example.ids) - 1
        ids[row, :last] = torch.tensor(example.ids[:-1])
        learnt = torch.tensor(example.learnt[1:])
        targets[row, :last] = torch.tensor(example.ids[1:]).where(learnt, IGNORED)
    return ids, targets


def plan_batches(examples: Sequence[Example], config: FinetuneConfig) -> list[list[int]]:
    """Indices of the examples of every step of all epochs: a pure function of its arguments.

    Examples of similar length go together, up to `batch_tokens` padded tokens, in shuffled order.
    """
    lengths = np.array([len(example.ids) for example in examples])
    plan: list[list[int]] = []
    for epoch in range(config.epochs):
        random = np.random.default_rng((config.seed, epoch))
        batches: list[list[int]] = [[]]
        longest = 0
        for index in np.argsort(lengths + random.uniform(0, 4, len(lengths)), kind="stable"):
            longest = max(longest, lengths[index])  # the jitter lets shorter ones follow longer
            if batches[-1] and (len(batches[-1]) + 1) * longest > config.batch_tokens:
                batches.append([])
                longest = lengths[index]
            batches[-1].append(int(index))
        plan += [batches[i] for i in random.permutation(len(batches))]
    return plan


def tabulate_steps(examples: Sequence[Example], plan: Sequence[Sequence[int]]) -> pa.Table:
    """Which step of the plan learns from which pair, as rows of records.STEP."""
    rows = [
        {"step": step, "name": examples[index].name, "document_id": examples[index].document_id}
        for step, batch in enumerate(plan, start=1)
        for index in batch
    ]
    rows.sort(key=lambda row: (row["step"], row["name"]))
    return pa.Table.from_pylist(rows, schema=STEP)
