"""The one page that is tried: from a file, from a crawl, or from the web."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pydantic import ValidationError

from flows.stages import open_artifact
from flows.trace.page import follow_redirects, parse_target, unknown
from storage.errors import Fault, RequestError, SiteUnreachable
from storage.store import Store
from storage.warc import read_body
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.pages import PAGES
from tasks.clean.judging import TrialPage
from tasks.clean.text import is_known_charset
from tasks.crawl.captures import TYPES, RejectedUrl, charset_of_text, content_type
from tasks.crawl.sources import Source
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import canonical_url, recorded_url

STDIN = "-"
_MAX_BYTES = 10_000_000  # as the sources have it by default
_SNIFFED = 1024  # bytes in which binary data shows itself


def is_web(asked: str) -> bool:
    """Whether it has the form of a URL that can be fetched."""
    return re.match("https?://", asked.strip(), re.I) is not None


def read_file(asked: str, url: str | None, charset: str | None) -> TrialPage:
    """The page in a file or, of `-`, on the standard input, as a crawl of files has it.

    Its kind is that of its suffix; of another suffix and of the standard input HTML, if it begins
    with `<`, else plain text. Raises RequestError for what is no page.
    """
    if charset is not None and not is_known_charset(charset):
        expected = "a charset that browsers know, such as utf-8 or windows-1258"
        raise RequestError(Fault("--charset", repr(charset), expected, "Leave it to be detected."))
    body = _bytes(asked)
    if len(body) > _MAX_BYTES:
        found, expected = f"more than {_MAX_BYTES:,} bytes", "one page"
        raise RequestError(Fault(asked, found, expected, "Cut it into pages."))
    kind = (None if asked == STDIN else content_type(asked)) or _kind_of(asked, body)
    if charset is None:
        charset = charset_of_text(body) if kind in ("text/plain", "text/markdown") else ""
    return TrialPage(_address(asked, url), kind, charset, body)


def _bytes(asked: str) -> bytes:
    if asked == STDIN:
        return sys.stdin.buffer.read(_MAX_BYTES + 1)
    try:
        with Path(asked).expanduser().open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in its name
        expected = "an http(s) URL, a file, or - for the standard input"
        remedy = "Check the spelling; a URL begins with http:// or https://."
        raise RequestError(Fault(repr(asked), str(error), expected, remedy)) from error


def _kind_of(asked: str, body: bytes) -> str:
    head = body[:_SNIFFED]
    if asked.lower().endswith(".epub") or (
        b"\0" in head and not head.startswith((b"\xff", b"\xfe"))
    ):
        expected = f"HTML or text ({' '.join(TYPES)})"
        remedy = "Books and other collections: crawl them, then name a page with --of crawl."
        raise RequestError(Fault(asked, "a binary file", expected, remedy))
    return "text/html" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else "text/plain"


def _address(asked: str, url: str | None) -> str:
    if url is None:
        return "file:///stdin" if asked == STDIN else Path(asked).expanduser().resolve().as_uri()
    try:
        return recorded_url(url)
    except ValueError as error:
        expected = "an http(s) or file:/// URL"
        remedy = "It is what filters of URLs look at."
        raise RequestError(Fault("--url", repr(url), expected, remedy)) from error


def read_crawled(store: Store, target: str, asked: str) -> TrialPage:
    """The page that a crawl, or the crawl that a cleaning read, has of a URL.

    Raises RequestError if it has none.
    """
    crawl = open_artifact(store, store.resolve(target))
    if crawl.type.serves(DOCUMENTS):
        crawl = next(crawl.inputs(PAGES), crawl)
    if not crawl.type.serves(PAGES):
        remedy = "`phusa artifacts` lists the crawls."
        raise RequestError(Fault("--of", crawl.label, "crawl@…, or clean@…", remedy))
    found = PAGES.find(crawl, follow_redirects([crawl], parse_target(asked).urls))
    if not found.pages:
        for reject in found.rejected:
            why = f"dropped by {crawl.label}: {reject.reason} ({reject.value})"
            remedy = "Only pages that a crawl has kept are cleaned."
            raise RequestError(Fault(reject.url, why, reject.threshold, remedy))
        raise unknown(store, [crawl], asked, everything=True)
    page = found.pages[0]
    (warc,) = crawl.files(f"warc/{page.warc_file}")
    return TrialPage(page.url, page.content_type, page.charset, read_body(warc, page.warc_offset))


def fetch(asked: str, source: Source | None, contact: str | None) -> TrialPage:
    """The page at a URL, asked for as a recipe's `source` does if it is one of the web.

    Raises RequestError for what a crawl would not fetch or keep, SiteUnreachable for what may come
    back.
    """
    from tasks.crawl.live.processing import fetch_page  # libcurl, and only wanted here
    from tasks.crawl.live.pydoc_site import serving

    web = _web_source(asked, source, contact)
    with serving(web.site):
        got = fetch_page(web, asked)
    if isinstance(got, RejectedUrl):
        if got.passing:
            raise SiteUnreachable(
                f"{got.url}: {got.reason} ({got.value}); expected {got.threshold}. Try again later."
            )
        found = f"{got.reason} ({got.value})"
        raise RequestError(Fault(got.url, found, got.threshold, _remedy(got.reason)))
    return TrialPage(got.url, got.content_type, got.charset, got.body)


def _web_source(asked: str, source: Source | None, contact: str | None) -> WebSource:
    try:
        url = canonical_url(asked)
    except ValueError as error:
        expected = "a URL that can be fetched"
        raise RequestError(Fault(repr(asked), str(error), expected, "Mend it.")) from error
    knobs = source.model_dump() if isinstance(source, WebSource) else {}
    knobs |= {"seeds": (url,), **({"contact": contact} if contact is not None else {})}
    try:
        return WebSource.model_validate(knobs)
    except ValidationError as error:
        said = "; ".join(details["msg"] for details in error.errors())
        found, _, expected = said.removeprefix("Value error, ").partition("; expected ")
        expected = expected or "an e-mail address or URL, by which a site's owner can reach you"
        remedy = "Add --contact you@example.org, or --recipe with a crawl that has one."
        raise RequestError(Fault("--contact", found, expected, remedy)) from error


def _remedy(reason: str) -> str:
    if reason == "private_address":
        return "A recipe with crawl.source.allow_private_addresses: true may: name it by --recipe."
    if reason in ("robots", "policy"):
        return "The site asks not to be read; save the page by hand, if you may, and try the file."
    return "No crawl would keep it, so there is nothing to clean."
