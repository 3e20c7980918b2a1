"""HTTP by libcurl: HTTP/1.1 and 2, connections kept, one request at a time and nothing on its own.

Redirects, retries, robots and delays are the caller's. Addresses are judged where a socket is
opened, after the name was resolved: a name that means another address the next time (rebinding)
gains nothing by it. libcurl checks certificates, and refuses more than 300 KB of headers.

libcurl took 0.11 ms of CPU for a page of 31 KB on loopback; aiohttp 0.15 ms, but it speaks no
HTTP/2; httpcore 1.7 ms and httpx 2.0 ms (2 500 pages, 16 at once). Scrapy was tried for the whole
crawl: its frontier outlasts clean stops only.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import certifi
import pycurl

from tasks.crawl.captures import RejectedUrl
from tasks.crawl.live.body import ACCEPT_ENCODING, BodyError, BodyReader

_MAX_HEADERS = 256
_STATUS = re.compile("[1-5][0-9]{2}", re.ASCII)
_NO_ANSWER = ("unreachable", "a response", True)
_BAD_TLS = ("tls", "a certificate that can be verified", True)
_REASONS = {
    pycurl.E_URL_MALFORMAT: ("invalid_url", "a URL that can be fetched", False),
    pycurl.E_OPERATION_TIMEDOUT: ("timed_out", "", True),
    pycurl.E_PARTIAL_FILE: ("truncated", "the whole body", True),
    pycurl.E_SSL_CONNECT_ERROR: _BAD_TLS,
    pycurl.E_PEER_FAILED_VERIFICATION: _BAD_TLS,
    pycurl.E_SSL_ISSUER_ERROR: _BAD_TLS,
    pycurl.E_SSL_CERTPROBLEM: _BAD_TLS,
    pycurl.E_SSL_CIPHER: _BAD_TLS,
}
"""Reason, threshold and whether it may pass, by libcurl's error."""


@dataclass(frozen=True)
class Response:
    """An answer, read to its end and decoded. Header values are Latin-1, as HTTP has them."""

    url: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    wire_bytes: int
    seconds: float

    def header(self, name: str) -> str:
        """Return the last value of a header, or empty."""
        return next((v for n, v in reversed(self.headers) if n.lower() == name), "")


@dataclass(frozen=True)
class Failure:
    """No answer, and after how long; its reject is `passing` if another try may bring one."""

    reject: RejectedUrl
    seconds: float = 0.0


@dataclass
class _Exchange:
    """What libcurl's callbacks collect of one request."""

    limit: int
    cut: bool
    is_cut: bool = False
    status: int = 0
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: BodyReader | None = None
    error: BodyError | None = None
    refused_address: str = ""
    sockets: list[socket.socket] = field(default_factory=list)
    """Of which libcurl has its own copies."""

    def take_header(self, line: bytes) -> int | None:
        if line.startswith(b"HTTP/"):  # of the last of several: 100 Continue, then the answer
            words = line.decode("latin-1").strip().split(" ", 2)
            self.status = int(words[1]) if len(words) > 1 and _STATUS.fullmatch(words[1]) else 0
            self.reason = words[2] if len(words) > 2 else ""
            self.headers.clear()
            return None
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            self.headers.append((name.strip(), value.strip()))
        if len(self.headers) > _MAX_HEADERS:
            self.error = BodyError("unreachable", "too many headers", f"{_MAX_HEADERS} headers")
            return -1
        return None

    def take_body(self, data: bytes) -> int | None:
        try:
            self._reader().feed(data)
        except BodyError as error:
            if self.cut and error.reason == "too_large":
                self.is_cut = True  # where the caller wants no more
            else:
                self.error = error
            return -1
        return None

    def finish(self) -> tuple[bytes, int]:
        reader = self._reader()
        return reader.beginning() if self.is_cut else reader.finish(), reader.wire_bytes

    def _reader(self) -> BodyReader:
        if self.body is None:
            coding = [v for n, v in self.headers if n.lower() == "content-encoding" and v]
            self.body = BodyReader(", ".join(coding), self.limit)
        return self.body


