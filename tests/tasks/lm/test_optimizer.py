"""Muon, the groups and the schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import Muon

from tasks.config import from_identity, identity, kind_of
from tasks.lm import optimizer as module
from tasks.lm import optimizers
from tasks.lm.config import rate_factor
from tasks.lm.loop import take_step
from tasks.lm.models import Llama, Qwen3
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.lm.models.shape import DecoderShape
from tasks.lm.optimizer import Fp32Muon, build_optimizers, orthogonalized, set_rates
from tasks.lm.snapshot import History, Snapshots
from tasks.pretrain.config import PretrainConfig
from tasks.pretrain.train import batch_of

SHARE = st.floats(0, 1)


def test_matrices_go_to_muon_with_rates_scaled_by_shape() -> None:
    model = nn.Linear(16, 64, bias=False)
    nn.init.ones_(model.weight)
    config = optimizers.Muon(matrix_lr=0.1, momentum=0.0, weight_decay=0.5)
    both = nn.ModuleDict({"layer": model, "gain": nn.LayerNorm(4)})
    muon = build_optimizers(both, config, torch.float32)[1]
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


@pytest.mark.parametrize(
    ("dtype", "iterations", "kind"),
    [(torch.bfloat16, 5, Muon), (torch.float32, 5, Fp32Muon), (torch.bfloat16, 3, Fp32Muon)],
)
def test_its_arithmetic_is_that_of_the_training(
    dtype: torch.dtype, iterations: int, kind: type[Muon]
) -> None:
    """Never what the machine is good at: equal fingerprints are equal arithmetic."""
    model = nn.ModuleDict({"layer": nn.Linear(4, 4, bias=False), "gain": nn.LayerNorm(4)})
    config = optimizers.Muon(iterations=iterations)
    assert type(build_optimizers(model, config, dtype)[1]) is kind


@pytest.mark.parametrize(
    ("steps", "smallest", "low", "high"), [(3, 0.01, 0.7, 1.3), (4, 0.003, 0.79, 1.21)]
)
@pytest.mark.parametrize("shape", [(16, 16), (16, 48), (48, 16)])
def test_few_iterations_make_all_directions_alike(
    shape: tuple[int, int], steps: int, smallest: float, low: float, high: float
) -> None:
    noise = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=noise), full_matrices=False)
    values = torch.logspace(-0.5, torch.log10(torch.tensor(smallest)).item() + 0.3, 16)
    values = values / values.norm()
    made = orthogonalized(left @ values.diag() @ right, module._POLAR[steps], 1e-7)
    found = torch.linalg.svd(made)[1]
    assert low < found.min() and found.max() < high
    torch.testing.assert_close(
        left.T @ made @ right.T, (left.T @ made @ right.T).diagonal().diag(), atol=1e-4, rtol=0
    )


SHAPES = st.sampled_from(["linear", "cosine", "root"])


def _factor(step: int, num_steps: int, *shares: float, **knobs: Any) -> float:
    warmup, cooldown = shares
    rates = optimizers.Muon(warmup=warmup, cooldown=cooldown, **knobs)
    return rate_factor(step, num_steps, rates)


@given(
    warmup=SHARE,
    cooldown=SHARE,
    num_steps=st.integers(1, 10_000),
    shape=SHAPES,
    floor=SHARE,
    data=st.data(),
)
def test_rates_never_leave_their_range(
    warmup: float, cooldown: float, num_steps: int, shape: str, floor: float, data: st.DataObject
) -> None:
    step = data.draw(st.integers(1, num_steps))
    knobs = {"cooldown_shape": shape, "floor": floor}
    factor = _factor(step, num_steps, warmup, cooldown, **knobs)
    assert 0 < factor <= 1
    done = step / (num_steps + 1)
    if step < num_steps:
        after = _factor(step + 1, num_steps, warmup, cooldown, **knobs)
        if step + 1 <= warmup * (num_steps + 1) and done < 1 - cooldown:
            assert after >= factor
        if done >= warmup:
            assert after <= factor  # never up again
            assert after >= floor * (1 - 1e-12)


def test_schedules_of_the_field() -> None:
    cosine = [_factor(step, 99, 0, 1, cooldown_shape="cosine", floor=0.1) for step in (1, 50, 99)]
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * step / 100)) / 2 for step in (1, 50, 99)]
    assert cosine == pytest.approx(expected)
    assert _factor(75, 99, 0, 0.5, cooldown_shape="root") == pytest.approx(1 - 0.5**0.5)
    assert {_factor(step, 9, 0, 0, floor=0.5) for step in range(1, 10)} == {1.0}


def test_rates_at_the_edges() -> None:
    factors = [_factor(step, 9, 0.2, 0.5) for step in range(1, 10)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert {_factor(step, 9, 0, 0) for step in range(1, 10)} == {1.0}
    assert _factor(5, 9, 1, 1) == 0.5
    assert _factor(9, 9, 1, 1) == pytest.approx(0.1)  # cools down where both would hold


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("member", [Llama, Qwen3])
def test_every_parameter_has_one_optimizer(
    make_model: Callable[..., Decoder], member: type[DecoderShape], tied: bool
) -> None:
    model = make_model(member, tie_embeddings=tied)
    named = "Fp32Muon"
    config = optimizers.Muon(weight_decay=0.1)
    adamw, muon = build_optimizers(model, config, torch.float32, model.head)
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


MEMBERS = [optimizers.Muon(), optimizers.Muon(iterations=3), optimizers.AdamW()]
MEMBERS += [optimizers.Lion(learning_rate=0.003), optimizers.Adafactor(learning_rate=0.3)]
KINDS_OF = {config.kind for config in MEMBERS}


def test_every_member_is_tested() -> None:
    (union, *_) = get_args(optimizers.Optimizer)
    assert {kind_of(member) for member in get_args(union)} == KINDS_OF


@pytest.fixture(params=MEMBERS, ids=lambda config: config.kind)
def member(request: pytest.FixtureRequest) -> optimizers.OptimizerConfig:
    """With decay, so that it shows where it does not belong."""
    config: optimizers.OptimizerConfig = request.param
    return config.model_copy(update={"weight_decay": 0.1})


def _step(model: Decoder, made: list[torch.optim.Optimizer], seed: int) -> float:
    ids = torch.randint(280, (4, 17), generator=torch.Generator().manual_seed(seed % 3))
    batch = batch_of(model, ids[:, :-1], ids[:, 1:], torch.float32)
    return take_step(batch, model, made)[0]


def _made(model: Decoder, config: optimizers.OptimizerConfig) -> list[torch.optim.Optimizer]:
    return build_optimizers(model, config, torch.float32, model.head)


@pytest.mark.parametrize("tied", [False, True])
def test_decay_is_where_it_belongs(
    make_model: Callable[..., Decoder], member: optimizers.OptimizerConfig, tied: bool
) -> None:
    model = make_model(tie_embeddings=tied)
    groups = [group for o in _made(model, member) for group in o.param_groups]
    decayed = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decayed == {id(p): 0.1 if p.ndim == 2 else 0.0 for p in model.parameters()}


def test_it_learns_and_goes_on_to_the_bit(
    make_model: Callable[..., Decoder], member: optimizers.OptimizerConfig, tmp_path: Path
) -> None:
    unbroken = make_model(seed=3)
    init_weights(unbroken, 3)
    made = _made(unbroken, member)
    losses = [_step(unbroken, made, seed) for seed in range(24)]
    assert sum(losses[-3:]) < sum(losses[:3]) - 1

    stopped, resumed = make_model(seed=3), make_model(seed=9)
    init_weights(stopped, 3)
    made = _made(stopped, member)
    for seed in range(11):
        set_rates(made, 1 - seed / 100)
        _step(stopped, made, seed)
    Snapshots(tmp_path).save(11, stopped, made, History())
    found = Snapshots(tmp_path).load(resumed, History())
    again = _made(resumed, member)
    assert found is not None
    found.restore(resumed, again)
    for seed in range(11, 14):
        for model, own in ((stopped, made), (resumed, again)):
            set_rates(own, 1 - seed / 100)
            _step(model, own, seed)
    expected = stopped.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in resumed.state_dict().items())


def test_a_recipe_without_a_kind_means_muon() -> None:
    read = PretrainConfig.model_validate({"optimizer": {"matrix_lr": 0.02}})
    assert read.optimizer == optimizers.Muon(matrix_lr=0.02)
    assert identity(read)["optimizer"].keys() == OF_VERSION_2
    again = from_identity(PretrainConfig, identity(read))
    assert again.optimizer == read.optimizer
    lion = PretrainConfig.model_validate({"optimizer": {"kind": "lion", "clip": 1.0}})
    assert from_identity(PretrainConfig, identity(lion)).optimizer == lion.optimizer


OF_VERSION_2 = {
    "matrix_lr",
    "embedding_lr",
    "head_lr",
    "gain_lr",
    "momentum",
    "beta1",
    "beta2",
    "weight_decay",
    "warmup",
    "cooldown",
}
"""What was part of a fingerprint before there were kinds."""


def test_set_rates_scales_the_peaks(make_model: Callable[..., Decoder]) -> None:
    made = _made(make_model(), optimizers.Muon())
    for factor in (0.5, 0.25, 1.0):  # always of the peak, never of the last rate
        set_rates(made, factor)
        rates = {group["lr"] for o in made for group in o.param_groups}
        peaks = {group["peak_lr"] for o in made for group in o.param_groups}
        assert rates == {peak * factor for peak in peaks}
