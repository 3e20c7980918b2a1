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
from tasks.lm.loop import take_step
from tasks.lm.models.decoder import Decoder, init_weights
from tasks.lm.optimizer import build_optimizers
from tasks.lm.optimizers import Muon
from tasks.pretrain.train import batch_of

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
    chosen = DEMO["pretrain"].optimizer
    optimizers = build_optimizers(model, chosen, compute.dtype, model.head)
    batch = batch_of(model, inputs, targets, compute.dtype)
    mine = seconds(lambda: take_step(batch, model, optimizers))
    peer = LlamaForCausalLM(LlamaConfig(**_llama()))
    same = build_optimizers(peer, chosen, compute.dtype, peer.lm_head.weight)

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


def muon_share() -> None:
    """Share of a step in fp32 that Muon takes, by its iterations, and of sgemm's speed.

    In CPU seconds, so that other work on the machine matters little.
    """
    ids = torch.randint(0, VOCABULARY, (BATCH, LENGTH + 1))
    for iterations in (5, 4, 3):
        model = Decoder(SHAPE, VOCABULARY, LENGTH)
        init_weights(model, 0)
        config = Muon(iterations=iterations)
        optimizers = build_optimizers(model, config, torch.float32, model.head)
        batch = batch_of(model, ids[:, :-1], ids[:, 1:].contiguous(), torch.float32)
        whole = cpu_seconds(lambda: take_step(batch, model, optimizers))  # noqa: B023
        muon = cpu_seconds(optimizers[-1].step)
        square = torch.randn(1024, 1024)
        sgemm = 2 * 1024**3 / cpu_seconds(lambda: square @ square)  # noqa: B023
        products = 6 * SHAPE.num_multiplied(VOCABULARY) * BATCH * LENGTH
        record(
            f"Muon, {iterations} iterations",
            "CPU time in a step of the demo's shape, fp32; peer: the whole step. Forward and "
            f"backward at {products / (whole - muon) / sgemm:.2f} of sgemm, the step at "
            f"{products / whole / sgemm:.2f}",
            f"{muon * 1e3:.0f} ms",
            f"{whole * 1e3:.0f} ms",
            f"{muon / whole:.0%}",
            COMMAND,
        )


def cpu_seconds(work: Callable[[], object], repeats: int = 8) -> float:
    """Least CPU time of `work`, after two warm-ups."""
    times = []
    for _ in range(repeats + 2):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times[2:])


def _llama() -> dict[str, Any]:
    config = SHAPE.hf_config(VOCABULARY, LENGTH, 0, 0, 1)
    named = ("architectures", "model_type")
    return {key: value for key, value in config.items() if key not in named}


if __name__ == "__main__":
    set_up(ComputeConfig())
    attention()
    head_loss()
    whole_step()
    muon_share()
