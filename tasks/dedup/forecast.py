"""What a deduplication is expected to leave, and how long it takes."""

from __future__ import annotations

from tasks.foresight import Forecast, Known, Machine, Span


def forecast(known: Known, machine: Machine) -> Forecast | None:
    """Expect a second, and 10 to 60 MB of text in another.

    The demo's 6.3 MB took 0.9 to 1.3 s and 92 MB of memory, 246 MB of manuals 5.2 s, 100,000
    made-up documents 876 MiB (docs/benchmarks.md).
    """
    taken = known.expected("documents")
    if taken is None:
        return None
    amount, text = taken.amount * Span(0.7, 1), taken.text * Span(0.7, 1)
    seconds = Span(0.4, 2.5) + taken.text * Span(1 / 60e6, 1 / 10e6)
    memory = Span(60e6, 150e6) + taken.amount * Span(2e3, 10e3)
    return Forecast(amount, "documents", text, text * Span(0.18, 0.45), seconds, memory)
