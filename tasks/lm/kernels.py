"""Attention and the head's loss, in the fastest exact form that the device has.

Two kernels make bfloat16 on a CPU faster (benchmarks/cpu_training.py); on other devices and dtypes
attention is torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.lm.documents import Documents

_QUERY_BLOCK = 128


def causal_attention(q: Tensor, k: Tensor, v: Tensor, documents: Documents | None = None) -> Tensor:
    """Causal attention of q, k, v, each (batch, heads, positions, head size).

    With `documents`, no position sees those of another document.
    """
    if documents is None:
        return _attend(q, k, v)
    if q.device.type == "cpu":
        return _attend_in_chunks(q, k, v, documents)
    if varlen := _find_varlen(q.device, q.dtype, q.shape[-1]):
        return _attend_flat(varlen, q, k, v, documents)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=documents.mask)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend causally, or under a mask that is True where a query may see a key."""
    if q.dtype == torch.bfloat16 and q.device.type == "cpu" and q.requires_grad:
        scaled = q * q.shape[-1] ** -0.5
        out: Tensor = _BlockCausalAttention.apply(scaled, k, v, mask)  # type: ignore[no-untyped-call]
        return out
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)


def _attend_in_chunks(q: Tensor, k: Tensor, v: Tensor, documents: Documents) -> Tensor:
    """Attend within documents on a CPU: what a mask would hide is mostly not computed.

    In fp32, forward and backward take 0.37 to 0.92 of whole rows' time at 1 024 positions; under
    one mask for all, 1.4 to 1.5 (benchmarks/packing.py has whole steps).
    """
    chunks = documents.chunks
    sizes = [chunk.rows * chunk.length for chunk in chunks]
    parts = zip(*(_flat(of).split_with_sizes(sizes) for of in (q, k, v)), strict=True)
    outs = []
    for chunk, (of_q, of_k, of_v) in zip(chunks, parts, strict=True):
        size = (chunk.rows, chunk.length)
        out = _attend(_rows(of_q, size), _rows(of_k, size), _rows(of_v, size), chunk.mask)
        outs.append(_flat(out))
    return _rows(torch.cat(outs), (q.shape[0], q.shape[2]))


def _flat(x: Tensor) -> Tensor:
    """(rows, heads, positions, head size) -> (rows * positions, heads, head size)."""
    return x.transpose(1, 2).flatten(0, 1)


def _rows(x: Tensor, size: tuple[int, int]) -> Tensor:
    """What was `_flat`, as so many rows and positions."""
    return x.view(*size, *x.shape[1:]).transpose(1, 2)


Varlen = Callable[..., Tensor]
"""Attention of flat q, k, v within documents of given cumulative lengths, as torch's `varlen`."""


def _attend_flat(varlen: Varlen, q: Tensor, k: Tensor, v: Tensor, documents: Documents) -> Tensor:
    ends, longest = documents.ends, q.shape[2]
    out = varlen(_flat(q), _flat(k), _flat(v), ends, ends, longest, longest)
    return _rows(out, (q.shape[0], q.shape[2]))


@cache
def _find_varlen(device: torch.device, dtype: torch.dtype, head_size: int) -> Varlen | None:
    """Find torch's attention for flat documents, if it is there and does what SDPA does.

    It is young (torch 2.10) and for half precision on some GPUs: so it is tried on a few rows,
    forward and backward. Its argument for causal attention changed from torch 2.10 to 2.12.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    old = "is_causal" in signature(varlen_attn).parameters
    causal: dict[str, Any] = {"is_causal": True} if old else {"window_size": (-1, 0)}
    varlen: Any = partial(varlen_attn, **causal)
    begins = torch.zeros(2, 96, dtype=torch.bool)
    begins[[0, 0, 0, 1, 1], [0, 7, 70, 0, 33]] = True
    documents = Documents(begins.to(device))
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(4, 2, 2, 96, head_size, generator=generator).to(device, dtype)
    flat = partial(_attend_flat, varlen, documents=documents)
    sdpa = partial(F.scaled_dot_product_attention, attn_mask=documents.mask)
    try:
        found, wanted = (_with_gradients(attend, given) for attend in (flat, sdpa))
    except (RuntimeError, ValueError, TypeError):  # it refuses a GPU, a dtype, a head size
        return None
    return varlen if torch.allclose(found, wanted, rtol=0.05, atol=0.05) else None


@torch.enable_grad()
def _with_gradients(attend: Callable[[Tensor, Tensor, Tensor], Tensor], given: Tensor) -> Tensor:
    """Give the output and the gradients of q, k, v; `given` are these and the output's gradient."""
    q, k, v, upstream = given.detach().clone().requires_grad_()
    out = attend(q, k, v)
    return torch.stack((out, *torch.autograd.grad(out, (q, k, v), upstream.detach())))


