"""Pages of a WARC or WET file.

FastWARC's own decoding of bodies was tried: it takes a chunk's extension for damage, gives the part
that it has of torn gzip as if it were whole, and knows no raw deflate.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecord

from tasks.crawl.captures import (
    ROBOTS,
    Capture,
    Found,
    RejectedUrl,
    bad_record,
    charset_of_text,
    empty,
    too_large,
)
from tasks.crawl.inputs.framing import Broken, Frame, frames
from tasks.crawl.live.body import BodyError, BodyReader
from tasks.crawl.live.links import HTML_TYPES, LinkReader, PageLinks, media_type
from tasks.crawl.live.policy import obeyed, with_policy
from tasks.crawl.urls import canonical_url

TEXT_TYPES = HTML_TYPES | {"text/plain", "text/markdown"}
_TYPE = re.compile(rb"^warc-type:[ \t]*([a-z]+)", re.I | re.M)
_PAGES = frozenset({b"response", b"resource", b"conversion"})
_HEADERS_BYTES = 1 << 20  # of a record, beside its body
_WHOLE = "a whole WARC record"
# Without one of these a page's markup says nothing of what its crawlers may do. Looking for them
# takes 0.5 ms for a page of 128 KB, reading its markup 4.6 ms. NUL: UTF-16 hides them.
_SIGNS = (b"robots", b"phusa", b"tdm-", b"license", b"dc.rights", b"dcterms.rights", b"\0")
_NOT_MODIFIED = 304
_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LINE_END = re.compile(rb"\r?\n?")
_BEGINNINGS = {"gzip": b"\x1f\x8b", "x-gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_NO_ENCODINGS = frozenset({"", "none", "utf-8"})  # the last is a mistake that servers make
_UNDATED = datetime(1970, 1, 1, tzinfo=UTC)


def read_warc(
    name: str, path: Path, max_page_bytes: int, obey: Collection[str] = ()
) -> Iterator[Found]:
    """Yield the pages and the rejects of a WARC or WET file, in its order.

    A page whose response or markup gives one of the signals of `obey` is a reject. Records of
    other types than response, resource and conversion are neither.
    """
    reader = _Reader(max_page_bytes, obey)
    for frame in frames(path, max_page_bytes + _HEADERS_BYTES):
        place = f"{name}#{frame.place}"
        if isinstance(frame, Broken):
            yield bad_record(place, frame.why, _WHOLE)
            continue
        kind = _TYPE.search(frame.data)
        if kind is None:
            yield bad_record(place, "no WARC-Type", _WHOLE)
        elif kind[1].lower() in _PAGES:
            yield reader.read(place, frame, kind[1].lower() == b"response")


class _NoPage(Exception):
    """A whole record that is no page."""

    def __init__(self, reject: RejectedUrl) -> None:
        super().__init__(reject.reason)
        self.reject = reject


class _Reader:
    """The records of one file."""

    def __init__(self, limit: int, obey: Collection[str]) -> None:
        self._limit, self._obey = limit, obey
        self._links = LinkReader()

    def read(self, place: str, frame: Frame, is_response: bool) -> Found:
        # quirks_mode: some servers end the lines of their headers with a line feed alone. Without
        # it FastWARC gives such a page as one without headers and body.
        records = ArchiveIterator(
            io.BytesIO(frame.data),
            parse_http=is_response,
            max_header_len=_HEADERS_BYTES,
            quirks_mode=True,
        )
        try:
            record = next(iter(records))
            read = self._response if is_response else self._other
            return Found(place, read(record, _url(record), frame.is_cut))
        except _NoPage as no:
            return Found(place, no.reject)
        except StopIteration:
            return bad_record(place, "FastWARC finds no record in it", _WHOLE)
        except (OSError, ValueError) as error:
            return bad_record(place, str(error), _WHOLE)

    def _response(self, record: WarcRecord, url: str, is_cut: bool) -> Capture:
        http = record.http_headers
        if http is None or http.status_code is None:
            raise ValueError("no HTTP response in it")
        status = int(http.status_code)
        if 300 <= status < 400 and status != _NOT_MODIFIED:
            target = http.get("Location") or "no Location"
            raise _NoPage(RejectedUrl(url, "redirected", target, "200"))
        if status != 200:
            raise _NoPage(RejectedUrl(url, f"http_{status}", str(status), "200"))
        kind, charset = media_type(http.get("Content-Type") or "")
        _check_type(url, kind, HTML_TYPES)
        body = _body(url, record, is_cut, self._limit)
        capture = Capture(
            url=url,
            body=body,
            content_type=kind,
            charset=charset,
            fetched_at=record.record_date or _UNDATED,
            status=200,
            reason=http.reason_phrase or "",
            headers=http.to_tuples(),
            etag=http.get("ETag") or "",
            last_modified=http.get("Last-Modified") or "",
            robots=ROBOTS,
        )
        lower = body.lower()
        may_speak = any(sign in lower for sign in _SIGNS)
        page = self._links.read(body, charset, url) if may_speak else PageLinks()
        capture = with_policy(capture, page)
        reject = obeyed(capture, self._obey)
        if reject is not None:
            raise _NoPage(reject)
        return capture

    def _other(self, record: WarcRecord, url: str, is_cut: bool) -> Capture:
        """Read a resource, or the text of a WET file."""
        kind, charset = media_type(record.headers.get("Content-Type") or "")
        _check_type(url, kind, TEXT_TYPES)
        body = _body(url, record, is_cut, self._limit)
        return Capture(
            url=url,
            body=body,
            content_type=kind,
            # WET files of Common Crawl are UTF-8 and do not say so.
            charset=charset or ("" if kind in HTML_TYPES else charset_of_text(body)),
            fetched_at=record.record_date or _UNDATED,
            robots=ROBOTS,
        )


def _url(record: WarcRecord) -> str:
    """Return the canonical URL of a record. Old versions of wget write it in angle brackets."""
    written = (record.headers.get("WARC-Target-URI") or "").strip()
    spelled = written[1:-1] if written[:1] + written[-1:] == "<>" else written
    try:
        return canonical_url(spelled)
    except ValueError:
        expected = "an absolute http(s) URL"
        reject = RejectedUrl(spelled or "no URL", "invalid_url", spelled, expected)
        raise _NoPage(reject) from None


def _check_type(url: str, kind: str, wanted: frozenset[str]) -> None:
    if kind not in wanted:
        expected = ", ".join(sorted(wanted))
        raise _NoPage(RejectedUrl(url, "not_html", kind or "no Content-Type", expected))


def _body(url: str, record: WarcRecord, is_cut: bool, limit: int) -> bytes:
    if is_cut:
        raise _NoPage(too_large(url, limit))
    body, http = bytes(record.reader.read()), record.http_headers
    if http is not None:
        encodings = (http.get("Transfer-Encoding") or "", http.get("Content-Encoding") or "")
        try:
            body = _decoded(body, *encodings, limit)
        except BodyError as error:
            raise _NoPage(error.reject(url)) from None
    if len(body) > limit:
        raise _NoPage(too_large(url, limit))
    if not body:
        raise _NoPage(empty(url))
    return body


def _decoded(body: bytes, transfer: str, content: str, limit: int) -> bytes:
    """Take its transfer and content encodings off a body.

    Writers of WARC files often store what they have decoded and leave the headers: a body that
    does not begin as the header says is taken as it is. Raises BodyError for one that breaks off,
    or has over `limit` bytes.
    """
    if "chunked" in transfer.lower():
        body = _joined(body)
    names = [name.strip().lower() for name in content.split(",")]
    for name in reversed(names):
        if name not in _NO_ENCODINGS and body.startswith(_BEGINNINGS.get(name, b"")):
            reader = BodyReader(name, limit)
            reader.feed(body)
            body = reader.finish()
    return body


def _joined(body: bytes) -> bytes:
    joined = bytearray()
    at = 0
    while head := _CHUNK_HEAD.match(body, at):
        size = int(head[1], 16)
        if size == 0:
            return bytes(joined)
        data = body[head.end() : head.end() + size]
        if len(data) < size:
            break
        joined += data
        at = head.end() + size
        if line_end := _LINE_END.match(body, at):
            at = line_end.end()
    if not joined:
        return body
    raise BodyError("truncated", "chunks that break off", "a whole body")
