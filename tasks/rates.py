"""What stages are expected to make and to take, by rates that were measured: `Stage.forecast`.

"The demo" is recipes/demo.yaml on two cores, 2026-11-28; other figures are of docs/benchmarks.md.
"""

from __future__ import annotations

from typing import Any

from tasks.foresight import Forecast, Known, Machine, Span, exactly

_KEPT = Span(0.18, 0.45)
"""Bytes on disk for one of text: in the demo 0.23."""


def crawl(known: Known, machine: Machine) -> Forecast | None:
    """Expect what the source does; a body takes 0.12 to 0.35 bytes on disk, pydoc's 0.17."""
    content = known.knobs["source"].expected()
    if content is None:  # in a bucket
        return None
    memory = Span(80e6, 300e6)  # 99 MB after 10,000 pages, 149 MB after 100,000; the demo 211 MB
    kept = content.body * Span(0.12, 0.35)
    return Forecast(content.pages, "pages", content.text, kept, content.seconds, memory)


def clean(known: Known, machine: Machine) -> Forecast | None:
    """Expect 4 to 20 ms of a core for a page: 108 pages/s on one, the demo 130 on two."""
    if (pages := known.expected("pages")) is None:
        return None
    at_once = min(machine.workers, machine.cores)
    documents, text = pages.amount * Span(0.65, 1), pages.text * Span(0.7, 1)
    seconds = Span(1, 6) + pages.amount * Span(0.004, 0.02) * (1 / at_once)
    memory = Span(120e6, 260e6) + Span(40e6, 240e6) * at_once  # a worker at most 409 + 88 MB
    return Forecast(documents, "documents", text, text * _KEPT, seconds, memory)


def quality(known: Known, machine: Machine) -> Forecast | None:
    """Expect nothing without a classifier; with one, 20 to 200 MB of text a second."""
    if (taken := known.expected("documents")) is None:
        return None
    amount, text, none = taken.amount, taken.text, exactly(0)
    if known.knobs["classifier"] is None:
        return Forecast(amount, "documents", text, none, none, none)
    seconds = Span(2, 60) + text * Span(1 / 200e6, 1 / 20e6)
    kept = amount * Span(20, 60) + Span(4e6, 6e6)
    return Forecast(amount, "documents", text, kept, seconds, Span(50e6, 1e9))


def dedup(known: Known, machine: Machine) -> Forecast | None:
    """Expect 10 to 60 MB a second: 6.3 MB of the demo took 1 s and 92 MB, 246 MB 5.2 s."""
    if (taken := known.expected("documents")) is None:
        return None
    amount, text = taken.amount * Span(0.7, 1), taken.text * Span(0.7, 1)
    seconds = Span(0.4, 2.5) + taken.text * Span(1 / 60e6, 1 / 10e6)
    memory = Span(60e6, 150e6) + taken.amount * Span(2e3, 10e3)
    return Forecast(amount, "documents", text, text * _KEPT, seconds, memory)


def tokenizer(known: Known, machine: Machine) -> Forecast | None:
    """Expect 0.2 to 0.8 core seconds for a MB: 5.7 took 1.1 s on two cores, 32 MB 17.8 of one."""
    if (taken := known.expected("documents")) is None:
        return None
    taken_over = known.knobs.get("base")  # models have 32,000 to 262,000 entries
    entries = Span(32e3, 262e3) if taken_over else exactly(known.knobs["vocab_size"])
    seconds = Span(0.1, 0.5) + taken.text * Span(0.2e-6, 0.8e-6) * (1 / machine.cores)
    memory = Span(5e6, 60e6) + taken.text * Span(3, 15)
    return Forecast(entries, "entries", taken.text, entries * Span(50, 90), seconds, memory)


def shard(known: Known, machine: Machine) -> Forecast | None:
    """Expect 2.4 to 5 bytes in a token: 5.7 MB gave 1.7 million, in 2 s on two cores.

    Alone in its process it has kernels to load, for the split: 565 MB, where it had 198.
    """
    if (taken := known.expected("documents")) is None:
        return None
    at_once = min(machine.workers, machine.cores)
    seconds = Span(0.3, 4) + taken.text * Span(0.4e-6, 1.3e-6) * (1 / at_once)
    memory, tokens = Span(60e6, 600e6) + taken.text * Span(0.5, 3), taken.text / Span(2.4, 5)
    return Forecast(tokens, "tokens", taken.text, taken.text * _KEPT, seconds, memory)


def pretrain(known: Known, machine: Machine) -> Forecast | None:
    """Expect all whole steps of the budget, at the machine's speed, and a model in fp32."""
    knobs, vocab = known.knobs, known.knob("tokenizer", "vocab_size")
    length = known.knob("sequences", "sequence_length")
    if vocab is None or length is None:
        return None
    shape, step = knobs["model"], knobs["batch_sequences"] * length
    tokens, size = exactly(knobs["tokens"] // step * step), shape.num_parameters(vocab)
    seconds = _training_seconds(tokens, step, machine.speed(shape.num_multiplied(vocab)))
    memory = _training_memory(shape, vocab, step, size)
    return Forecast(tokens, "tokens", exactly(0), exactly(4 * size + 64 * vocab), seconds, memory)


def finetune(known: Known, machine: Machine) -> Forecast | None:
    """Expect a pair of 50 to 80 tokens for each 700 to 2,500 bytes: 5.7 MB gave 5,375.

    A token costs less than in pretraining, as most gradients are of the adapter alone: the demo
    had 6,000 a second, and 4,800 there. PEFT and transformers take up to a gigabyte.
    """
    knobs, taken = known.knobs, known.expected("documents")
    shape, vocab = known.knob("model", "model"), next(known.above("vocab_size"), None)
    if taken is None or shape is None or vocab is None:
        return None
    pairs, speed = taken.text / Span(700, 2_500), machine.speed(shape.num_multiplied(vocab))
    tokens = pairs * Span(50, 80) * knobs["epochs"]
    seconds = _training_seconds(tokens, knobs["batch_tokens"], speed * Span(0.9, 1.7))
    sizes, method = shape.matrices(vocab), knobs["adapter"]
    put_on = [sizes[target] for target in method.targets if target in sizes]
    adapter = method.rank * sum(num * (rows + columns) for num, rows, columns in put_on)
    memory = Span(0, 1.3e9) + _training_memory(shape, vocab, knobs["batch_tokens"], adapter)
    merged = exactly(4 * (shape.num_parameters(vocab) + adapter) + 64 * vocab)
    kept = merged + pairs * Span(40, 120)
    return Forecast(pairs, "pairs", taken.text, kept, seconds, memory)


def _training_seconds(tokens: Span, step_tokens: int, speed: Span) -> Span:
    """Importing, building, evaluating; what a step takes besides its tokens; and the tokens.

    Models of 40,000 to 180,000 parameters took 67 to 80 ms a step on two busy cores.
    """
    return Span(5, 30) + tokens * Span(0.01 / step_tokens, 0.1 / step_tokens) + tokens / speed


def _training_memory(shape: Any, vocab_size: int, step_tokens: int, trained: int) -> Span:
    """Weights; of those that are trained, gradients and two moments; what a step's tokens leave.

    The demo's 5.5 million parameters and 2,048 tokens a step took 715 MB.
    """
    width = 20 * shape.hidden_size + 8 * shape.intermediate_size
    step = step_tokens * 4 * (shape.num_layers * width + 2 * vocab_size)
    weights = 4 * shape.num_parameters(vocab_size) + 12 * trained
    return Span(150e6, 450e6) + exactly(weights) + exactly(step) * Span(0.6, 1.6)
