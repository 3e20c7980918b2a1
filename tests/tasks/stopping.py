"""A reporter that writes down what it hears, and asks for a stop after so many units of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from storage.errors import Interrupted
from tasks.progress import Bar


class StopAfter:
    """Raises Interrupted at the bar's `count`-th advance; 0: never."""

    def __init__(self, label: str = "", count: int = 0) -> None:
        self._label, self._count = label, count
        self.advances: dict[str, list[dict[str, Any]]] = {}
        self.bars: list[tuple[str, int, str, int]] = []
        self.closed: list[str] = []
        self.notes: list[str] = []

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        self.bars.append((label, total, unit, done))
        try:
            yield _Bar(self, label)
        finally:
            self.closed.append(label)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def heard(self, label: str, facts: dict[str, Any]) -> None:
        heard = self.advances.setdefault(label, [])
        heard.append(facts)
        if label == self._label and len(heard) == self._count:
            raise Interrupted("enough")


class _Bar:
    def __init__(self, reporter: StopAfter, label: str) -> None:
        self._reporter, self._label = reporter, label

    def advance(self, amount: int = 1, **facts: object) -> None:
        self._reporter.heard(self._label, {"amount": amount, **facts})

    def retarget(self, total: int) -> None:
        self._reporter.heard(self._label, {"total": total})
