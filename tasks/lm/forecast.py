"""What training is expected to take. No torch: plans ask it."""

from __future__ import annotations

from tasks.foresight import Span, exactly
from tasks.lm.models.shape import DecoderShape


def training_seconds(tokens: Span, speed: Span) -> Span:
    """Importing, building, two evaluations, and the steps."""
    return Span(5, 30) + tokens / speed


def training_memory(shape: DecoderShape, vocab_size: int, step_tokens: int, trained: int) -> Span:
    """Weights; of those that are trained, gradients and two moments; what a step's tokens leave.

    The demo's 5.5 million parameters and 2,048 tokens a step took 715 MB.
    """
    width = 20 * shape.hidden_size + 8 * shape.intermediate_size
    step = step_tokens * 4 * (shape.num_layers * width + 2 * vocab_size)
    weights = 4 * shape.num_parameters(vocab_size) + 12 * trained
    return Span(150e6, 450e6) + exactly(weights) + exactly(step) * Span(0.6, 1.6)


def kept_bytes(shape: DecoderShape, vocab_size: int) -> float:
    """A model in fp32, with its tokenizer."""
    return 4.0 * shape.num_parameters(vocab_size) + 64 * vocab_size
