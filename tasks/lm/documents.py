"""Which positions of a batch of rows are of one document, for attention that stays within it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor

# Rows up to so long are attended to in one call, under a mask: 1.03 to 1.10 of attention without
# (fp32, 8 x 256), whatever the documents; chunks take 0.86 to 1.11, and many calls.
_SHORT_ROWS = 256
# In longer rows, documents of up to so many positions together are attended to under one mask.
# 128 was better than 256 and 512 at all lengths of documents (median 20 to 1 500 tokens).
_TOGETHER = 128


@dataclass(frozen=True)
class Chunk:
    """Some rows of `length` positions each, of which no other position sees any.

    Their attention is causal, or under `mask` (rows, 1, length, length), True where a query may
    see a key.
    """

    rows: int
    length: int
    mask: Tensor | None


@dataclass(frozen=True)
class Documents:
    """Where documents begin in the rows of a batch (B, T), as True in `begins`."""

    begins: Tensor

    @classmethod
    def of(cls, ids: Tensor, targets: Tensor, end_of_text: int) -> Documents:
        """Find them: at the begin of each row, and at each end of text, which no text contains.

        What has no target predicts nothing, and so begins nothing: rows are padded with it.
        """
        begins = (ids == end_of_text) & (targets >= 0)
        begins[:, 0] = True
        return cls(begins)

    @cached_property
    def first(self) -> Tensor:
        """The position (B, T) at which the document of each position begins."""
        place = torch.arange(self.begins.shape[1], device=self.begins.device)
        return torch.where(self.begins, place, 0).cummax(1).values

    @cached_property
    def positions(self) -> Tensor:
        """The places (B, T) of all positions in their documents."""
        return torch.arange(self.begins.shape[1], device=self.begins.device) - self.first

    @cached_property
    def ends(self) -> Tensor:
        """The cumulative lengths of all documents, row after row, from 0 on, as int32."""
        starts = self.begins.flatten().nonzero().flatten()
        total = starts.new_tensor([self.begins.numel()])
        return torch.cat((starts, total)).to(torch.int32)

    @cached_property
    def mask(self) -> Tensor:
        """Which keys a query may see, as True in (B, 1, T, T)."""
        place = torch.arange(self.begins.shape[1], device=self.begins.device)
        earlier = place <= place[:, None]
        return (earlier & (place >= self.first[..., None]))[:, None]

    @cached_property
    def chunks(self) -> list[Chunk]:
        """Cut the rows, one after the other, into chunks that need few and small calls."""
        rows, length = self.begins.shape
        if length <= _SHORT_ROWS:
            return [Chunk(rows, length, self.mask if self.begins[:, 1:].any() else None)]
        groups = list(self._groups())
        kinds = groupby(groups, key=lambda lengths: (sum(lengths), len(lengths) > 1))
        return [_chunk(size, masked, list(alike)) for (size, masked), alike in kinds]

    def _groups(self) -> Iterator[list[int]]:
        """Give the lengths of documents that are attended to at once."""
        lengths = self.ends.diff().tolist()
        group: list[int] = []
        left = self.begins.shape[1]
        for length in lengths:
            if group and sum(group) + length > _TOGETHER:
                yield group
                group = []
            group.append(length)
            left -= length
            if not left:
                yield group
                group, left = [], self.begins.shape[1]


def _chunk(length: int, masked: bool, rows: list[list[int]]) -> Chunk:
    if not masked:
        return Chunk(len(rows), length, None)
    begins = torch.zeros(len(rows), length, dtype=torch.bool)
    for row, lengths in zip(begins, rows, strict=True):
        row[torch.tensor([0, *lengths[:-1]]).cumsum(0)] = True
    return Chunk(len(rows), length, Documents(begins).mask)
