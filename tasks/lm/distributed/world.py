"""What the processes that share one training do together. One alone does nothing extra here."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

STOP_WITHIN_S = 10.0
"""From the wish to stop to the end by force; a step and a checkpoint have to fit."""
_BUCKET_ELEMENTS = 16 << 20
"""64 MiB of float32: large enough for the wire, small beside the gradients themselves."""


class World:
    """One process among `size` that hold the same weights and split every batch by rows.

    All of them take the same steps: each adds its part of the loss and of the gradients, and all go
    on from the sums, so that the update is that of one device with the whole batch. Not torch's
    DistributedDataParallel: it averages over ranks, where a mean over tokens has to be weighted by
    each rank's number of them, and it wants to own `forward`.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: str = "cpu") -> None:
        self.rank, self.size, self._device = rank, size, device
        self._asked = threading.Event()
        self.stopping = False
        """Agreed on by all ranks, at the same `sum`."""

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This rank's part of `count` rows; empty if there are fewer rows than ranks."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def ask_to_stop(self) -> None:
        """Have all ranks stop after the same step: the next one that they add up. From any thread.

        The ranks hear of it at different moments; whoever raised at once would leave the others
        waiting in a sum that never comes.
        """
        self._asked.set()

    def sum(self, value: float) -> float:
        """The sum over all ranks, the same on all of them; a wish to stop travels with it."""
        if self.size == 1:
            return value
        packed = torch.tensor(
            [value, float(self._asked.is_set())], dtype=torch.float64, device=self._device
        )
        dist.all_reduce(packed)
        total, wishes = packed.tolist()
        self.stopping = wishes > 0
        return float(total)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the ranks; a rank without rows adds zeros."""
        if self.size == 1:
            return
        for bucket in _buckets(_gradients(parameters)):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            dist.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


ALONE = World()


def _gradients(parameters: Iterable[nn.Parameter]) -> Iterator[Tensor]:
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            yield parameter.grad


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients in order, in groups of about `_BUCKET_ELEMENTS`."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        bucket.append(gradient)
        if sum(g.numel() for g in bucket) >= _BUCKET_ELEMENTS:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
