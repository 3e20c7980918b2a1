"""What tokenizing documents is expected to make and to take."""

from __future__ import annotations

from tasks.foresight import Forecast, Known, Machine, Span


def forecast(known: Known, machine: Machine) -> Forecast | None:
    """Expect 2.4 to 5 bytes in a token, and 0.4 to 1.3 core seconds for a megabyte.

    The demo's 5.7 MB gave 1.7 million tokens and 1.4 MB, in 1.6 to 2 s on two cores.
    """
    taken = known.expected("documents")
    if taken is None:
        return None
    at_once = min(machine.workers, machine.cores)
    seconds = Span(0.3, 1.5) + taken.text * Span(0.4e-6, 1.3e-6) * (1 / at_once)
    memory = Span(60e6, 250e6) + taken.text * Span(0.5, 3)
    kept = taken.text * Span(0.2, 0.45)
    return Forecast(taken.text / Span(2.4, 5), "tokens", taken.text, kept, seconds, memory)
