"""Pages that say "not found" with status 200, which servers without a 404 send for any URL.

A host is asked once, before its pages, for a page that it cannot have (Bar-Yossef et al., WWW 2004,
probe so too). What it sends with status 200 then is its "not found" page, and pages that look alike
are rejects. The comparison is by word shingles, as for near duplicates. Words of the page's own
address are left out, since such answers like to repeat it, and digits, since they carry times and
counts. trafilatura and resiliparse would extract only the main text, in which an error page often
has nothing.
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import xxhash

from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.live.fetch import Fetcher
from tasks.crawl.live.frontier import Frontier
from tasks.crawl.live.links import HTML_TYPES, media_type
from tasks.crawl.urls import host_of

THRESHOLD = 0.9
_WIDTH = 3  # words of one shingle
_MAX_SHINGLES = 2_000
_MAX_BYTES = 262_144  # an error page is short; what it has, it has up to here

# Each ends with the text where its own end is missing, so that no byte is read twice.
_UNSEEN = re.compile(rb"(?is)<(script|style)\b.*?(?:</\1|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*>?")
_WORD = re.compile(rb"[A-Za-z_\x80-\xff]+")

Shingles = frozenset[int]
"""The hashes of a page's shingles; of more than 2 000 the smallest, which are a fair sample."""


class NotFoundPages:
    """The "not found" pages of the hosts of one crawl.

    They are noted in the frontier: a crawl that goes on after a kill asks no more.
    """

    def __init__(self, frontier: Frontier, fetcher: Fetcher) -> None:
        self._frontier, self._fetcher = frontier, fetcher
        self._pages: dict[str, Shingles] = {}

    async def learn(self, url: str) -> None:
        """Ask the host of `url` for a page that it cannot have, unless it was asked before."""
        host = host_of(url)
        name = f"not found page of {host}"
        noted = self._frontier.note(name)
        if noted is None:
            page = await self._ask(urljoin(url, probe_path(host)))
            noted = json.dumps(None if page is None else sorted(page))
            self._frontier.note(name, noted)
        if (shingles := json.loads(noted)) is not None:
            self._pages[host] = frozenset(shingles)

    async def _ask(self, url: str) -> Shingles | None:
        found = await self._fetcher.fetch(url)
        if isinstance(found, RejectedUrl) or found.response.status != 200:
            return None
        kind, _ = media_type(found.response.header("content-type"))
        return fingerprint(found.response.body, url) if kind in HTML_TYPES else None

    def judge(self, capture: Capture) -> RejectedUrl | None:
        """Reject a page that looks like its host's "not found" page."""
        page = self._pages.get(host_of(capture.url))
        if page is None:
            return None
        similarity = alike(fingerprint(capture.body, capture.url), page)
        if similarity < THRESHOLD:
            return None
        value = f"{similarity:.2f} alike to the host's page for a URL that it cannot have"
        return RejectedUrl(capture.url, "soft_404", value, f"{THRESHOLD:g}")


def probe_path(host: str) -> str:
    """Make up a path that the host does not have, the same every time."""
    return "/phusa-" + xxhash.xxh3_64_hexdigest(host.encode(errors="replace"))


def fingerprint(body: bytes, url: str) -> Shingles:
    """Hash what the page at `url` reads like. Whatever the bytes are, this raises nothing."""
    try:
        parts = urlsplit(url)
        address = f"{parts.path} {parts.query}"
    except ValueError:
        address = url
    own = set(_words(unquote_to_bytes(address.encode(errors="replace"))))
    words = [word for word in _words(_UNSEEN.sub(b" ", body[:_MAX_BYTES])) if word not in own]
    num = max(len(words) - _WIDTH + 1, min(len(words), 1))
    hashes = {xxhash.xxh3_64_intdigest(b" ".join(words[i : i + _WIDTH])) for i in range(num)}
    return frozenset(sorted(hashes)[:_MAX_SHINGLES])


def _words(text: bytes) -> list[bytes]:
    return _WORD.findall(text.lower())


def alike(a: Shingles, b: Shingles) -> float:
    """Return the Jaccard similarity, from 0 to 1; two pages without words are alike.

    Of long pages it is estimated from the smallest hashes of both together (bottom-k sketch).
    """
    union, both = a | b, a & b
    if max(len(a), len(b)) == _MAX_SHINGLES:
        union = frozenset(sorted(union)[:_MAX_SHINGLES])
    return len(both & union) / len(union) if union else 1.0
