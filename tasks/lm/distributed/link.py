"""Between a stage and the ranks that train for it: one JSON document a line, over a socket.

    rank  → stage   hello, bar, advance, retarget, end, note; then one of done, stopped, refused,
                    broken
    stage → rank    job; then perhaps stop

A socket also tells each side that the other is gone, however it ended.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any

from storage.errors import Fault, PhusaError, RequestError, RunError

Message = dict[str, Any]
STOP_WITHIN_S = 10.0
"""From the wish to stop to the end by force; a step and a checkpoint have to fit."""


class Link:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._rest = b""
        self._sending = threading.Lock()

    def send(self, kind: str, **facts: Any) -> None:
        """Send a message, from any thread; nobody hears it if the other side is gone."""
        line = json.dumps({"kind": kind, **facts}, default=str).encode() + b"\n"
        with self._sending, contextlib.suppress(OSError):
            self.socket.sendall(line)

    def receive(self) -> list[Message] | None:
        """Wait for the next messages, perhaps none whole yet; None if the other side is gone."""
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            return None
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        self.socket.close()


def describe(error: PhusaError) -> Message:
    """An error as it travels."""
    faults = error.faults if isinstance(error, RequestError) else ()
    return {
        "name": type(error).__name__,
        "message": str(error),
        "faults": [[f.where, f.found, f.expected, f.remedy] for f in faults],
    }


def revive(described: Message) -> PhusaError:
    """The error of the same class and message."""
    kind = _all_kinds(PhusaError).get(described["name"], RunError)
    if issubclass(kind, RequestError):
        return kind([Fault(*fault) for fault in described["faults"]])
    return kind(described["message"])


def _all_kinds(root: type[PhusaError]) -> dict[str, type[PhusaError]]:
    kinds = {root.__name__: root}
    for kind in root.__subclasses__():
        kinds |= _all_kinds(kind)
    return kinds
