"""Rows of an embedding for the entries that a tokenizer was extended by."""

from __future__ import annotations

import json

import torch
from tokenizers import Tokenizer
from torch import Tensor

from tasks.lm.tokens import merges_of


def grow_embeddings(weight: Tensor, tokenizer: Tokenizer, num_old: int) -> Tensor:
    """Give an embedding or head (rows, width) a row for each entry of an extended tokenizer.

    The first `num_old` rows stay as they are. An entry from there on gets the mean of the rows of
    the old entries that it is made of, so that a model begins where it read its pieces; one that is
    made of none, such as a new control token, gets the mean of all. Rows beyond `num_old` that
    `weight` has, as models have whose vocabulary is rounded up, are written over.
    """
    size = tokenizer.get_vocab_size()
    grown = weight.new_empty((max(size, len(weight)), weight.shape[1]))
    grown[: len(weight)] = weight
    for at, pieces in old_pieces(tokenizer, num_old).items():
        grown[at] = (weight[torch.tensor(pieces)] if pieces else weight[:num_old]).mean(0)
    return grown


def old_pieces(tokenizer: Tokenizer, num_old: int) -> dict[int, list[int]]:
    """Give for each id from `num_old` on the ids below that its text was before."""
    ids = tokenizer.get_vocab()
    parts: dict[str, tuple[str, str]] = {}
    for a, b in merges_of(json.loads(tokenizer.to_str())["model"]):
        parts.setdefault(a + b, (a, b))

    def spell(entry: str) -> list[int]:
        if ids[entry] < num_old:
            return [ids[entry]]
        if entry in parts:
            return [one for half in parts[entry] for one in spell(half)]
        as_bytes = [f"<0x{byte:02X}>" for byte in entry.encode()] if len(entry) == 1 else []
        return [ids[byte] for byte in as_bytes if byte in ids]

    return {at: spell(entry) for entry, at in ids.items() if at >= num_old}
