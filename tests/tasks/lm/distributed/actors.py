"""Ranks that play a part: `python actors.py PART ADDRESS`. No torch, so they start at once."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

from storage.errors import Fault, NothingLeft, UnknownArtifact
from tasks.lm.distributed.link import Link, describe


def _connect() -> Link:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[2])
    link = Link(connection)
    link.send("hello", pid=os.getpid())
    return link


def _wait_for_stop(link: Link) -> None:
    while True:
        found = link.receive()
        if found is None or any(message["kind"] == "stop" for message in found):
            return


def play(part: str) -> None:
    """What two ranks say, both from this process."""
    rank0, rank1 = _connect(), _connect()
    job = rank0.receive()
    match part:
        case "finish":
            assert job is not None
            rank0.send("note", text=f"device {job[0]['device']}, job {job[0]['job']}")
            rank0.send("bar", bar=0, label="count", total=9, unit="sheep", done=1)
            rank0.send("advance", bar=0, amount=3, facts={"loss": 2.5})
            rank0.send("retarget", bar=0, total=7)
            rank0.send("end", bar=0)
            rank1.send("done", result=None)
            rank0.send("done", result={"large": "x" * 200_000})
        case "refuse":  # rank 1 knows why; rank 0 only sees that it is gone
            now = time.monotonic()
            rank0.send("broken", text="connection reset", at=now - 1)
            fault = Fault("a knob", "3", "2", "Lower it.")
            rank1.send("refused", error=describe(UnknownArtifact([fault, fault])), at=now)
        case "refuse-twice":
            now = time.monotonic()
            rank0.send("refused", error=describe(NothingLeft("later")), at=now)
            rank1.send("refused", error=describe(NothingLeft("first")), at=now - 1)
        case "break":
            rank1.send("broken", text="MemoryError: 3 GB", at=time.monotonic())
            _wait_for_stop(rank0)
        case "die":
            print("the last words")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        case "vanish":  # one rank only, and the other waits for it
            rank1.close()
            _wait_for_stop(rank0)
        case "stopped-from-outside":
            rank0.send("stopped", message="told by a signal")
            rank1.send("stopped", message="told by a signal")
        case "work" | "hang":
            rank0.send("bar", bar=0, label="count", total=9, unit="sheep", done=0)
            rank0.send("advance", bar=0, amount=1, facts={})
            _wait_for_stop(rank0)
            if part == "hang":
                time.sleep(600)
            print("saving a snapshot", flush=True)
            rank0.send("advance", bar=0, amount=1, facts={})  # nobody is to be told
            rank0.send("stopped", message="saved")
            rank1.send("stopped", message="saved")


if __name__ == "__main__":
    play(sys.argv[1])
