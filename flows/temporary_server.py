"""A Prefect server of one command's own, which ends with the command, however that ends.

Prefect's own (`SubprocessASGIServer`, 3.8) is in the group of the command, so that a signal to the
group ends it first; it is given a fixed time to start, and outlives a kill -9 by minutes. This one
is in a session of its own, ignores signals, and ends at the end of its pipe. It keeps its runs
where any server of this PREFECT_HOME does; `phusa up` shows them later.

The command holds the socket that the server listens on. While a server that died is started again,
requests wait there, and are answered by the next one.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import psutil

from storage.errors import Fault, RunError
from tasks.children import Child

_SAY_EVERY_S = 10.0
_STUCK_S = 120.0  # without any processor time
_END_S = 4.0
_LOOK_EVERY_S = 0.2
_STARTS = 5
_TAIL_BYTES = 1_500
_NAME = "Prefect's temporary server"


class TemporaryServer:
    """The server as its command knows it. `say` tells a person what is waited for."""

    def __init__(self, say: Callable[[str], None], serve: Callable[[Connection], None]) -> None:
        self._say, self._serve = say, serve
        self.auth = f"phusa:{secrets.token_urlsafe()}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._child = self._start()

    @property
    def api_url(self) -> str:
        return _url(self._listener)

    def wait(self) -> None:
        """Wait for as long as it gets on. Raises RunError if it ends, or hangs for two minutes."""
        began = moved = said = time.monotonic()
        used = 0.0
        while not self._child.pipe.poll(_LOOK_EVERY_S):
            now = time.monotonic()
            with suppress(psutil.Error):
                spent = sum(psutil.Process(self._child.pid).cpu_times()[:2])
                used, moved = (spent, now) if spent > used else (used, moved)
            if now - moved > _STUCK_S:
                raise self._fault(f"no progress in {now - moved:.0f} s", "prefect_server_stuck")
            if now - said > _SAY_EVERY_S:
                said = now
                self._say(f"waiting for {_NAME}: {now - began:.0f} s so far, and it gets on")
        try:
            self._child.pipe.recv()
        except EOFError:
            found = f"exit code {self._child.end()} before it answered"
            raise self._fault(found, "prefect_server_ended") from None
        self._watcher.start()

    def close(self) -> None:
        """End it; it has a moment to write down what it was told."""
        self._over.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._child.end(_END_S)
        self._listener.close()
        self._log.close()

    def _start(self) -> Child:
        number = self._listener.fileno()
        child = Child(self._serve, fds=[number], output=self._log, start_new_session=True)
        child.pipe.send((number, self.auth))
        return child

    def _watch(self) -> None:
        """Start it again if it dies; a few times, and then let requests be refused."""
        for left in reversed(range(_STARTS)):
            while not self._has_ended():
                if self._over.is_set():
                    return
            code = self._child.end()
            again = "it is started again; what was being told it may be lost"
            self._say(f"{_NAME} ended with exit code {code}; {again if left else 'it stays away'}")
            if left:
                self._child = self._start()
        self._listener.close()

    def _has_ended(self) -> bool:
        try:
            if self._child.pipe.poll(_LOOK_EVERY_S):
                self._child.pipe.recv()  # it is ready
        except (EOFError, OSError):
            return True
        return False

    def _fault(self, found: str, code: str) -> RunError:
        size = os.fstat(self._log.fileno()).st_size
        at = max(0, size - _TAIL_BYTES)  # `seek` would move where the server writes
        tail = os.pread(self._log.fileno(), _TAIL_BYTES, at).decode(errors="replace").strip()
        remedy = (
            "PREFECT_HOME (~/.prefect) holds its database: is there room, is it writable? Or name "
            "a server that runs with PREFECT_API_URL. Then run the same command."
        )
        found += f", saying:\n{tail}\n" if tail else ", without a word"
        return RunError(Fault(_NAME, found, "one that starts", remedy, code))


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/api"


@contextmanager
def temporary_server(say: Callable[[str], None]) -> Iterator[TemporaryServer]:
    """Have a server inside the block."""
    server = TemporaryServer(say, serve)
    try:
        server.wait()
        yield server
    finally:
        server.close()


# --- in the server's process ----------------------------------------------------------------------

_SET_STATE = re.compile(r"/flow_runs/([0-9a-f-]{36})/set_state$")


class _Noting:
    """Notes the flow runs that a server is told of: all of them are its command's."""

    def __init__(self, app: Any) -> None:
        self._app, self.runs = app, set[str]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if found := _SET_STATE.search(scope.get("path", "")):
            self.runs.add(found[1])
        await self._app(scope, receive, send)


class _Serving:
    """The server in a thread of its process: the main one hears the end of the pipe meanwhile."""

    def __init__(self, pipe: Connection, listener: socket.socket) -> None:
        self._pipe, self._listener = pipe, listener
        self._server: Any = None
        self.app: _Noting | None = None

    def run(self) -> None:
        """Serve until `stop`; a server that ends by itself ends the process."""
        code = 1
        try:
            import uvicorn
            from prefect.server.api.server import create_app

            pipe = self._pipe

            class Server(uvicorn.Server):
                async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                    await super().startup(sockets)
                    if self.started:
                        pipe.send("ready")

            self.app = _Noting(create_app(ephemeral=True, final=True))
            config = uvicorn.Config(
                self.app, log_level="error", lifespan="on", timeout_graceful_shutdown=1
            )
            self._server = Server(config)
            self._server.run([self._listener])
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)

    def stop(self) -> bool:
        """Have it write down what it knows, and end the process; False if it never served."""
        if self._server is None or not self._server.started:
            return False
        self._server.should_exit = True
        return True


def serve(pipe: Connection) -> None:
    """Serve until the pipe ends; runs that have not ended then are written down as crashed."""
    number, auth = pipe.recv()
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY"):
        os.environ.pop(name, None)
    os.environ["PREFECT_SERVER_API_AUTH_STRING"] = os.environ["PREFECT_API_AUTH_STRING"] = auth
    listener = socket.socket(fileno=number)
    serving = _Serving(pipe, listener)
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    with suppress(EOFError, OSError):
        pipe.recv()
    if serving.app is not None and serving.app.runs:
        from flows.recording import mark_crashed

        mark_crashed(_url(listener), auth, serving.app.runs)
    if serving.stop():
        thread.join(_END_S)
    os._exit(0)
