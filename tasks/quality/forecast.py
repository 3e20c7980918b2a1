"""What scoring is expected to take."""

from __future__ import annotations

from tasks.foresight import Forecast, Known, Machine, Span, exactly


def forecast(known: Known, machine: Machine) -> Forecast | None:
    """Expect next to nothing without a classifier; with one, text scored at 20 to 200 MB/s."""
    taken = known.expected("documents")
    if taken is None or known.knobs["classifier"] is None:
        none = exactly(0)
        return taken and Forecast(taken.amount, "documents", taken.text, none, none, none)
    seconds = Span(2, 60) + taken.text * Span(1 / 200e6, 1 / 20e6)
    kept = taken.amount * Span(20, 60) + Span(4e6, 6e6)
    return Forecast(taken.amount, "documents", taken.text, kept, seconds, Span(50e6, 1e9))
