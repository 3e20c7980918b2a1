"""Ctrl-C, SIGTERM and a closed terminal, as `phusa up` hears them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """The first signal asks for an orderly stop; the second calls `at_once` and ends there."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.name = ""

    @contextmanager
    def heard(self, at_once: Callable[[], None]) -> Iterator[None]:
        """Listen inside the block (in the main thread)."""

        def hear(number: int, frame: object) -> None:
            if self._asked.is_set():
                at_once()
            self.name = signal.Signals(number).name
            self._asked.set()

        before = {number: signal.signal(number, hear) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def is_asked(self) -> bool:
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait that long, or until someone asks to stop; True if so."""
        return self._asked.wait(seconds)
