"""Training on several devices of this machine: torchrun starts the ranks, this side watches them.

Nothing is left behind. Told to stop, all ranks stop after the same step, rank 0 saves a snapshot,
and whatever still lives after `STOP_WITHIN_S` is killed. A rank that loses this process, by a kill
-9 for one, does the same by itself. torchrun starts each rank in a session of its own, so a signal
to torchrun's group would not reach them: they are known by the pids that they say.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from storage.errors import Interrupted, RunError
from tasks.lm.config import ComputeConfig
from tasks.lm.device import count_devices, device_kind, usable_cores
from tasks.lm.distributed.link import STOP_WITHIN_S, Link, Message, revive
from tasks.progress import Bar, note, track

_LOOK_EVERY_S = 0.2
_LAST_WORDS = 10


def launch(module: str, job: str, compute: ComputeConfig, log: Path) -> Any:
    """Have `python -m MODULE` do `job` on the devices of `compute`; returns what rank 0 says.

    Progress and notes come out here. What the ranks print goes to `log`. Raises the error of the
    rank that failed first, RunError if one ended without a word, and whatever the progress bars
    raise, once the ranks have stopped.
    """
    size = count_devices(compute)
    with _listening() as (listener, address), log.open("wb") as output:
        process = subprocess.Popen(
            _command(size, module, address),
            env=_environment(compute, size),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for this process, which then stops the ranks
        )
        order = {"device": device_kind(compute), "job": job}
        with _Ranks(process, listener, order, size) as ranks:
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


def _command(size: int, module: str, address: str) -> list[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    # Else it is the host's name, which not every host can resolve.
    here = ["--local-addr", "127.0.0.1", "--nproc-per-node", str(size)]
    return [*run, *here, "-m", module, address]


def _environment(compute: ComputeConfig, size: int) -> dict[str, str]:
    """torchrun would give every rank one thread."""
    threads = max(1, (compute.threads or usable_cores()) // size)
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


class _Ranks:
    """The ranks of one training, as this process knows them."""

    def __init__(
        self, process: subprocess.Popen[bytes], listener: socket.socket, order: Message, size: int
    ) -> None:
        self._process, self._listener, self._order, self._size = process, listener, order, size
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._links: list[Link] = []
        self._pids: list[psutil.Process] = []
        self._bars: dict[int, Bar] = {}
        self._open: dict[int, ExitStack] = {}
        self._ends: list[Message] = []
        self._failed = False

    def __enter__(self) -> _Ranks:
        return self

    def __exit__(self, *error: object) -> None:
        """Have everything end: by itself if it was told why in time, by force if not."""
        try:
            for link in self._links:
                link.send("stop")
            self._order = {}
            self._wait(STOP_WITHIN_S)
        finally:
            self._kill()
            for link in self._links:
                link.close()
            self._selector.close()

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
        self._ends.sort(key=lambda end: end.get("at", float("inf")))
        for end in self._ends:
            if end["kind"] == "refused":
                raise revive(end["error"])
        for end in self._ends:
            if end["kind"] == "broken":
                raise RunError(
                    f"one of {self._size} ranks failed: {end['text']}; expected all of them to "
                    f"finish. {log} has the trace. Mend its cause and run the same command: "
                    "training goes on from the last snapshot."
                )
        for end in self._ends:
            if end["kind"] == "stopped":
                raise Interrupted(end["message"])
        done = [end["result"] for end in self._ends if end["kind"] == "done"]
        if len(done) == self._size:
            return next((result for result in done if result is not None), None)
        raise RunError(
            f"{self._size - len(done)} of {self._size} ranks ended without a word (torchrun: exit "
            f"code {self._process.returncode}); expected all of them to finish. Was one killed, "
            "for want of memory perhaps? Run the same command: training goes on from the last "
            f"snapshot. The end of {log}:\n{_last_words(log)}"
        )

    def _read(self, timeout: float) -> list[Message] | None:
        """What the ranks said; None if nothing came in time."""
        ready = self._selector.select(timeout)
        messages: list[Message] = []
        for key, _ in ready:
            if key.fileobj is self._listener:
                self._accept()
                continue
            link: Link = key.data
            found = link.receive()
            if found is None:
                self._selector.unregister(key.fileobj)
                self._failed |= self._num_gone() > len(self._ends)  # one without a word
            messages += found or []
            for message in found or []:
                self._write_down(message)
        return messages if ready else None

    def _accept(self) -> None:
        link = Link(self._listener.accept()[0])
        self._links.append(link)
        self._selector.register(link.socket, selectors.EVENT_READ, link)
        if self._order:
            link.send("job", **self._order)
        else:  # it came too late
            link.send("stop")

    def _write_down(self, message: Message) -> None:
        kind = message["kind"]
        if kind == "hello":
            with contextlib.suppress(psutil.NoSuchProcess):
                self._pids.append(psutil.Process(message["pid"]))
        if kind in ("done", "stopped", "refused", "broken"):
            self._ends.append(message)
            self._failed |= kind in ("refused", "broken")

    def _num_gone(self) -> int:
        """Ranks that came and are gone."""
        return len(self._links) - (len(self._selector.get_map()) - 1)

    def _show(self, message: Message, shown: ExitStack) -> None:
        kind, number = message["kind"], message.get("bar", -1)
        if kind == "note":
            note(message["text"])
        elif kind == "bar":
            about = (message["label"], message["total"], message["unit"], message["done"])
            self._open[number] = shown.enter_context(ExitStack())
            self._bars[number] = self._open[number].enter_context(track(*about))
        elif kind == "advance":
            self._bars[number].advance(message["amount"], **message["facts"])
        elif kind == "retarget":
            self._bars[number].retarget(message["total"])
        elif kind == "end":
            self._open[number].close()

    def _wait(self, seconds: float) -> None:
        """Until torchrun and all ranks have ended; what they say is read, so that none waits."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._process.poll() is not None and self._num_gone() == len(self._links):
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


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(lines[-_LAST_WORDS:])