def is_private(address: str) -> bool:
    """Whether an IP address is this machine's or its network's (loopback, link-local, private).

    Pages of the web must not lead a crawl into its own network.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # no IP address at all: a Unix socket, say
        return True
    mapped = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return not (mapped or found).is_global or found.is_multicast


class HttpClient:
    """Use as an async context manager, inside of one event loop."""

    def __init__(
        self, user_agent: str, *, timeout_s: float, allow_private: bool, languages: str = ""
    ) -> None:
        self._timeout_s, self._allow_private = timeout_s, allow_private
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5",
            "Accept-Encoding": ACCEPT_ENCODING,
        }
        if languages:
            self._headers["Accept-Language"] = languages
        self._authorities = ssl.get_default_verify_paths().cafile or certifi.where()
        self._multi = pycurl.AsyncCurlMulti()
        self._idle: list[pycurl.Curl] = []

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        for handle in self._idle:
            handle.close()
        await self._multi.aclose()

    async def get(
        self,
        url: str,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        *,
        cut: bool = False,
    ) -> Response | Failure:
        """Ask once. Never raises for what a server does.

        A body of more than `max_bytes`, decoded, is a Failure or, with `cut`, cut off there.
        """
        exchange, begun = _Exchange(max_bytes, cut), monotonic()
        handle = self._idle.pop() if self._idle else pycurl.Curl()
        try:
            self._prepare(handle, exchange, url, headers or {})
        except (UnicodeError, ValueError) as error:
            expected = "a URL that can be fetched"
            return Failure(RejectedUrl(url, "invalid_url", str(error), expected))
        try:
            await self._multi.perform(handle)
            code, message = 0, ""
        except pycurl.error as error:
            code, message = int(error.args[0]), str(error.args[-1])
        seconds = monotonic() - begun
        handle.reset()
        for opened in exchange.sockets:
            opened.close()
        self._idle.append(handle)
        return self._judge(url, exchange, code, message, seconds)

    def _prepare(
        self, handle: pycurl.Curl, exchange: _Exchange, url: str, headers: Mapping[str, str]
    ) -> None:
        lines = [f"{name}: {value}" for name, value in (self._headers | dict(headers)).items()]
        for option, value in (
            (pycurl.URL, url),
            (pycurl.HTTPHEADER, lines),
            (pycurl.HEADERFUNCTION, exchange.take_header),
            (pycurl.WRITEFUNCTION, exchange.take_body),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS),
            (pycurl.TIMEOUT_MS, max(int(self._timeout_s * 1000), 1)),
            (pycurl.CAINFO, self._authorities),
            (pycurl.NOSIGNAL, 1),
            (pycurl.PROXY, ""),
            (pycurl.BUFFERSIZE, 1 << 18),
            (pycurl.PATH_AS_IS, 1),
        ):
            handle.setopt(option, value)
        if not self._allow_private:

            def open_socket(_: int, address: Any) -> socket.socket | int:
                where = str(address.addr[0])
                if is_private(where):
                    exchange.refused_address = where
                    return int(pycurl.SOCKET_BAD)
                opened = socket.socket(address.family, address.socktype, address.protocol)
                exchange.sockets.append(opened)
                return opened

            handle.setopt(pycurl.OPENSOCKETFUNCTION, open_socket)

    def _judge(
        self, url: str, exchange: _Exchange, code: int, message: str, seconds: float
    ) -> Response | Failure:
        error = exchange.error
        if code == 0 or exchange.is_cut:
            try:
                body, wire_bytes = exchange.finish()
            except BodyError as found:
                error = found
            else:
                if exchange.status:
                    got = (exchange.status, exchange.reason, exchange.headers, body, wire_bytes)
                    return Response(url, *got, seconds)
                reject = RejectedUrl(url, "unreachable", "no HTTP status", "a response", True)
                return Failure(reject, seconds)
        if error is not None:
            passing = error.reason == "truncated"  # another try may bring it whole
            return Failure(error.reject(url, passing=passing), seconds)
        if exchange.refused_address:
            found_address = exchange.refused_address
            reject = RejectedUrl(url, "private_address", found_address, "a public address")
            return Failure(reject, seconds)
        reason, threshold, passing = _REASONS.get(code, _NO_ANSWER)
        if code == pycurl.E_OPERATION_TIMEDOUT:
            threshold = f"{self._timeout_s:g} s"
            message = f"over {threshold}"
        value = message or f"libcurl error {code}"
        return Failure(RejectedUrl(url, reason, value, threshold, passing), seconds)
