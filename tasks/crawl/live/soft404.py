"""Pages that say "not found" with status 200, told by comparing them with one that cannot exist.

A site is asked once for a path that it cannot have; what is alike to the answer is no page. The
comparison is by word shingles, as for near duplicates (Bar-Yossef et al., WWW 2004, probe so too).
Words of the page's own address are left out, since such answers like to repeat it, and digits,
since they carry times and counts. trafilatura and resiliparse would extract only the main text,
in which an error page often has nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

import xxhash

THRESHOLD = 0.9
_WIDTH = 3  # words of one shingle
_MAX_SHINGLES = 2_000
_MAX_BYTES = 262_144  # an error page is short; what it has, it has up to here

# Each ends with the text where its own end is missing, so that no byte is read twice.
_UNSEEN = re.compile(rb"(?is)<(script|style)\b.*?(?:</\1|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*>?")
_WORD = re.compile(rb"[A-Za-z_\x80-\xff]+")


@dataclass(frozen=True)
class SoftPage:
    """The hashes of a page's shingles; of more than 2 000 the smallest, which are a fair sample."""

    shingles: frozenset[int]


def fingerprint(body: bytes, url: str) -> SoftPage:
    """What the page at `url` reads like. Whatever the bytes are, this raises nothing."""
    own = set(_words(unquote_to_bytes(_address(url).encode(errors="replace"))))
    words = [word for word in _words(_UNSEEN.sub(b" ", body[:_MAX_BYTES])) if word not in own]
    num = max(len(words) - _WIDTH + 1, min(len(words), 1))
    hashes = {xxhash.xxh3_64_intdigest(b" ".join(words[i : i + _WIDTH])) for i in range(num)}
    return SoftPage(frozenset(sorted(hashes)[:_MAX_SHINGLES]))


def alike(a: SoftPage, b: SoftPage) -> float:
    """The Jaccard similarity, from 0 to 1; two pages without words are alike.

    Of long pages it is estimated from the smallest hashes of both together (bottom-k sketch).
    """
    union = a.shingles | b.shingles
    both = a.shingles & b.shingles
    if max(len(a.shingles), len(b.shingles)) == _MAX_SHINGLES:
        union = frozenset(sorted(union)[:_MAX_SHINGLES])
    return len(both & union) / len(union) if union else 1.0


def probe_path(host: str) -> str:
    """A path that the host does not have, the same every time."""
    return "/phusa-" + xxhash.xxh3_64_hexdigest(host.encode(errors="replace"))


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.path} {parts.query}"


def _words(text: bytes) -> list[bytes]:
    return _WORD.findall(text.lower())
