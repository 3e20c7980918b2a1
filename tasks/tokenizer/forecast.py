"""What training a tokenizer is expected to take."""

from __future__ import annotations

from tasks.foresight import Forecast, Known, Machine, Span, exactly


def forecast(known: Known, machine: Machine) -> Forecast | None:
    """Expect 0.2 to 0.8 core seconds for a megabyte, and 50 to 90 bytes for an entry.

    5.7 MB to 4,096 entries took 1.1 s on two cores, 32 MB to 32,768 took 17.8 core seconds.
    """
    taken = known.expected("documents")
    if taken is None:
        return None
    entries = exactly(known.knobs["vocab_size"])
    seconds = Span(0.1, 0.5) + taken.text * Span(0.2e-6, 0.8e-6) * (1 / machine.cores)
    memory = Span(5e6, 60e6) + taken.text * Span(3, 15)
    return Forecast(entries, "entries", taken.text, entries * Span(50, 90), seconds, memory)
