"""What stands in for a Prefect server at the end of a command's pipe: each runs in a process."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection


def dies(pipe: Connection) -> None:
    pipe.recv()
    os.write(2, b"no room for a database\n")
    os._exit(7)


def hangs(pipe: Connection) -> None:
    time.sleep(60)


def is_slow(pipe: Connection) -> None:
    until = time.process_time() + 1.5
    while time.process_time() < until:
        pass
    serves(pipe)


def serves(pipe: Connection) -> None:
    pipe.recv()
    pipe.send("ready")
    pipe.poll(None)
