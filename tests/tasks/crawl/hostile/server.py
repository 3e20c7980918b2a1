"""Websites on loopback that may send any bytes at any moment, and write down what they are asked.

Every host is a port of one asyncio loop in one thread. Python's `http.server` (`../conftest.py`)
serves well-formed sites; it cannot cut a chunk, reset a connection or answer byte by byte.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from tasks.crawl.live.soft_404 import probe_path
from tests.tasks.crawl.hostile.answers import NOT_FOUND, Answer, page, words

_LARGEST_HEAD = 1 << 18
_OWN = ("/robots.txt", "/.well-known/", "/sitemap")
"""How paths begin that a crawl asks for although no page names them."""


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    line: str
    """The whole request line: method, target, version."""
    headers: Mapping[str, str]
    """By lower-case name."""
    at: float
    """time.monotonic() at its last byte."""
    under_way: int
    """Requests to this host without a whole answer yet, this one included."""
    open: int
    """Connections to this host, this one's included."""


@dataclass
class Exchange:
    """A request, and the connection on which to answer it as one likes."""

    asked: Asked
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection with RST, as a crashing server does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Play = Callable[[Exchange], Awaitable[None]]
"""An answer that is acted out; the connection is closed after it."""
Route = Answer | Play | Callable[[Asked], Answer]


@dataclass
class Host:
    """One website: a route for each path, and `otherwise` for all others."""

    address: str = "127.0.0.1"
    scheme: str = "http"
    port: int = 0
    routes: dict[str, Route] = field(default_factory=dict)
    otherwise: Route = NOT_FOUND
    log: list[Asked] = field(default_factory=list)
    under_way: int = 0
    open: int = 0
    connections: int = 0
    """Accepted so far."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}:{self.port}"

    def links(self, path: str, *links: str, head: str = "") -> None:
        """A page with links, and words of its own."""
        self.routes[path] = page(*links, text=words(path), head=head)

    def asked(self, path: str | None = None) -> list[Asked]:
        """The requests for `path`, or all but those of the crawl's own accord."""
        own = probe_path(f"{self.address}:{self.port}")
        return [
            asked
            for asked in self.log
            if (asked.path == path if path else not asked.path.startswith((*_OWN, own)))
        ]

    def paths(self) -> list[str]:
        """What was asked for because a seed or a page led there, in that order."""
        return [asked.path for asked in self.asked()]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        self.open += 1
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # a crawler may hang up
        finally:
            self.open -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection lives on."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.under_way += 1
        try:
            asked = self._note(head.decode("latin-1"))
            route = self._route(asked.path)
            if asyncio.iscoroutinefunction(route):
                await route(Exchange(asked, reader, writer))
                return False
            answer = route if isinstance(route, Answer) else route(asked)
        finally:
            self.under_way -= 1  # before the last byte leaves, which lets the next request come
        writer.write(answer.raw)
        await writer.drain()
        return answer.keeps_alive

    def _route(self, path: str) -> Route:
        return self.routes.get(path, NOT_FOUND if path.startswith(_OWN) else self.otherwise)

    def _note(self, head: str) -> Asked:
        line, *rest = head.split("\r\n")
        pairs = (header.partition(":") for header in rest if header)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        path = line.split(" ")[1]
        asked = Asked(path, line, headers, time.monotonic(), self.under_way, self.open)
        self.log.append(asked)
        return asked


class HostileServer:
    """Use as a context manager; `host()` opens one more website."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> HostileServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def host(self, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Host:
        host = Host(address, "https" if tls else "http")
        asyncio.run_coroutine_threadsafe(self._open(host, tls), self._loop).result(10)
        return host

    async def _open(self, host: Host, tls: ssl.SSLContext | None) -> None:
        server = await asyncio.start_server(
            host.serve, host.address, 0, limit=_LARGEST_HEAD, ssl=tls, backlog=256
        )
        host.port = server.sockets[0].getsockname()[1]
        self._servers.append(server)

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.gather(*rest, return_exceptions=True)
