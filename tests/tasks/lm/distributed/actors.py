"""Ranks that play a part: `python actors.py PART ADDRESS`. No torch of their own: see launch.py for
what they say."""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.connection import Client, Connection

from storage.errors import Fault, Interrupted, NothingLeft, UnknownArtifact


def _connect() -> Connection:
    connection: Connection = Client(sys.argv[2], family="AF_UNIX")
    connection.send(("hello", os.getpid()))
    return connection


def _wait_for_stop(rank: Connection) -> None:
    try:
        while rank.recv() != "stop":
            pass
    except EOFError:
        return


def play(part: str) -> None:
    """What two ranks say, both from this process."""
    rank0, rank1 = _connect(), _connect()
    now = time.monotonic()
    match part:
        case "finish":
            job, device = rank0.recv()
            rank0.send(("note", f"device {device}, job {type(job).__name__}"))
            rank0.send(("bar", 0, "count", 9, "sheep", 1))
            rank0.send(("advance", 0, 3, {"loss": 2.5}))
            rank0.send(("retarget", 0, 7))
            rank0.send(("end", 0))
            rank1.send(("done", now, None))
            rank0.send(("done", now, {"large": "x" * 200_000}))
        case "refuse":  # rank 1 knows why; rank 0 only sees that it is gone
            rank0.send(("broken", now - 1, "connection reset"))
            fault = Fault("a knob", "3", "2", "Lower it.")
            rank1.send(("refused", now, UnknownArtifact([fault, fault])))
        case "refuse-twice":
            rank0.send(("refused", now, NothingLeft("later")))
            rank1.send(("refused", now - 1, NothingLeft("first")))
        case "break":
            rank1.send(("broken", now, "MemoryError: 3 GB"))
            _wait_for_stop(rank0)
        case "die":
            print("the last words")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        case "vanish":  # one rank only, and the other waits for it
            rank1.close()
            _wait_for_stop(rank0)
        case "stopped-from-outside":
            rank0.send(("stopped", now, Interrupted("told by a signal")))
            rank1.send(("stopped", now, Interrupted("told by a signal")))
        case "work" | "hang":
            rank0.send(("bar", 0, "count", 9, "sheep", 0))
            rank0.send(("advance", 0, 1, {}))
            _wait_for_stop(rank0)
            if part == "hang":
                time.sleep(600)
            print("saving a snapshot", flush=True)
            rank0.send(("advance", 0, 1, {}))  # nobody is to be told
            rank0.send(("stopped", now, Interrupted("saved")))
            rank1.send(("stopped", now, Interrupted("saved")))


if __name__ == "__main__":
    play(sys.argv[1])
