"""The two kernels against torch's own functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.lm.kernels import causal_attention, summed_cross_entropy


def _relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.detach().float() - expected.detach()).norm() / expected.detach().norm())


@pytest.mark.parametrize("length", [1, 7, 127, 128, 129, 300])
def test_blocked_attention_equals_sdpa(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    data = [torch.randn(2, 3, length, 16, generator=generator) for _ in range(4)]
    q, k, v, upstream = (t.bfloat16() for t in data)
    ours = [t.clone().requires_grad_() for t in (q, k, v)]
    out = causal_attention(*ours)
    assert out.dtype == torch.bfloat16
    assert "BlockCausal" in type(out.grad_fn).__name__
    out.backward(upstream)

    theirs = [t.float().requires_grad_() for t in (q, k, v)]
    expected = F.scaled_dot_product_attention(*theirs, is_causal=True)
    expected.backward(upstream.float())

    assert _relative_error(out, expected) < 0.01
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        if other.grad.abs().max() < 1e-5:
            assert mine.grad.abs().max() < 1e-2  # with one key the scores do not matter
        else:
            assert _relative_error(mine.grad, other.grad) < 0.02


def test_attention_never_looks_ahead() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 1, 200, 8, generator=generator).bfloat16() for _ in range(3))
    q.requires_grad_()
    before = causal_attention(q, k, v)
    k[:, :, 150:], v[:, :, 150:] = 9.0, -9.0
    after = causal_attention(q, k, v)
    assert torch.equal(before[:, :, :150], after[:, :, :150])
    assert not torch.equal(before[:, :, 150:], after[:, :, 150:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_without_gradients_is_torchs_own(dtype: torch.dtype) -> None:
    q, k, v = (torch.randn(1, 2, 20, 8).to(dtype) for _ in range(3))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.equal(causal_attention(q, k, v), expected)


def _loss_case(rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, 12, generator=generator)
    head = torch.randn(31, 12, generator=generator)
    target = torch.randint(31, (rows,), generator=generator)
    return hidden.requires_grad_(), head.requires_grad_(), target


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 20),
    chunk=st.integers(1, 25),
    seed=st.integers(0, 99),
    ignored=st.sets(st.integers(0, 19)),
    scale=st.sampled_from([1.0, 0.37, -2.0]),
)
def test_cross_entropy_equals_torchs(
    rows: int, chunk: int, seed: int, ignored: set[int], scale: float
) -> None:
    hidden, head, target = _loss_case(rows, seed)
    target[[i for i in ignored if i < rows]] = -100
    loss = summed_cross_entropy(hidden, head, target, chunk)
    found = torch.autograd.grad(loss * scale, (hidden, head))
    expected = F.cross_entropy(hidden @ head.t(), target, reduction="sum")
    wanted = torch.autograd.grad(expected * scale, (hidden, head))
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-5)
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


def test_cross_entropy_gradient_is_the_slope() -> None:
    hidden, head, target = _loss_case(9, seed=3)
    target[4] = -1  # any negative target is left out
    generator = torch.Generator().manual_seed(8)
    directions = [torch.randn(t.shape, generator=generator) for t in (hidden, head)]
    grads = torch.autograd.grad(summed_cross_entropy(hidden, head, target, 4), (hidden, head))

    def loss_at(by_hidden: float, by_head: float) -> Tensor:
        a, b = hidden + by_hidden * directions[0], head + by_head * directions[1]
        return summed_cross_entropy(a, b, target, 4).detach()

    slopes = [(g * d).sum() for g, d in zip(grads, directions, strict=True)]
    differences = [loss_at(1e-2, 0) - loss_at(-1e-2, 0), loss_at(0, 1e-2) - loss_at(0, -1e-2)]
    for slope, difference in zip(slopes, differences, strict=True):
        torch.testing.assert_close(difference / 2e-2, slope, rtol=1e-2, atol=1e-2)


def test_cross_entropy_of_ignored_targets_is_nothing() -> None:
    hidden, head, target = _loss_case(5, seed=0)
    loss = summed_cross_entropy(hidden, head, torch.full_like(target, -100))
    loss.backward()
    assert loss.item() == 0
    assert hidden.grad is not None
    assert head.grad is not None
    assert not hidden.grad.any()
    assert not head.grad.any()


def test_cross_entropy_in_bfloat16_keeps_the_heads_gradient_in_float32() -> None:
    hidden, head, target = _loss_case(200, seed=1)
    low = hidden.detach().bfloat16().requires_grad_()
    loss = summed_cross_entropy(low, head, target, 64) / 200
    loss.backward()
    expected = F.cross_entropy(hidden @ head.t(), target)
    wanted = torch.autograd.grad(expected, (hidden, head))
    assert loss.dtype == torch.float32
    assert abs(loss.item() - expected.item()) < 0.01 * expected.item()
    assert low.grad is not None
    assert head.grad is not None
    assert (low.grad.dtype, head.grad.dtype) == (torch.bfloat16, torch.float32)
    assert _relative_error(low.grad, wanted[0]) < 0.02
    assert _relative_error(head.grad, wanted[1]) < 0.02
