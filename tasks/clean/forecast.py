"""What a cleaning is expected to leave, and how long it takes."""

from __future__ import annotations

from tasks.foresight import Forecast, Known, Machine, Span


def forecast(known: Known, machine: Machine) -> Forecast | None:
    """Expect 4 to 20 ms of a core for a page, and some seconds to begin.

    108 pages/s on one core of a machine of 2026-11-28, 227 on two; the demo 130 (docs/benchmarks).
    Documents of 6.3 MB of text take 1.5 MB; a worker took 354 to 409 MB, its child 77 to 88.
    """
    pages = known.expected("pages")
    if pages is None:
        return None
    at_once = min(machine.workers, machine.cores)
    documents, text = pages.amount * Span(0.65, 1), pages.text * Span(0.7, 1)
    seconds = Span(1, 6) + pages.amount * Span(0.004, 0.02) * (1 / at_once)
    memory = Span(120e6, 260e6) + Span(40e6, 240e6) * at_once
    return Forecast(documents, "documents", text, text * Span(0.18, 0.45), seconds, memory)
