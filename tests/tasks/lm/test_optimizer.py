"""Muon, the groups and the schedule."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.lm.config import OptimizerConfig, rate_factor
from tasks.lm.models import Llama, Qwen3
from tasks.lm.models.decoder import Decoder
from tasks.lm.models.shape import DecoderShape
from tasks.lm.optimizer import Muon, build_optimizers, orthogonalize, set_rates

SHARE = st.floats(0, 1)


@pytest.mark.parametrize(("rows", "columns"), [(64, 16), (16, 64), (128, 32), (8, 100)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_singular_values_become_one(rows: int, columns: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(rows)
    stack = scale * torch.randn(3, rows, columns, generator=generator)
    made = orthogonalize(stack)
    assert made.shape == stack.shape
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.6
    assert values.max() < 1.3
    u, _, v = torch.linalg.svd(stack, full_matrices=False)
    nearest = u @ v  # the direction is that of the polar factor
    agreement = (made * nearest).sum((1, 2)) / (made.norm(dim=(1, 2)) * nearest.norm(dim=(1, 2)))
    assert agreement.min() > 0.95


def test_no_gradient_gives_no_update() -> None:
    assert not orthogonalize(torch.zeros(2, 8, 4)).any()


def test_a_stack_is_stepped_like_its_matrices() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(12, 6, generator=generator) for _ in range(3)]
    grads = [torch.randn(12, 6, generator=generator) for _ in range(3)]

    def stepped(groups: list[list[int]]) -> list[torch.Tensor]:
        made = [w.clone() for w in weights]
        for group in groups:
            for index in group:
                made[index].grad = grads[index].clone()
            Muon([made[i] for i in group], lr=0.1, momentum=0.9, weight_decay=0.1).step()
        return made

    together, alone = stepped([[0, 1, 2]]), stepped([[0], [1], [2]])
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, atol=1e-2, rtol=0)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="needs torch 2.9's own Muon")
@pytest.mark.parametrize("size", [(24, 8), (8, 24)])
def test_muon_walks_like_torchs(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(size, generator=generator)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    knobs = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}
    mine = Muon([ours], **knobs)
    peer = torch.optim.Muon([theirs], **knobs, adjust_lr_fn="original")
    for _ in range(8):
        grad = torch.randn(size, generator=generator)
        ours.grad, theirs.grad = grad.clone(), grad.clone()
        mine.step()
        peer.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved


def test_muon_minimises_a_quadratic() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(24, 8, generator=generator)
    weight = torch.zeros(24, 8, requires_grad=True)
    muon = Muon([weight], lr=0.2, momentum=0.9, weight_decay=0.0)
    losses = []
    for step in range(120):
        muon.param_groups[0]["lr"] = 0.2 * (1 - step / 120)
        muon.zero_grad()
        loss = (weight - target).square().sum()
        loss.backward()
        muon.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]


def test_muon_scales_tall_updates_and_decays_weights() -> None:
    weight = torch.ones(64, 16)
    weight.grad = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    Muon([weight], lr=0.1, momentum=0.0, weight_decay=0.5).step()
    update = (0.95 - weight) / 0.1  # 1 - 0.1 * 0.5 of each weight is left
    values = torch.linalg.svdvals(update)
    assert 2 * 0.6 < values.min() < values.max() < 2 * 1.3  # sqrt(64 / 16) = 2


@given(warmup=SHARE, cooldown=SHARE, num_steps=st.integers(1, 10_000), data=st.data())
def test_rates_never_leave_their_range(
    warmup: float, cooldown: float, num_steps: int, data: st.DataObject
) -> None:
    config = OptimizerConfig(warmup=warmup, cooldown=cooldown)
    step = data.draw(st.integers(1, num_steps))
    factor = config.rate_factor(step, num_steps)
    assert 0 < factor <= 1
    assert factor == rate_factor(step, num_steps, warmup, cooldown)
    done = step / (num_steps + 1)
    if step < num_steps:
        after = config.rate_factor(step + 1, num_steps)
        if step + 1 <= warmup * (num_steps + 1) and done < 1 - cooldown:
            assert after >= factor
        if done >= warmup:
            assert after <= factor  # never up again


def test_rates_at_the_edges() -> None:
    config = OptimizerConfig(warmup=0.2, cooldown=0.5)
    factors = [config.rate_factor(step, 9) for step in range(1, 10)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    flat = OptimizerConfig(warmup=0, cooldown=0)
    assert {flat.rate_factor(step, 9) for step in range(1, 10)} == {1.0}
    triangle = OptimizerConfig(warmup=1, cooldown=1)
    assert triangle.rate_factor(5, 9) == 0.5
    assert triangle.rate_factor(9, 9) == pytest.approx(0.1)  # cools down where both would hold


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("member", [Llama, Qwen3])
def test_every_parameter_has_one_optimizer(
    make_model: Callable[..., Decoder], member: type[DecoderShape], tied: bool
) -> None:
    model = make_model(member, tie_embeddings=tied)
    config = OptimizerConfig(weight_decay=0.1)
    adamw, muon = build_optimizers(model, config)
    covered = [p for o in (adamw, muon) for group in o.param_groups for p in group["params"]]
    assert len(covered) == len({id(p) for p in covered})
    assert {id(p) for p in covered} == {id(p) for p in model.parameters()}

    rates = {
        id(p): (type(o).__name__, group["lr"], group["weight_decay"])
        for o in (adamw, muon)
        for group in o.param_groups
        for p in group["params"]
    }
    wanted = {
        "model.embed_tokens.weight": ("AdamW", config.embedding_lr, 0.1),
        "model.layers.0.mlp.down_proj.weight": ("Muon", config.matrix_lr, 0.1),
        "model.layers.1.self_attn.k_proj.weight": ("Muon", config.matrix_lr, 0.1),
        "model.layers.1.input_layernorm.weight": ("AdamW", config.gain_lr, 0.0),
        "model.norm.weight": ("AdamW", config.gain_lr, 0.0),
    }
    if not tied:
        wanted["lm_head.weight"] = ("AdamW", config.head_lr, 0.1)
    if member is Qwen3:
        wanted["model.layers.0.self_attn.q_norm.weight"] = ("AdamW", config.gain_lr, 0.0)
    parameters = dict(model.named_parameters())
    assert {name: rates[id(parameters[name])] for name in wanted} == wanted


def test_set_rates_scales_the_peaks(make_model: Callable[..., Decoder]) -> None:
    optimizers = build_optimizers(make_model(), OptimizerConfig())
    for factor in (0.5, 0.25, 1.0):  # always of the peak, never of the last rate
        set_rates(optimizers, factor)
        rates = {group["lr"] for o in optimizers for group in o.param_groups}
        peaks = {group["peak_lr"] for o in optimizers for group in o.param_groups}
        assert rates == {peak * factor for peak in peaks}
