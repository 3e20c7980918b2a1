"""Training a small decoder on a CPU: our loop and kernels beside torch's and transformers'.

Run on a quiet machine: `python -m benchmarks.cpu_training`. Everything is measured in this one
process, with the same threads, on the shapes of recipes/demo.yaml.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.ledger import record
from flows.recipe import load_recipe
from tasks.lm.config import ComputeConfig
from tasks.lm.device import set_up
from tasks.lm.kernels import causal_attention, summed_cross_entropy
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.lm.optimizer import build_optimizers
from tasks.pretrain.train import train_step

COMMAND = "python -m benchmarks.cpu_training"
DEMO = dict(load_recipe(Path(__file__).parent.parent / "recipes" / "demo.yaml"))
SHAPE = DEMO["pretrain"].model
BATCH, LENGTH = DEMO["pretrain"].batch_sequences, DEMO["shard"].sequence_length
VOCABULARY = DEMO["tokenizer"].vocab_size


def seconds(work: Callable[[], object], repeats: int = 12) -> float:
    """Median wall time of `work`, after three warm-ups."""
    for _ in range(3):
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def compare(key: str, what: str, ours: Callable[[], object], peer: Callable[[], object]) -> None:
    mine, theirs = seconds(ours), seconds(peer)
    times = (f"{mine * 1e3:.1f} ms", f"{theirs * 1e3:.1f} ms")
    record(key, what, *times, f"{theirs / mine:.1f}x", COMMAND)


def attention() -> None:
    size = (BATCH, SHAPE.num_heads, LENGTH, SHAPE.head_dim)
    q, k, v = (torch.randn(size, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    compare(
        "attention",
        f"causal attention forward and backward, bf16, {size}; peer: torch SDPA",
        lambda: causal_attention(q, k, v).sum().backward(),
        lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward(),
    )


def head_loss() -> None:
    rows, width = BATCH * LENGTH, SHAPE.hidden_size
    hidden = torch.randn(rows, width, dtype=torch.bfloat16, requires_grad=True)
    head = torch.randn(VOCABULARY, width, requires_grad=True)
    target = torch.randint(0, VOCABULARY, (rows,))

    def peer() -> None:
        logits = F.linear(hidden, head.to(hidden.dtype)).float()
        F.cross_entropy(logits, target, reduction="sum").backward()

    compare(
        "head loss",
        f"head and cross entropy, forward and backward, {rows} x {width} x {VOCABULARY}; "
        "peer: linear + cross_entropy",
        lambda: summed_cross_entropy(hidden, head, target).backward(),
        peer,
    )


def whole_step() -> None:
    """Tokens per second of a whole training step."""
    from transformers import LlamaConfig, LlamaForCausalLM

    compute = set_up(ComputeConfig())
    ids = torch.randint(0, VOCABULARY, (BATCH, LENGTH + 1))
    inputs, targets = ids[:, :-1], ids[:, 1:].contiguous()
    model = Decoder(SHAPE, VOCABULARY, LENGTH)
    init_weights(model, 0)
    optimizers = build_optimizers(model, DEMO["pretrain"].optimizer)
    mine = seconds(lambda: train_step(model, optimizers, inputs, targets, compute.dtype))
    peer = LlamaForCausalLM(LlamaConfig(**_llama()))
    same = build_optimizers(peer, DEMO["pretrain"].optimizer)  # the parameters' names are equal

    def step(bf16: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = peer(input_ids=inputs, labels=inputs, use_cache=False).loss
        for optimizer in same:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in same:
            optimizer.step()

    tokens = BATCH * LENGTH
    for name, bf16 in (("fp32", False), ("bf16 autocast", True)):
        theirs = seconds(partial(step, bf16))
        record(
            f"training step, peer in {name}",
            f"tokens/s, {model.num_parameters:,} parameters, {compute}; "
            "peer: transformers Llama, same optimisers",
            f"{tokens / mine:,.0f}",
            f"{tokens / theirs:,.0f}",
            f"{theirs / mine:.1f}x",
            COMMAND,
        )


def _llama() -> dict[str, Any]:
    config = SHAPE.hf_config(VOCABULARY, LENGTH, 0, 0, 1)
    named = ("architectures", "model_type")
    return {key: value for key, value in config.items() if key not in named}


if __name__ == "__main__":
    set_up(ComputeConfig())
    attention()
    head_loss()
    whole_step()
