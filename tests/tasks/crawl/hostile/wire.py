"""Answers whose bytes lie: lengths, chunks, codings, headers, and time."""

from __future__ import annotations

import asyncio
import gzip

from backports import zstd

from tests.tasks.crawl.hostile.answers import HTML, Answer, answer, gzipped, html, packed, raw
from tests.tasks.crawl.hostile.cases import Case
from tests.tasks.crawl.hostile.server import Exchange

BODY = html("/", text="words " * 50).encode()
OK = f"HTTP/1.1 200 OK\nContent-Type: {HTML}"
IMPATIENT = {"timeout_s": 0.7}


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _no_length_then_reset(exchange: Exchange) -> None:
    await exchange.send(raw(OK, BODY).raw)
    await asyncio.sleep(0.05)
    exchange.reset()


async def _reset_at_once(exchange: Exchange) -> None:
    exchange.reset()


async def _no_answer(exchange: Exchange) -> None:
    await exchange.reader.read()


async def _slow_headers(exchange: Exchange) -> None:
    await _drip(exchange, raw(OK).raw)


async def _slow_body(exchange: Exchange) -> None:
    await exchange.send(raw(f"{OK}\nContent-Length: {len(BODY)}").raw)
    await _drip(exchange, BODY)


async def _drip(exchange: Exchange, data: bytes) -> None:
    """One byte every tenth of a second: never silent, never done."""
    for value in data:
        await exchange.send(bytes([value]))
        await asyncio.sleep(0.1)


async def _endless_body(exchange: Exchange) -> None:
    await exchange.send(raw(OK).raw)
    for _ in range(10_000):
        await exchange.send(bytes(10_000))


async def _endless_chunks(exchange: Exchange) -> None:
    await exchange.send(raw(f"{OK}\nTransfer-Encoding: chunked").raw)
    for _ in range(100_000):
        await exchange.send(_chunk(b"x" * 1_000))


async def _endless_headers(exchange: Exchange) -> None:
    await exchange.send(OK.replace("\n", "\r\n").encode())
    for number in range(100_000):
        await exchange.send(b"\r\nX-Number-%d: %d" % (number, number))


async def _endless_interim(exchange: Exchange) -> None:
    for _ in range(100_000):
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")


_MANY_HEADERS = "\n".join(f"X-Number-{number}: {number}" for number in range(10_000))
_INTERIM = raw("HTTP/1.1 100 Continue").raw + raw("HTTP/1.1 103 Early Hints\nLink: </x>").raw
_CUT_GZIP = gzipped("words " * 5_000)[:-20]
_CHUNKED = f"{OK}\nTransfer-Encoding: chunked"
_X = "/x"


def _rejected(name: str, route: object, reason: str, **rest: object) -> Case:
    return Case(name, {_X: route}, reasons={_X: reason}, **rest)  # type: ignore[arg-type]


def _kept(name: str, route: object, **rest: object) -> Case:
    return Case(name, {_X: route}, kept=(_X,), **rest)  # type: ignore[arg-type]


_HALF = b"<p>words " * 500
_SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0skip"


def _decoded(name: str, coding: str, body: bytes) -> Case:
    """A page of `_HALF` twice."""
    return _kept(name, packed(body, coding), bodies={_X: _HALF * 2})


_LONGER = raw(f"{OK}\nContent-Length: {len(BODY) + 100}", BODY)
_SHORTER = Answer(raw(f"{OK}\nContent-Length: {len(BODY)}", BODY + b"<p>and more</p>").raw)
_TWO_LENGTHS = f"{OK}\nContent-Length: {len(BODY)}\nContent-Length:"

