"""A proxy on loopback in front of an S3 server that fails as networks and stores do.

`proxy.plan(action, method, part_of_path, times)` plays the action on the next requests that match;
the rest passes through. An action says what the client gets, and what the store is asked.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

ALWAYS = 1_000_000


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """One connection of a client's."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # 40 ms for each answer otherwise
    server: _Server

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy = self.server.proxy
        proxy.requests.append(f"{self.command} {self.path}")
        (proxy.next_action(self.command, self.path) or passed_on)(self)

    def forward(self, body: bytes | None = None, without: tuple[str, ...] = ()) -> Answer:
        """Ask the store; with another body, nothing that was computed over the first one."""
        sent = self.body if body is None else body
        dropped = {"expect", "content-length", "connection", *without}
        if body is not None:
            dropped |= {"content-md5", "x-amz-content-sha256", "x-amz-sdk-checksum-algorithm"}
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in dropped
            and not (body is not None and name.lower().startswith("x-amz-checksum"))
        }
        upstream = http.client.HTTPConnection(self.server.proxy.upstream, timeout=30)
        try:
            upstream.request(self.command, self.path, body=sent, headers=headers)
            response = upstream.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            upstream.close()

    def reply(self, answer: Answer, body: bytes | None = None) -> None:
        """Answer the client, or with only `body` of it, closing the connection in the middle."""
        self.send_response_only(answer.status)
        names = [name.lower() for name, _ in answer.headers]
        for name, value in answer.headers:
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        if "content-length" not in names:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if body is None else body)
        self.close_connection = body is not None

    def log_message(self, format: str, *arguments: object) -> None:
        pass


Action: TypeAlias = Callable[[Handler], None]


class _Server(ThreadingHTTPServer):
    proxy: FaultyProxy

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients hang up here on purpose


class FaultyProxy:
    """Use as a context manager; `url` is what AWS_ENDPOINT_URL should be, `requests` what came."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.requests: list[str] = []
        self._plans: list[tuple[Action, str, str, list[int]]] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def plan(self, action: Action, method: str = "", part: str = "", times: int = 1) -> None:
        self._plans.append((action, method, part, [times]))

    def clear(self) -> None:
        self._plans.clear()
        self.requests.clear()

    def next_action(self, method: str, path: str) -> Action | None:
        with self._lock:
            for action, wanted, part, left in self._plans:
                if wanted in ("", method) and part in path and left[0] > 0:
                    left[0] -= 1
                    return action
        return None

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def passed_on(handler: Handler) -> None:
    handler.reply(handler.forward())


def refused(status: int, code: str) -> Action:
    """The store answers an error and has done nothing."""
    text = f"<Error><Code>{code}</Code><Message>of {code}: secret</Message></Error>"
    return lambda handler: handler.reply(Answer(status, [], text.encode()))


def done_but_refused(status: int, code: str) -> Action:
    """The store has done it and answers an error."""

    def act(handler: Handler) -> None:
        handler.forward()
        refused(status, code)(handler)

    return act


def dropped(handler: Handler) -> None:
    """The connection breaks before the store hears of it."""
    handler.close_connection = True


def done_but_dropped(handler: Handler) -> None:
    """The store has done it, and the connection breaks."""
    handler.forward()
    handler.close_connection = True


def done_but_late(seconds: float) -> Action:
    """The store does it at once and answers late."""

    def act(handler: Handler) -> None:
        answer = handler.forward()
        time.sleep(seconds)
        handler.reply(answer)

    return act


def done_late(seconds: float) -> Action:
    """The store hears of it only when the client has given up."""

    def act(handler: Handler) -> None:
        time.sleep(seconds)
        handler.forward()
        handler.close_connection = True

    return act


def torn(handler: Handler) -> None:
    """The store keeps half of what was sent and says that all is well."""
    handler.reply(handler.forward(handler.body[: len(handler.body) // 2]))


def ignored(handler: Handler) -> None:
    """The store keeps nothing and says that all is well."""
    handler.reply(Answer(200, [("ETag", '"0123456789abcdef"')], b""))


def unconditional(handler: Handler) -> None:
    """The store has never heard of conditions."""
    handler.reply(handler.forward(without=("if-match", "if-none-match")))


def cut(handler: Handler) -> None:
    """Half of the answer's body comes, then the connection breaks."""
    answer = handler.forward()
    handler.reply(answer, answer.body[: len(answer.body) // 2])


def shortened(handler: Handler) -> None:
    """Half of a range comes, as if it were all of it."""
    answer = handler.forward()
    headers = [(n, v) for n, v in answer.headers if n.lower() != "content-length"]
    handler.reply(Answer(answer.status, headers, answer.body[: len(answer.body) // 2]))
