"""Progress is named by the work and shown by whoever watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context

from tasks.progress import Bar, SilentReporter, note, report_to, track


class Diary:
    """A reporter that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[object] = []

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        self.said.append((label, total, unit, done))
        yield _DiaryBar(self.said)
        self.said.append("end")

    def note(self, text: str) -> None:
        self.said.append(text)


class _DiaryBar:
    def __init__(self, said: list[object]) -> None:
        self._said = said

    def advance(self, amount: int = 1, **facts: object) -> None:
        self._said.append((amount, facts))

    def retarget(self, total: int) -> None:
        self._said.append(total)


def _work() -> None:
    note("begin")
    with track("count", 3, "sheep", done=1) as bar:
        bar.advance(loss=2)
        bar.retarget(9)


def test_a_reporter_hears_of_its_own_context_only() -> None:
    diary = Diary()

    def watched() -> None:
        report_to(diary)
        _work()

    copy_context().run(watched)
    assert diary.said == ["begin", ("count", 3, "sheep", 1), (1, {"loss": 2}), 9, "end"]
    _work()  # outside: nobody watches, nothing breaks
    assert len(diary.said) == 5


def test_silence_takes_everything() -> None:
    silent = SilentReporter()
    silent.note("nothing")
    with silent.bar("a", 1, "b", 0) as bar:
        bar.advance(5, loss=1.0)
        bar.retarget(2)
