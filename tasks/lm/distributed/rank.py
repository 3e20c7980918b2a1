"""One rank of a training: it joins the others, does its part and tells the stage how it went.

Started by torchrun as `python -m tasks.lm.distributed.rank ADDRESS`. Without Prefect. What both
sides say is in launch.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from multiprocessing.connection import Client, Connection
from typing import NoReturn

import torch
import torch.distributed as dist

from storage.errors import Interrupted, PhusaError
from tasks.lm.distributed.world import STOP_WITHIN_S, World
from tasks.progress import Bar, report_to

_PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others: rank 0 writes checkpoints meanwhile."""


def run_rank(address: str) -> NoReturn:
    """Do this rank's part of the stage's job and end the process.

    It ends without Python's farewells: the threads of the process group may be stuck in a sum that
    another rank will never come to.
    """
    stage = _Stage(Client(address, family="AF_UNIX"))
    stage.tell("hello", os.getpid())
    code = _carry_out(stage)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _Stage:
    """The stage that this rank trains for, at the other end of a connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self._telling = connection, threading.Lock()

    def tell(self, kind: str, *facts: object) -> None:
        """Send a message, from any thread; nobody hears it if the other side is gone."""
        with self._telling, contextlib.suppress(OSError):
            self.connection.send((kind, *facts))


def _carry_out(stage: _Stage) -> int:
    """Returns the exit code; torchrun ends the other ranks if it is not 0."""
    try:
        try:
            order = stage.connection.recv()
        except EOFError:
            return 1
        if order == "stop" or stage.connection.poll():  # it has changed its mind, or is gone
            return 1
        job, device = order
        rank = int(os.environ["RANK"])
        world = World(rank, int(os.environ["WORLD_SIZE"]), _join(device, rank))
        _listen(stage, world)
        report_to(_RankReporter(stage, world))
        result = job.do_part(world)
        stage.tell("done", time.monotonic(), result if world.leads else None)
    except Interrupted as error:  # by all ranks at the same step, and rank 0 may still be saving
        stage.tell("stopped", time.monotonic(), error)
    except PhusaError as error:
        stage.tell("refused", time.monotonic(), error)
        return 1
    except BaseException as error:
        traceback.print_exc()
        text = "".join(traceback.format_exception_only(error)).strip()
        stage.tell("broken", time.monotonic(), text)
        return 1
    return 0


def _join(kind: str, rank: int) -> str:
    """Meet the other ranks; returns the device that they add up on."""
    if kind == "cpu":
        dist.init_process_group("gloo", timeout=_PATIENCE)
        return kind
    torch.cuda.set_device(rank)
    device = torch.device(kind, rank)
    dist.init_process_group("nccl", timeout=_PATIENCE, device_id=device)
    return str(device)


def _listen(stage: _Stage, world: World) -> None:
    """Ask the world to stop when the stage says so, when it is gone, or on SIGTERM."""

    def stop() -> None:
        world.ask_to_stop()
        time.sleep(STOP_WITHIN_S)
        os._exit(1)

    def wait() -> None:
        with contextlib.suppress(EOFError, OSError):
            stage.connection.recv()
        stop()

    def told(number: int, frame: object) -> None:
        threading.Thread(target=stop, daemon=True).start()

    threading.Thread(target=wait, name="phusa-stage", daemon=True).start()
    signal.signal(signal.SIGTERM, told)


class _RankReporter:
    """Rank 0 speaks; on every rank the bars raise Interrupted once all agreed to stop."""

    def __init__(self, stage: _Stage, world: World) -> None:
        self._stage, self._world, self._numbers = stage, world, count()

    def tell(self, kind: str, *facts: object) -> None:
        if self._world.leads:
            self._stage.tell(kind, *facts)

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        number = next(self._numbers)
        self.tell("bar", number, label, total, unit, done)
        yield _RankBar(self, self._world, number)
        self.tell("end", number)

    def note(self, text: str) -> None:
        self.tell("note", text)


class _RankBar:
    def __init__(self, reporter: _RankReporter, world: World, number: int) -> None:
        self._reporter, self._world, self._number = reporter, world, number

    def advance(self, amount: int = 1, **facts: object) -> None:
        if self._world.stopping:
            raise Interrupted("training was told to stop; the next run goes on from here")
        self._reporter.tell("advance", self._number, amount, facts)

    def retarget(self, total: int) -> None:
        self._reporter.tell("retarget", self._number, total)


if __name__ == "__main__":
    run_rank(sys.argv[1])
