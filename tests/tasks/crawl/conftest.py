from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tasks.crawl.sources.web import WebSource
from tests.tasks.crawl.knobs import web_source

_POLICIES = frozenset({"/robots.txt", "/.well-known/tdmrep.json"})
HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass
class Answer:
    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: dict(HTML))


Route = Answer | str | Callable[[BaseHTTPRequestHandler], Answer | None]


@dataclass
class Request:
    path: str
    at: float
    headers: dict[str, str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A crawler that hangs up is nothing to print."""


class Site:
    """A website on loopback that writes down what it is asked. Paths it does not know: 404."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.log: list[Request] = []
        self.peak = 0
        self.on_request: Callable[[int], None] = lambda count: None
        self._now = 0
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def paths(self) -> list[str]:
        """What was asked for, without what is asked of every host first."""
        return [request.path for request in self.log if request.path not in _POLICIES]

    def links(self, path: str, *links: str, text: str = "") -> None:
        """A page with links."""
        anchors = "".join(f'<a href="{link}">x</a>' for link in links)
        self.routes[path] = f"<html><body>{text or path}{anchors}</body></html>"

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            headers = dict(handler.headers.items())
            self.log.append(Request(handler.path, time.monotonic(), headers))
            self._now += 1
            self.peak = max(self.peak, self._now)
            count = len(self.log)
        try:
            self.on_request(count)
            route = self.routes.get(handler.path, Answer(b"gone", 404))
            answer = route(handler) if callable(route) else route
        finally:
            with self._lock:  # before the answer, which lets the next request come
                self._now -= 1
        if answer is not None:
            _send(handler, Answer(answer) if isinstance(answer, str) else answer)


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def other_site() -> Iterator[Site]:
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def source() -> Callable[..., WebSource]:
    """A quick and impolite source for a site on loopback: `source(site, "/start", knob=…)`."""

    def make(site: Site, *seeds: str, **knobs: Any) -> WebSource:
        plain = {"soft_404": False}  # which asks for one page more
        return web_source(*(f"{site.url}{seed}" for seed in seeds or ("/",)), **(plain | knobs))

    return make