LENGTHS = (
    _rejected("Content-Length over the body", _LONGER, "truncated"),
    _kept("Content-Length under the body", _SHORTER, bodies={_X: BODY}),
    _kept("no Content-Length, closed", raw(OK, BODY), bodies={_X: BODY}),
    _rejected("no Content-Length, reset", _no_length_then_reset, "unreachable"),
    _rejected("reset at once", _reset_at_once, "unreachable", requests=5),
    _rejected("negative Content-Length", raw(f"{OK}\nContent-Length: -1", BODY), "unreachable"),
    _rejected("Content-Length no number", raw(f"{OK}\nContent-Length: many", BODY), "unreachable"),
    _rejected("huge Content-Length", raw(f"{OK}\nContent-Length: {10**15}", BODY), "truncated"),
    _kept("two equal Content-Lengths", raw(f"{_TWO_LENGTHS} {len(BODY)}", BODY)),
    _rejected("two Content-Lengths", raw(f"{_TWO_LENGTHS} 9", BODY), "unreachable"),
    _kept("chunked", raw(_CHUNKED, _chunk(BODY) + _chunk(b"")), bodies={_X: BODY}),
    _rejected("chunked, cut off", raw(_CHUNKED, _chunk(BODY)), "truncated"),
    _rejected("chunk cut off", raw(_CHUNKED, _chunk(BODY)[:50]), "truncated"),
    _rejected("chunk of no size", raw(_CHUNKED, b"zz\r\nxx\r\n"), "unreachable"),
    _rejected(
        "endless body",
        _endless_body,
        "too_large",
        knobs={"max_page_bytes": 100_000, "timeout_s": 5},
    ),
    _rejected("endless chunks", _endless_chunks, "too_large", knobs={"max_page_bytes": 100_000}),
    _rejected("empty", answer(""), "empty_body"),
)

CODINGS = (
    _rejected("gzip cut off", packed(_CUT_GZIP), "truncated"),
    _decoded("several gzip members", "gzip", gzip.compress(_HALF) * 2),
    _decoded("several zstd frames", "zstd", zstd.compress(_HALF) * 2),
    _decoded("zstd after a skippable frame", "zstd", _SKIPPED + zstd.compress(_HALF * 2)),
    _rejected("gzip that is plain", packed(BODY), "undecodable"),
    _rejected("br that is plain", packed(BODY, "br"), "undecodable"),
    _rejected("zstd that is plain", packed(BODY, "zstd"), "undecodable"),
    _rejected("unknown coding", packed(BODY, "rot13"), "undecodable"),
    _kept("gzip that says nothing", answer(gzipped("words " * 50))),
    _kept("gzip", packed(gzipped("words " * 50))),
    _kept("gzip and rubbish after it", packed(gzipped("words " * 50) + b"rubbish")),
    _rejected("empty gzip", packed(gzipped("")), "empty_body"),
)

HEADERS = (
    _rejected("10 000 headers", raw(f"{OK}\n{_MANY_HEADERS}", BODY), "unreachable"),
    _rejected("1 MB header", raw(f"{OK}\nX-Long: {'x' * 1_000_000}", BODY), "unreachable"),
    _rejected("endless headers", _endless_headers, "unreachable"),
    _rejected("endless interim answers", _endless_interim, "unreachable", knobs={"timeout_s": 2}),
    _rejected("NUL in a header", raw(f"{OK}\nX-Nul: a\0b", BODY), "unreachable"),
    _rejected("header without a colon", raw(f"{OK}\nnonsense", BODY), "unreachable"),
    _rejected("HTTP/0.9", Answer(BODY), "unreachable"),
    _rejected("no HTTP", Answer(b"220 ready\r\n\r\n"), "unreachable"),
    _rejected("HTTP/9.9", raw("HTTP/9.9 200 OK\nContent-Length: 1", b"x"), "unreachable"),
    _rejected("status 999999", raw("HTTP/1.1 999999 X", BODY), "unreachable"),
    _rejected("nothing at all", Answer(b""), "unreachable", requests=5),
    _kept("closed without a word", Answer(answer(BODY).raw)),
    _kept("interim answers", Answer(_INTERIM + raw(OK, BODY).raw)),
    _kept("strange header values", raw(f'{OK}\nX-A: ;\x80=0\nX-B: \xff\nX-C: ="', BODY)),
)

STATUSES = tuple(
    _rejected(status, answer(BODY if status[:3] != "204" else b"", status), f"http_{status[:3]}")
    for status in ("204 No Content", "206 Partial Content", "304 Not Modified", "401 Unauthorized",
                   "403 Forbidden", "410 Gone", "418 Teapot", "451 Unavailable", "500 Error")
)  # fmt: skip

TIME = (
    _rejected("slow headers", _slow_headers, "timed_out", knobs=IMPATIENT),
    _rejected("slow body", _slow_body, "timed_out", knobs=IMPATIENT),
    _rejected("no answer", _no_answer, "timed_out", knobs=IMPATIENT),
)

WIRE = LENGTHS + CODINGS + HEADERS + STATUSES + TIME
