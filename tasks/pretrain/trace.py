"""At which steps a base model learnt from a document, from the order of the rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.lm.order import Order


@dataclass(frozen=True)
class Reading:
    """The order of a training run and its length in steps."""

    order: Order
    num_steps: int


@dataclass(frozen=True)
class LearntDocument:
    """A document that a model was trained on.

    `steps` count from 1, each once; `tokens` were predicted, each as often as its row was read.
    """

    document_id: str
    steps: tuple[int, ...]
    tokens: int


def reading(seed: int, batch_sequences: int, tokens: int, length: int, num_rows: int) -> Reading:
    """How `pretrain` reads `num_rows` sequences of `length` tokens within a budget of `tokens`."""
    num_steps = tokens // (batch_sequences * length)
    return Reading(Order(seed, batch_sequences, num_rows), num_steps)


def trace_document(
    document_id: str, row_tokens: Mapping[int, int], read: Reading
) -> LearntDocument:
    """When a document was learnt from; `row_tokens` are its tokens in each row that holds it."""
    rows = np.fromiter(row_tokens, dtype=np.int64)
    tokens = np.fromiter(row_tokens.values(), dtype=np.int64)
    steps = read.order.steps(rows, read.num_steps)
    was_read = steps >= 0
    distinct = np.unique(steps[was_read]) + 1
    return LearntDocument(document_id, tuple(distinct.tolist()), int((was_read * tokens).sum()))
