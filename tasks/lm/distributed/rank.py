"""One rank of a training: it joins the others, does its part and tells the stage how it went.

Started by torchrun as `python -m tasks.<stage>.worker ADDRESS`. Without Prefect.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from storage.errors import Interrupted, PhusaError
from tasks.lm.distributed.link import STOP_WITHIN_S, Link, Message, describe
from tasks.lm.distributed.world import World
from tasks.progress import Bar, report_to

Work = Callable[[str, World], Any]
"""From a job's JSON and the world to what the stage is told, as JSON values, by rank 0."""

_PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others: rank 0 writes checkpoints meanwhile."""


def run_rank(work: Work) -> NoReturn:
    """Do this rank's part of `work` and end the process.

    It ends without Python's farewells: the threads of the process group may be stuck in a sum that
    another rank will never come to.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    link, rank = Link(connection), int(os.environ["RANK"])
    link.send("hello", pid=os.getpid())
    code = _carry_out(work, link, rank)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _carry_out(work: Work, link: Link, rank: int) -> int:
    """Returns the exit code; torchrun ends the other ranks if it is not 0."""
    try:
        order = _order(link)
        if order is None:
            return 1
        world = World(rank, int(os.environ["WORLD_SIZE"]), _join(order["device"], rank))
        _listen(link, world)
        report_to(_RankReporter(link, world))
        result = work(order["job"], world)
        link.send("done", result=result if world.leads else None)
    except Interrupted as error:  # by all ranks at the same step, and rank 0 may still be saving
        link.send("stopped", message=str(error))
    except PhusaError as error:
        link.send("refused", error=describe(error), at=time.monotonic())
        return 1
    except BaseException as error:
        traceback.print_exc()
        text = "".join(traceback.format_exception_only(error)).strip()
        link.send("broken", text=text, at=time.monotonic())
        return 1
    return 0


def _order(link: Link) -> Message | None:
    """What to do; None if the stage is gone by now, or has changed its mind."""
    messages: list[Message] = []
    while not messages:
        found = link.receive()
        if found is None:
            return None
        messages += found
    return messages[0] if [message["kind"] for message in messages] == ["job"] else None


def _join(kind: str, rank: int) -> str:
    """Meet the other ranks; returns the device that they add up on."""
    if kind == "cpu":
        dist.init_process_group("gloo", timeout=_PATIENCE)
        return kind
    torch.cuda.set_device(rank)
    device = torch.device(kind, rank)
    dist.init_process_group("nccl", timeout=_PATIENCE, device_id=device)
    return str(device)


def _listen(link: Link, world: World) -> None:
    """Ask the world to stop when the stage says so, when it is gone, or on SIGTERM."""

    def stop() -> None:
        world.ask_to_stop()
        time.sleep(STOP_WITHIN_S)
        os._exit(1)

    def wait() -> None:
        link.receive()
        stop()

    def told(number: int, frame: object) -> None:
        threading.Thread(target=stop, daemon=True).start()

    threading.Thread(target=wait, name="phusa-stage", daemon=True).start()
    signal.signal(signal.SIGTERM, told)


class _RankBar:
    def __init__(self, link: Link, world: World, number: int) -> None:
        self._link, self._world, self._number = link, world, number

    def advance(self, amount: int = 1, **facts: object) -> None:
        if self._world.stopping:
            raise Interrupted("training was told to stop; the next run goes on from here")
        if self._world.leads:
            self._link.send("advance", bar=self._number, amount=amount, facts=facts)

    def retarget(self, total: int) -> None:
        if self._world.leads:
            self._link.send("retarget", bar=self._number, total=total)


class _RankReporter:
    """Rank 0 speaks; on every rank the bars raise Interrupted once all agreed to stop."""

    def __init__(self, link: Link, world: World) -> None:
        self._link, self._world, self._numbers = link, world, count()

    @contextmanager
    def bar(self, label: str, total: int, unit: str, done: int) -> Iterator[Bar]:
        number = next(self._numbers)
        if self._world.leads:
            about = {"label": label, "total": total, "unit": unit, "done": done}
            self._link.send("bar", bar=number, **about)
        yield _RankBar(self._link, self._world, number)
        if self._world.leads:
            self._link.send("end", bar=number)

    def note(self, text: str) -> None:
        if self._world.leads:
            self._link.send("note", text=text)
