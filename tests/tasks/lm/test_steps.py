"""A step is the same step however it is taken: in parts, by ranks, with layers computed again."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

from tasks.lm.distributed.world import World
from tasks.lm.loop import Batch, LossScale, save_activations, take_step
from tasks.lm.models import Qwen3
from tasks.lm.models.decoder import Decoder
from tasks.pretrain.train import batch_of

LENGTHS = (12, 1, 7, 12, 3, 0, 12, 5, 2, 9, 12)
"""Targets of each row: eleven rows, so that no share of them is like another."""


def _batch(model: Decoder, dtype: torch.dtype = torch.float32) -> Batch:
    ids = torch.randint(280, (len(LENGTHS), 13), generator=torch.Generator().manual_seed(0))
    targets = ids[:, 1:].clone()
    for row, length in zip(targets, LENGTHS, strict=True):
        row[length:] = -100
    return batch_of(model, ids[:, :-1], targets, dtype)


class _Together:
    """Ranks as threads: each sum waits for all of them, as a process group's does."""

    def __init__(self, size: int) -> None:
        self.size, self.values = size, [torch.zeros(0)] * size
        self.barrier = threading.Barrier(size)

    def add_up(self, rank: int, value: torch.Tensor) -> torch.Tensor:
        self.values[rank] = value
        self.barrier.wait()
        total = torch.stack(self.values).sum(0)
        self.barrier.wait()
        return total


class _Rank(World):
    def __init__(self, rank: int, together: _Together) -> None:
        super().__init__(rank, together.size)
        self.together = together

    def sum(self, value: float) -> float:
        return float(self.together.add_up(self.rank, torch.tensor(value, dtype=torch.float64)))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = self.together.add_up(self.rank, own)


def _stepped(
    make_model: Callable[..., Decoder], num_ranks: int, **knobs: Any
) -> list[tuple[Decoder, float, float]]:
    """Of each rank the model after a step of plain descent, the loss and the gradient's norm."""
    together = _Together(num_ranks)
    models = [make_model() for _ in range(num_ranks)]
    found: dict[int, tuple[float, float]] = {}

    def step(rank: int) -> None:
        model = models[rank]
        sgd = [torch.optim.SGD(model.parameters(), lr=0.1)]
        found[rank] = take_step(_batch(model), model, sgd, _Rank(rank, together), **knobs)

    threads = [threading.Thread(target=step, args=(rank,)) for rank in range(num_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return [(models[rank], *found[rank]) for rank in range(num_ranks)]


@pytest.mark.parametrize("num_ranks", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 2, 4, 8, 100])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_parts_and_ranks_change_nothing(
    make_model: Callable[..., Decoder], accumulate: int, num_ranks: int, clip: float | None
) -> None:
    ((whole, loss, norm),) = _stepped(make_model, 1, clip=clip)
    before = nn.utils.parameters_to_vector(make_model().parameters())
    moved = nn.utils.parameters_to_vector(whole.parameters()) - before
    assert moved.norm().item() / 0.1 == pytest.approx(clip or norm, rel=1e-3)
    ranks = _stepped(make_model, num_ranks, accumulate=accumulate, clip=clip)
    for model, own_loss, own_norm in ranks:
        assert own_loss == pytest.approx(loss, rel=1e-5)
        assert own_norm == pytest.approx(norm, rel=1e-5)
        for name, weight in whole.state_dict().items():
            torch.testing.assert_close(model.state_dict()[name], weight, atol=1e-5, rtol=1e-5)


def test_the_loss_is_the_mean_over_all_targets(make_model: Callable[..., Decoder]) -> None:
    model = make_model()
    batch = _batch(model)
    assert batch.targets(slice(None)) == sum(LENGTHS)
    with torch.no_grad():
        expected = batch.loss(slice(None)).item() / sum(LENGTHS)
    ((_, loss, _),) = _stepped(make_model, 1, accumulate=3)
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scale", [None, LossScale(2.0**10)])
def test_a_gradient_that_is_no_number_changes_nothing(
    make_model: Callable[..., Decoder], scale: LossScale | None
) -> None:
    model = make_model()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    good = _batch(model)

    def poisoned(rows: slice) -> torch.Tensor:
        return good.loss(rows) + (model.model.norm.weight * 0).sqrt().sum()  # a slope of 0 / 0

    batch = Batch(good.num_rows, good.num_tokens, good.targets, poisoned)
    loss, norm = take_step(batch, model, [torch.optim.SGD(model.parameters(), lr=0.1)], scale=scale)
    assert math.isfinite(loss)
    assert norm == 0 if scale else math.isnan(norm)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert scale is None or scale.state == (2.0**9, 0)


def test_a_scaled_loss_gives_the_gradient_of_the_loss(make_model: Callable[..., Decoder]) -> None:
    ((plain, loss, norm),) = _stepped(make_model, 1, clip=0.05)
    scale = LossScale(2.0**12)
    ((scaled, own_loss, own_norm),) = _stepped(make_model, 1, clip=0.05, scale=scale)
    assert (own_loss, own_norm) == pytest.approx((loss, norm), rel=1e-6)
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(scaled.state_dict()[name], weight, atol=1e-6, rtol=1e-5)
    for _ in range(1998):
        scale.update(1.0)
    assert scale.state == (2.0**12, 1999)
    assert LossScale(*scale.state).state == scale.state
    scale.update(1.0)
    assert scale.state == (2.0**13, 0)


def test_half_precision_learns(make_model: Callable[..., Decoder]) -> None:
    model = make_model()
    batch, scale = _batch(model, torch.float16), LossScale()
    sgd = [torch.optim.SGD(model.parameters(), lr=0.01)]
    losses = [take_step(batch, model, sgd, scale=scale)[0] for _ in range(12)]
    assert losses[-1] < losses[0]


class _Kept:
    """Bytes that a forward pass keeps for its backward pass, parameters apart."""

    def __init__(self, model: nn.Module) -> None:
        self.storages: dict[int, int] = {}
        self._own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._own:
            self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor


def _kept_and_gradients(kind: str, dtype: torch.dtype) -> tuple[int, list[torch.Tensor]]:
    shape = {"num_layers": 8, "hidden_size": 32, "intermediate_size": 96, "num_heads": 2}
    model = Decoder(Qwen3.model_validate({**shape, "num_kv_heads": 2, "head_dim": 16}), 280, 64)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, float(parameter.ndim == 1), 0.1, generator=generator)
    save_activations(model, kind)
    ids = torch.randint(280, (4, 65), generator=generator)
    kept = _Kept(model)
    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        hidden = model.model(ids[:, :-1], dtype)
    loss = model.logits(hidden).float().logsumexp(-1).sum()
    loss.backward()
    # What checkpointed parts are given is kept as it is, where no hook sees it.
    given = 8 * hidden.numel() * hidden.element_size() if kind != "none" else 0
    kept_bytes = sum(kept.storages.values()) + given
    return kept_bytes, [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activation_checkpointing_keeps_less_and_gives_the_same(dtype: torch.dtype) -> None:
    everything, gradients = _kept_and_gradients("none", dtype)
    for kind, share in (("selective", 0.75), ("full", 0.5)):
        kept, same = _kept_and_gradients(kind, dtype)
        assert kept <= share * everything, (kind, kept / everything)
        assert all(torch.equal(a, b) for a, b in zip(gradients, same, strict=True)), kind
