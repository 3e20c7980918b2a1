"""Training on several devices of this machine: torchrun starts the ranks, this side watches them.

Nothing is left behind. Told to stop, all ranks stop after the same step, rank 0 saves a snapshot,
and whatever still lives after `STOP_WITHIN_S` is killed. A rank that loses this process, by a kill
-9 for one, does the same by itself. torchrun starts each rank in a session of its own, so a signal
to torchrun's group would not reach them: they are known by the pids that they say.

Each rank has a connection to this process, which also tells each side that the other is gone,
however it ended. Messages are tuples:

    rank  → stage   (hello, pid), (bar, number, label, total, unit, done), (advance, number, amount,
                    facts), (retarget, number, total), (end, number), (note, text); then one of
                    (done, at, result), (stopped, at, error), (refused, at, error), (broken, at,
                    text), where `at` is the monotonic time
    stage → rank    (job, device); then perhaps "stop"
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import psutil

from storage.errors import RunError
from tasks.children import own_first
from tasks.lm.config import ComputeConfig
from tasks.lm.device import count_devices, device_kind
from tasks.lm.distributed.world import STOP_WITHIN_S, World
from tasks.machine import usable_cores
from tasks.progress import Bar, note, track

Message = tuple[Any, ...]
_LOOK_EVERY_S = 0.2
_LAST_WORDS = 10


class Job(Protocol):
    """What the ranks do; it can be pickled."""

    def do_part(self, world: World) -> Any:
        """Do what one process of `world` does; rank 0 returns what the stage is told."""


def launch(job: Job, compute: ComputeConfig, log: Path) -> Any:
    """Have a job done on the devices of `compute`; returns what rank 0 says.

    Progress and notes come out here. What the ranks print goes to `log`. Raises the error of the
    rank that failed first, RunError if one ended without a word, and whatever the progress bars
    raise, once the ranks have stopped.
    """
    size = count_devices(compute)
    with _listening() as (listener, address), log.open("wb") as output:
        process = subprocess.Popen(
            _command(size, address),
            env=_environment(compute, size),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for this process, which then stops the ranks
        )
        with _Ranks(process, listener, (job, device_kind(compute)), size) as ranks:
            ranks.follow()
    return ranks.result(log)


@contextmanager
def _listening() -> Iterator[tuple[socket.socket, str]]:
    """A socket in a folder that only this user may enter, and its address."""
    there = tempfile.gettempdir()
    with (
        # The address of a socket has 107 characters at most.
        tempfile.TemporaryDirectory(
            prefix="phusa-", dir=there if len(there) < 80 else "/tmp"
        ) as folder,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        address = f"{folder}/stage"
        listener.bind(address)
        listener.listen()
        yield listener, address


def _command(size: int, address: str) -> list[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    # Else it is the host's name, which not every host can resolve.
    here = ["--local-addr", "127.0.0.1", "--nproc-per-node", str(size)]
    return [*run, *here, "-m", "tasks.lm.distributed.rank", address]


def _environment(compute: ComputeConfig, size: int) -> dict[str, str]:
    """torchrun would give every rank one thread."""
    threads = max(1, (compute.threads or usable_cores()) // size)
    return {**own_first(), "OMP_NUM_THREADS": str(threads)}


class _Ranks:
    """The ranks of one training, as this process knows them."""

    def __init__(
        self, process: subprocess.Popen[bytes], listener: socket.socket, order: Message, size: int
    ) -> None:
        self._process, self._listener, self._order, self._size = process, listener, order, size
        self._ranks: list[Connection] = []
        self._here: list[Connection] = []  # those that are not gone yet
        self._pids: list[psutil.Process] = []
        self._bars: dict[int, tuple[Bar, ExitStack]] = {}
        self._ends: list[Message] = []
        self._stopping = self._failed = False

    def __enter__(self) -> _Ranks:
        return self

    def __exit__(self, *error: object) -> None:
        """Have everything end: by itself if it was told why in time, by force if not."""
        try:
            self._stopping = True
            for rank in self._here:
                _send(rank, "stop")
            self._wait(STOP_WITHIN_S)
        finally:
            self._kill()
            for rank in self._ranks:
                rank.close()

    def follow(self) -> None:
        """Show the ranks' progress until they end, or until one of them failed."""
        with ExitStack() as shown:
            while not self._failed:
                over = self._process.poll() is not None
                messages = self._read(0 if over else _LOOK_EVERY_S)
                for message in messages or ():
                    self._show(message, shown)
                if over and messages is None:
                    return

    def result(self, log: Path) -> Any:
        """What rank 0 ended with. Raises the first error of all ranks."""
        ends: dict[str, list[Any]] = {}
        for kind, _, value in sorted(self._ends, key=lambda end: end[1]):
            ends.setdefault(kind, []).append(value)
        if refused := ends.get("refused"):
            raise refused[0]
        if broken := ends.get("broken"):
            raise RunError(
                f"one of {self._size} ranks failed: {broken[0]}; expected all of them to finish. "
                f"{log} has the trace. Mend its cause and run the same command: training goes on "
                "from the last snapshot."
            )
        if stopped := ends.get("stopped"):
            raise stopped[0]
        done = ends.get("done", [])
        if len(done) == self._size:
            return next((result for result in done if result is not None), None)
        last_words = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_WORDS:])
        raise RunError(
            f"{self._size - len(done)} of {self._size} ranks ended without a word (torchrun: exit "
            f"code {self._process.returncode}); expected all of them to finish. Was one killed, "
            "for want of memory perhaps? Run the same command: training goes on from the last "
            f"snapshot. The end of {log}:\n{last_words}"
        )

    def _read(self, timeout: float) -> list[Message] | None:
        """What the ranks said; None if nothing came in time."""
        ready = wait([self._listener, *self._here], timeout)
        messages: list[Message] = []
        for source in ready:
            if not isinstance(source, Connection):
                self._accept()
                continue
            try:
                messages.append(source.recv())
            except (EOFError, OSError):
                self._here.remove(source)
                self._failed |= self._num_gone() > len(self._ends)  # one without a word
            else:
                self._write_down(*messages[-1])
        return messages if ready else None

    def _accept(self) -> None:
        rank = Connection(self._listener.accept()[0].detach())
        self._ranks.append(rank)
        self._here.append(rank)
        _send(rank, "stop" if self._stopping else self._order)  # it may come too late

    def _write_down(self, kind: str, *facts: Any) -> None:
        if kind == "hello":
            with contextlib.suppress(psutil.NoSuchProcess):
                self._pids.append(psutil.Process(*facts))
        elif kind in ("done", "stopped", "refused", "broken"):
            self._ends.append((kind, *facts))
            self._failed |= kind in ("refused", "broken")

    def _num_gone(self) -> int:
        """Ranks that came and are gone."""
        return len(self._ranks) - len(self._here)

    def _show(self, message: Message, shown: ExitStack) -> None:
        match message:
            case ("note", text):
                note(text)
            case ("bar", number, *about):
                bar = shown.enter_context(ExitStack())
                self._bars[number] = bar.enter_context(track(*about)), bar
            case ("advance", number, amount, facts):
                self._bars[number][0].advance(amount, **facts)
            case ("retarget", number, total):
                self._bars[number][0].retarget(total)
            case ("end", number):
                self._bars[number][1].close()

    def _wait(self, seconds: float) -> None:
        """Until torchrun and all ranks have ended; what they say is read, so that none waits."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._process.poll() is not None and not self._here:
                return
            self._read(_LOOK_EVERY_S)

    def _kill(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._pids += psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
        for process in self._pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()


def _send(rank: Connection, message: object) -> None:
    """Nobody hears it if the rank is gone."""
    with contextlib.suppress(OSError):
        rank.send(message)
