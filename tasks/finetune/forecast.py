"""What a fine-tuning is expected to make and to take."""

from __future__ import annotations

from tasks.foresight import Forecast, Known, Machine, Span, exactly
from tasks.lm.forecast import kept_bytes, training_memory, training_seconds


def forecast(known: Known, machine: Machine) -> Forecast | None:
    """Expect a pair of 50 to 80 tokens for each 700 to 2,500 bytes of text.

    The demo's 5.7 MB gave 5,375. A token costs less than in pretraining, as most gradients are of
    the adapter alone: 6,000 a second where that had 4,800. The two libraries take a gigabyte.
    """
    knobs, taken = known.knobs, known.expected("documents")
    shape, vocab = known.knob("model", "model"), next(known.above("vocab_size"), None)
    if taken is None or shape is None or vocab is None:
        return None
    pairs, speed = taken.text / Span(700, 2_500), machine.speed(shape.num_multiplied(vocab))
    seconds = training_seconds(pairs * Span(50, 80) * knobs["epochs"], speed * Span(0.9, 1.7))
    sizes = shape.matrices(vocab)
    put_on = [sizes[target] for target in knobs["adapter"].targets if target in sizes]
    adapter = knobs["adapter"].rank * sum(num * (rows + cols) for num, rows, cols in put_on)
    memory = Span(0, 1.3e9) + training_memory(shape, vocab, knobs["batch_tokens"], adapter)
    kept = exactly(kept_bytes(shape, vocab) + 4 * adapter) + pairs * Span(40, 120)
    return Forecast(pairs, "pairs", taken.text, kept, seconds, memory)
