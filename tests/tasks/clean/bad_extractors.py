"""Extractors that do what hostile pages make extractors do. Importable by the sandbox's child."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from itertools import repeat

from tasks.clean.extractors import Extraction


class NeedsTwo(Exception):
    """An exception that pickles but cannot be unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


@dataclass(frozen=True)
class Obedient:
    """Does what the page says."""

    kind: str = "obedient"

    def extract(self, html: str, url: str) -> Extraction:
        """The page's text, unless it begins with an order."""
        _ORDERS.get(html, lambda: None)()
        return Extraction("title", f"{html} of {url}")


def _raise(error: BaseException) -> None:
    raise error


def _fill_memory() -> None:
    held = []
    while True:
        held.append(bytes(64 << 20))  # asked for but never touched: quick


_ORDERS = {
    "hang": lambda: time.sleep(600),
    "loop": lambda: deque(repeat(None), maxlen=0),  # in C: deaf to SIGTERM
    "exit": lambda: os._exit(7),
    "sysexit": lambda: sys.exit("bye"),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "memory": _fill_memory,
    "raise": lambda: _raise(KeyError("what")),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "timeouterror": lambda: _raise(TimeoutError("not the sandbox's")),
    "unpicklable": lambda: _raise(NeedsTwo("a", "b")),
    "lambda": lambda: _raise(ValueError(lambda: None)),
    "recursion": lambda: _raise(RecursionError("deep")),
    "long": lambda: _raise(ValueError("x" * 10_000)),
    "pid": lambda: _raise(ValueError(str(os.getpid()))),
    "limit": lambda: _raise(ValueError(str(_limits()))),
}


def _limits() -> tuple[int, int]:
    import resource

    return resource.getrlimit(resource.RLIMIT_AS)
