"""One spelling for each URL, and the question whether it is in scope.

courlan's `normalize_url` does the spelling (case, ports, non-ASCII); its stricter `clean_url` also
drops pages that look unlike articles, which a crawl within scope wants. Here is what it leaves:
fragments, dot segments, escapes (RFC 3986 §6.2.2), session ids, and queries, of which it drops
every parameter without a value (`?page2`) and mangles every byte that is not UTF-8.

Most links need none of this: a URL, host, path or parameter that is matched by its `_PLAIN_…`
pattern is its own canonical spelling. All 31 000 links of 300 pages of libstdc++'s manual are, once
joined to their page, and cost 11 µs each (8 of them `urljoin`) instead of 51.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, quote_plus, unquote_to_bytes, urljoin, urlsplit

from courlan import normalize_url
from courlan.clean import TRACKERS_RE

_ESCAPE = re.compile("%([0-9A-Fa-f]{2})?")
_UNRESERVED = re.compile("[A-Za-z0-9._~-]")

_MAX_NETLOC = 320  # RFC 1035 §2.3.4, user and port; to decode 1 000 labels takes courlan 26 ms

# A port of four digits is valid and nobody's default; "xn--" is left to courlan's decoder. Escapes
# are of bytes that need one (no letter, digit, or one of -._~).
_LABEL = "(?!xn--)[a-z0-9-]++"
_HOST = rf"(?![^/]{{{_MAX_NETLOC + 1}}}){_LABEL}(?:\.{_LABEL})*+(?::[1-9][0-9]{{3}})?"
_NEEDED = "%(?!2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])[0-9A-F]{2}"
_PATH = rf"(?:/(?!\.{{0,2}}/)(?!\.{{1,2}}\Z)(?:[A-Za-z0-9_.~!=:,-]++|{_NEEDED})*+)++"
_PLAIN_HOST = re.compile(_HOST)
_PLAIN_PATH = re.compile(_PATH)
_PLAIN_URL = re.compile(f"https?://{_HOST}{_PATH}")
_PLAIN_PART = re.compile("[A-Za-z0-9_.~+-]*+")

# No host has these (WHATWG URL, forbidden host code points); urlsplit lets them through.
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20<>\\^`{|}\x7f]")

_SESSION_PATH = re.compile("(?i);jsessionid=[^/;]*")
_SESSION_NAME = re.compile(r"(?i)phpsessid|jsessionid|aspsessionid\w*")
_MAYBE_SESSION_NAME = re.compile("(?i)sid|session_?id|oscsid|zenid")
_SESSION_VALUE = re.compile("(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}")  # `sid=internationalnews` is none


def canonical_url(url: str, base: str | None = None) -> str:
    """Return the canonical spelling of `url`, resolved against `base`.

    Raises ValueError for anything but an absolute http(s) URL with a host.
    """
    if _PLAIN_URL.fullmatch(url):
        return url
    absolute = (urljoin(base, url.strip()) if base else url.strip()).partition("#")[0]
    if _PLAIN_URL.fullmatch(absolute):
        return absolute
    return _spelled_url(url, urlsplit(absolute))


def _spelled_url(url: str, parts: SplitResult) -> str:
    host = (parts.hostname or "").strip(".")
    try:
        port = parts.port
    except ValueError:  # not a number, or over 65535
        port = 0
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ValueError(f"{url!r} is not a URL that can be fetched; expected http(s)://host/…")
    origin = f"{parts.scheme}://{_spelled_host(parts)}"
    spelled = f"{origin}{_spelled_path(origin, parts)}"
    query = _spelled_query(parts.query)
    return f"{spelled}?{query}" if query else spelled


def _spelled_host(parts: SplitResult) -> str:
    if _PLAIN_HOST.fullmatch(parts.netloc):
        return parts.netloc
    if len(parts.netloc) > _MAX_NETLOC:
        raise ValueError(f"{parts.netloc[:40]!r}… is no host; expected at most 253 characters")
    if _FORBIDDEN_IN_HOST.search(parts.netloc):
        raise ValueError(f"{parts.netloc!r} is no host; expected no space and none of <>\\^`{{|}}")
    # Names and passwords are not sent, and one host is one however it is written: example.org. too.
    named, colon, port = parts.netloc.rpartition("@")[2].partition(":")
    parts = parts._replace(netloc=f"{named.removesuffix('.')}{colon}{port}")
    parts.netloc.encode()  # UnicodeEncodeError, a ValueError, for half a surrogate pair
    return urlsplit(str(normalize_url(parts._replace(path="", query="", fragment="")))).netloc


def _spelled_path(origin: str, parts: SplitResult) -> str:
    if _PLAIN_PATH.fullmatch(parts.path):
        return parts.path
    bare = parts._replace(path=_SESSION_PATH.sub("", parts.path), query="", fragment="")
    path = urlsplit(str(normalize_url(bare))).path
    path = _ESCAPE.sub(_shortest_escape, path) or "/"
    return urlsplit(urljoin(f"{origin}/", path)).path if "/." in path else path


def _shortest_escape(escape: re.Match[str]) -> str:
    char = chr(int(escape[1] or "25", 16))  # a bare % stands for itself
    return char if _UNRESERVED.fullmatch(char) else f"%{ord(char):02X}"


def _spelled_query(query: str) -> str:
    """Return the parameters without trackers and sessions, by name, each escaped in one way."""
    if not query:
        return ""
    pairs = (part.partition("=") for part in query.split("&") if part)
    spelled = [(_spelled(name), equals, _spelled(value)) for name, equals, value in pairs]
    kept = [(name, equals, value) for name, equals, value in spelled if not _idle(name, value)]
    return "&".join("".join(parts) for parts in sorted(kept, key=lambda parts: parts[0]))


def _spelled(part: str) -> str:
    if _PLAIN_PART.fullmatch(part):
        return part
    return quote_plus(unquote_to_bytes(part.replace("+", " ")))


def _idle(name: str, value: str) -> bool:
    """Whether a parameter, as spelled, says who asks and not what for."""
    if TRACKERS_RE.search(name.lower()) or _SESSION_NAME.fullmatch(name):
        return True
    return bool(_MAYBE_SESSION_NAME.fullmatch(name) and _SESSION_VALUE.fullmatch(value))


def recorded_url(url: str) -> str:
    """Return the spelling under which a page of any source is recorded: files keep theirs.

    Raises ValueError for what is neither an http(s) URL nor a file's.
    """
    return url.strip() if url.strip().startswith("file:///") else canonical_url(url)


def host_of(url: str) -> str:
    """Return host and port: the unit of politeness."""
    return urlsplit(url).netloc


class Scope:
    """Which URLs a crawl may fetch.

    A URL that matches one of `exclude` is out. What remains is in if it matches one of `include`,
    or its host is one of `domains` or below one. Without `include`, the seeds' own hosts are in.
    """

    def __init__(
        self,
        seeds: Sequence[str],
        include: Sequence[str],
        exclude: Sequence[str],
        domains: Sequence[str] = (),
    ) -> None:
        own = () if include else seeds
        self._hosts = frozenset(host_of(canonical_url(seed)) for seed in own)
        self._include = [re.compile(pattern) for pattern in include]
        self._exclude = [re.compile(pattern) for pattern in exclude]
        self._domains = frozenset(map(_canonical_domain, domains))

    def admits(self, url: str) -> bool:
        """Whether a canonical URL is within scope."""
        if any(pattern.search(url) for pattern in self._exclude):
            return False
        if any(pattern.search(url) for pattern in self._include):
            return True
        netloc = url.split("/", 3)[2]  # canonical: urlsplit would say the same, 5 times slower
        return netloc in self._hosts or (bool(self._domains) and self._is_below(netloc))

    def _is_below(self, netloc: str) -> bool:
        domain = netloc.rpartition("@")[2].partition(":")[0]
        while domain and domain not in self._domains:
            domain = domain.partition(".")[2]
        return bool(domain)


def _canonical_domain(domain: str) -> str:
    bare = domain.strip().removeprefix("*").strip(".")
    return urlsplit(canonical_url(f"http://{bare}/")).hostname or ""
