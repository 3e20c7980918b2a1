"""Bits per byte: a loss that does not depend on the tokenizer."""

from __future__ import annotations

import math

import torch

from tasks.lm.device import Compute
from tasks.lm.distributed.world import ALONE, World
from tasks.lm.models.decoder import Decoder
from tasks.lm.sequences import Sequences
from tasks.progress import track


@torch.no_grad()
def bits_per_byte(
    model: Decoder,
    sequences: Sequences,
    num_bytes: int,
    compute: Compute,
    batch_size: int = 16,
    world: World = ALONE,
) -> float:
    """Bits that the model needs for all of `sequences` (ends of documents too) per byte of text.

    Each sequence is read from its first token on, so the context is at most its length. Ranks read
    `batch_size` sequences each at a time.
    """
    nats = 0.0
    with track("evaluate", len(sequences), "sequences") as bar:
        for ids, targets in sequences.in_order(batch_size * world.size):
            mine = world.share(len(ids))
            loss = 0.0
            if len(ids[mine]):
                own, wanted = ids[mine].to(compute.device), targets[mine].to(compute.device)
                loss = model.summed_loss(own, wanted, compute.dtype).item()
            nats += world.sum(loss)
            bar.advance(len(ids))
    return nats / math.log(2) / num_bytes