def summed_cross_entropy(hidden: Tensor, head: Tensor, target: Tensor, chunk: int = 1024) -> Tensor:
    """Sum in nats of -log softmax(hidden @ head.T)[target]; negative targets do not count.

    hidden (rows, width), head (vocabulary, width), target (rows,). The logits are never all in
    memory.
    """
    out: Tensor = _HeadLoss.apply(hidden, head, target, chunk)  # type: ignore[no-untyped-call]
    return out


class _BlockCausalAttention(torch.autograd.Function):
    """Blocks of queries meet only the keys up to their end: half of the scores are never computed.

    Every product is a plain batched matmul, for which oneDNN has bfloat16 kernels; torch 2.13's
    CPU SDPA has none for its backward pass (3 times slower on two Zen 5 cores).
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        upper = torch.full((_QUERY_BLOCK, _QUERY_BLOCK), -1e9, dtype=q.dtype).triu_(1)
        hidden = None if mask is None else (~mask).to(q.dtype) * -1e9
        out, shares = torch.empty_like(q), []
        for low in range(0, q.shape[2], _QUERY_BLOCK):
            high = min(low + _QUERY_BLOCK, q.shape[2])
            score = q[:, :, low:high] @ k[:, :, :high].transpose(-1, -2)
            if hidden is None:
                score[..., low:] += upper[: high - low, : high - low]
            else:
                score += hidden[..., low:high, :high]
            share = torch.softmax(score, dim=-1)
            out[:, :, low:high] = share @ v[:, :, :high]
            shares.append(share)
        ctx.save_for_backward(q, k, v, *shares)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, *shares = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for share, low in zip(shares, range(0, q.shape[2], _QUERY_BLOCK), strict=True):
            high = low + share.shape[2]
            grad = grads[0][:, :, low:high]
            dv[:, :, :high] += share.transpose(-1, -2) @ grad
            dshare = grad @ v[:, :, :high].transpose(-1, -2)
            dscore = torch._softmax_backward_data(dshare, share, -1, share.dtype)
            dq[:, :, low:high] = dscore @ k[:, :, :high]
            dk[:, :, :high] += dscore.transpose(-1, -2) @ q[:, :, low:high]
        return dq, dk, dv, None


class _HeadLoss(torch.autograd.Function):
    """Chunks of rows; products in the dtype of `hidden`, softmax in float32, gradients at once.

    1.5 times as fast as linear + cross_entropy on a CPU, because the (rows, vocabulary) buffers
    stay small enough for the cache.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, target: Tensor, chunk: int) -> Tensor:
        weight = head.to(hidden.dtype)
        dhidden, dhead = torch.empty_like(hidden), torch.zeros_like(head)
        total = hidden.new_zeros((), dtype=torch.float32)
        for low in range(0, hidden.shape[0], chunk):
            rows, wanted = hidden[low : low + chunk], target[low : low + chunk, None]
            counts = wanted >= 0
            logp = torch.log_softmax(F.linear(rows, weight).float(), dim=-1)
            index = wanted.clamp_min(0)
            total -= (logp.gather(1, index) * counts).sum()
            grad = logp.exp_()
            grad.scatter_add_(1, index, grad.new_full(index.shape, -1.0))
            grad = (grad * counts).to(rows.dtype)
            dhidden[low : low + chunk] = grad @ weight
            dhead += grad.t() @ rows
        ctx.save_for_backward(dhidden, dhead)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        dhidden, dhead = ctx.saved_tensors
        return dhidden * grads[0].to(dhidden.dtype), dhead * grads[0], None, None
