"""What a pretraining is expected to make and to take."""

from __future__ import annotations

from tasks.foresight import Forecast, Known, Machine, exactly
from tasks.lm.forecast import kept_bytes, training_memory, training_seconds


def forecast(known: Known, machine: Machine) -> Forecast | None:
    """Expect all tokens of the budget, in whole steps, at the machine's speed."""
    knobs, vocab = known.knobs, known.knob("tokenizer", "vocab_size")
    length = known.knob("sequences", "sequence_length")
    if vocab is None or length is None:
        return None
    shape, step = knobs["model"], knobs["batch_sequences"] * length
    tokens = exactly(knobs["tokens"] // step * step)
    seconds = training_seconds(tokens, machine.speed(shape.num_multiplied(vocab)))
    memory = training_memory(shape, vocab, step, shape.num_parameters(vocab))
    kept = exactly(kept_bytes(shape, vocab))
    return Forecast(tokens, "tokens", exactly(0), kept, seconds, memory)
