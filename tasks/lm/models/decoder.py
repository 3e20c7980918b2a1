"""One decoder for Llama and Qwen3, whose `state_dict` is a transformers checkpoint.

Needs torch only. Parameters stay float32; the dtype that the forward pass is asked for decides
the arithmetic: each projection casts its weight to the dtype of its input, so bfloat16 runs every
large product in bfloat16 while the residual stream, the norms and all gradients of parameters stay
float32.

Shapes: B sequences, T positions, C hidden size, H query heads, K key/value heads, D head size,
V vocabulary.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.lm.documents import Documents
from tasks.lm.kernels import causal_attention, summed_cross_entropy
from tasks.lm.models.shape import DecoderShape


class _Linear(nn.Linear):
    """A projection computed in the dtype of its input."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__(size_in, size_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class _RMSNorm(nn.Module):
    """x / rms(x) * gain; statistics in float32, result in `dtype`."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        x = x.float()
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)
        return (self.weight * (x * scale)).to(dtype)


def _rotary_table(length: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (length, D)."""
    frequency = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angle = torch.arange(length, dtype=torch.float32)[:, None] * frequency
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + D/2) of (B, T, H, D) by its position's angle."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin


class _Attention(nn.Module):
    """Grouped-query causal self-attention."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads = shape.num_heads, shape.num_kv_heads
        self.head_dim = shape.head_dim
        self.q_proj = _Linear(shape.hidden_size, self.num_heads * self.head_dim)
        self.k_proj = _Linear(shape.hidden_size, self.num_kv_heads * self.head_dim)
        self.v_proj = _Linear(shape.hidden_size, self.num_kv_heads * self.head_dim)
        self.o_proj = _Linear(self.num_heads * self.head_dim, shape.hidden_size)
        self.qk_norm = shape.qk_norm
        if self.qk_norm:
            self.q_norm = _RMSNorm(self.head_dim, shape.norm_eps)
            self.k_norm = _RMSNorm(self.head_dim, shape.norm_eps)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, documents: Documents | None = None
    ) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        b, t, _ = x.shape
        q = self.q_proj(x).view(b, t, self.num_heads, self.head_dim)
        k = self.k_proj(x).view(b, t, self.num_kv_heads, self.head_dim)
        v = self.v_proj(x).view(b, t, self.num_kv_heads, self.head_dim)
        if self.qk_norm:
            q, k = self.q_norm(q, x.dtype), self.k_norm(k, x.dtype)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        if self.num_kv_heads != self.num_heads:
            group = self.num_heads // self.num_kv_heads
            k, v = k.repeat_interleave(group, dim=2), v.repeat_interleave(group, dim=2)
        q, k, v = (of.transpose(1, 2) for of in (q, k, v))
        y = causal_attention(q, k, v, documents)
        out: Tensor = self.o_proj(y.transpose(1, 2).reshape(b, t, self.num_heads * self.head_dim))
        return out


class _FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.gate_proj = _Linear(shape.hidden_size, shape.intermediate_size)
        self.up_proj = _Linear(shape.hidden_size, shape.intermediate_size)
        self.down_proj = _Linear(shape.intermediate_size, shape.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class _Layer(nn.Module):
    """One pre-norm block."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.input_layernorm = _RMSNorm(shape.hidden_size, shape.norm_eps)
        self.self_attn = _Attention(shape)
        self.post_attention_layernorm = _RMSNorm(shape.hidden_size, shape.norm_eps)
        self.mlp = _FeedForward(shape)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        dtype: torch.dtype,
        documents: Documents | None = None,
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x, dtype), cos, sin, documents)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x, dtype))
        return out


class _Trunk(nn.Module):
    """Embedding, layers and final norm: `model.` in a checkpoint."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: DecoderShape, vocab_size: int, context: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.num_layers))
        self.norm = _RMSNorm(shape.hidden_size, shape.norm_eps)
        cos, sin = _rotary_table(context, shape.head_dim, shape.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(
        self, ids: Tensor, dtype: torch.dtype, documents: Documents | None = None
    ) -> Tensor:
        """Ids (B, T) -> normed hidden states (B, T, C); positions begin anew in each document."""
        x = self.embed_tokens(ids)
        places = slice(ids.shape[1]) if documents is None else documents.positions
        cos, sin = (table[places].to(dtype).unsqueeze(-2) for table in (self.cos, self.sin))
        for layer in self.layers:
            x = layer(x, cos, sin, dtype, documents)
        normed: Tensor = self.norm(x, dtype)
        return normed


class Decoder(nn.Module):
    """A causal language model."""

    def __init__(self, shape: DecoderShape, vocab_size: int, context: int) -> None:
        super().__init__()
        self.shape, self.vocab_size, self.context = shape, vocab_size, context
        self.model = _Trunk(shape, vocab_size, context)
        if not shape.tie_embeddings:
            self.lm_head = _Linear(shape.hidden_size, vocab_size)

    @property
    def head(self) -> Tensor:
        """The output matrix (V, C)."""
        tied = self.shape.tie_embeddings
        return self.model.embed_tokens.weight if tied else self.lm_head.weight

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def forward(
        self,
        ids: Tensor,
        dtype: torch.dtype = torch.float32,
        documents: Documents | None = None,
    ) -> Tensor:
        """Ids (B, T), T at most the context -> logits (B, T, V) in `dtype`; with `documents`, as
        if each stood alone."""
        return self.logits(self.model(ids, dtype, documents))

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., C) -> logits (..., V), through the head's adapter if it has one."""
        if self.shape.tie_embeddings:
            return F.linear(hidden, self.head.to(hidden.dtype))
        scores: Tensor = self.lm_head(hidden)
        return scores

    def summed_loss(
        self,
        ids: Tensor,
        targets: Tensor,
        dtype: torch.dtype,
        end_of_text: int | None = None,
    ) -> Tensor:
        """Sum in nats over targets (B, T) that are not negative, given ids (B, T).

        With `end_of_text`, which stands between documents, none of them sees another.
        """
        documents = None if end_of_text is None else Documents.of(ids, targets, end_of_text)
        hidden = self.model(ids, dtype, documents).flatten(0, 1)
        return summed_cross_entropy(hidden, self.head, targets.flatten())


def init_weights(model: Decoder, seed: int) -> None:
    """Seeded init in name order: 1/sqrt(fan_in) inside, zero where a block or the model ends.

    Zero residual outputs and a zero head make the first loss log(V) and were the best of the
    tried inits for Muon. Source: arXiv:2203.03466 (zero head); modded-nanogpt.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if parameter.ndim == 1:
            nn.init.ones_(parameter)
        elif name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight")):
            nn.init.zeros_(parameter)
        else:
            width = parameter.shape[1]
            std = 0.02 if "embed_tokens" in name else 1.0 / math.sqrt(width)
            nn.init.normal_(parameter, std=std, generator=generator)
