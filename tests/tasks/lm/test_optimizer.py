"""Muon, the groups and the schedule."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import Muon

from tasks.lm.config import OptimizerConfig, rate_factor
from tasks.lm.device import has_cpu_bf16
from tasks.lm.models import Llama, Qwen3
from tasks.lm.models.decoder import Decoder
from tasks.lm.models.shape import DecoderShape
from tasks.lm.optimizer import Fp32Muon, build_optimizers, set_rates

SHARE = st.floats(0, 1)


def test_matrices_go_to_muon_with_rates_scaled_by_shape() -> None:
    model = nn.Linear(16, 64, bias=False)
    nn.init.ones_(model.weight)
    config = OptimizerConfig(matrix_lr=0.1, momentum=0.0, weight_decay=0.5)
    muon = build_optimizers(nn.ModuleDict({"layer": model, "gain": nn.LayerNorm(4)}), config)[1]
    model.weight.grad = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    muon.step()
    update = (0.95 - model.weight.detach()) / 0.1  # 1 - 0.1 * 0.5 of each weight is left
    values = torch.linalg.svdvals(update)
    assert 2 * 0.6 < values.min() < values.max() < 2 * 1.3  # sqrt(64 / 16) = 2


def test_in_fp32_it_is_torchs_own_muon() -> None:
    def trained(kind: type[Muon]) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
        noise = torch.Generator().manual_seed(1)
        shapes = [(16, 64), (64, 16), (32, 32)]
        matrices = [nn.Parameter(torch.randn(s, generator=noise)) for s in shapes]
        muon = kind(matrices, lr=0.05, weight_decay=0.1, adjust_lr_fn="original")
        for _ in range(3):
            for matrix in matrices:
                matrix.grad = torch.randn(matrix.shape, generator=noise)
            muon.step()
        return [m.detach() for m in matrices], list(muon.state_dict()["state"].values())

    (theirs, their_state), (ours, our_state) = trained(Muon), trained(Fp32Muon)
    for one, other in zip(theirs, ours, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.01)  # theirs has 8 bits
    for before, after in zip(their_state, our_state, strict=True):  # so a checkpoint fits both
        torch.testing.assert_close(before, after)


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_is_left_to_machines_that_have_it(
    monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr("tasks.lm.optimizer.has_cpu_bf16", lambda: fast)
    model = nn.ModuleDict({"layer": nn.Linear(4, 4, bias=False), "gain": nn.LayerNorm(4)})
    assert type(build_optimizers(model, OptimizerConfig())[1]) is (Muon if fast else Fp32Muon)


@given(warmup=SHARE, cooldown=SHARE, num_steps=st.integers(1, 10_000), data=st.data())
def test_rates_never_leave_their_range(
    warmup: float, cooldown: float, num_steps: int, data: st.DataObject
) -> None:
    step = data.draw(st.integers(1, num_steps))
    factor = rate_factor(step, num_steps, warmup, cooldown)
    assert 0 < factor <= 1
    done = step / (num_steps + 1)
    if step < num_steps:
        after = rate_factor(step + 1, num_steps, warmup, cooldown)
        if step + 1 <= warmup * (num_steps + 1) and done < 1 - cooldown:
            assert after >= factor
        if done >= warmup:
            assert after <= factor  # never up again


def test_rates_at_the_edges() -> None:
    factors = [rate_factor(step, 9, 0.2, 0.5) for step in range(1, 10)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert {rate_factor(step, 9, 0, 0) for step in range(1, 10)} == {1.0}
    assert rate_factor(5, 9, 1, 1) == 0.5
    assert rate_factor(9, 9, 1, 1) == pytest.approx(0.1)  # cools down where both would hold


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("member", [Llama, Qwen3])
def test_every_parameter_has_one_optimizer(
    make_model: Callable[..., Decoder], member: type[DecoderShape], tied: bool
) -> None:
    model = make_model(member, tie_embeddings=tied)
    named = "Muon" if has_cpu_bf16() else "Fp32Muon"
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
        "model.layers.0.mlp.down_proj.weight": (named, config.matrix_lr, 0.1),
        "model.layers.1.self_attn.k_proj.weight": (named, config.matrix_lr, 0.1),
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
