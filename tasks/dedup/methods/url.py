"""The same address, written in several ways, or given by several pages as their own.

Source: RFC 6596 for `rel="canonical"`. Many sites give the front page as that of every page, so
that an address, whoever states it, only says which texts to compare.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
import numpy.typing as npt
import xxhash

from tasks.config import Config, knob
from tasks.dedup.documents import Documents
from tasks.similarity.shingles import Hashes

# What says who came, and from where, and not what is wanted.
_TRACKING = re.compile(
    r"(?i)^(utm_\w+|fbclid|gclid|dclid|msclkid|yclid|igshid|mc_[ce]id|_ga|ref|referrer|"
    r"phpsessid|jsessionid|sid|sessionid|session_id)$"
)
_SESSION_PATH = re.compile(r"(?i);(jsessionid|sid)=[^/?#]*")
_FRONT_PAGE = re.compile(r"(?i)/(index|default)\.(html?|php|aspx?|jsp)$")


class SameUrl(Config):
    """Documents of one address, in whatever way it is written or by whichever page it is given.

    Aside are the scheme, www., session and tracking parameters, front-page names, a slash at the
    end and the order of parameters.
    """

    kind: Literal["url"] = "url"
    measure: ClassVar[Literal["jaccard", "cosine"]] = "jaccard"
    min_similarity: float = knob(
        0.5,
        "similarity (0-1) from which two texts of one address are one document in two states. "
        "Less alike, one address serves different things",
        gt=0,
        le=1,
    )
    canonical: bool = knob(
        True, "compare pages also by the address that they give as their own (rel=canonical)"
    )

    def columns(self, threshold: float) -> int:
        return 2 if self.canonical else 1

    def keys_of(self, documents: Documents, threshold: float) -> Hashes:
        urls = documents.strings("url")
        if not self.canonical:
            return _keys(urls)[None]
        given = documents.strings("canonical")
        stated = _keys([own or url for own, url in zip(given, urls, strict=True)])
        return np.stack([_keys(urls), stated])

    def least(self, threshold: float) -> float:
        return self.min_similarity

    def basis(self, threshold: float) -> dict[str, Any]:
        return {"rules": 1, "canonical": self.canonical}


def _keys(urls: Sequence[str]) -> npt.NDArray[np.uint64]:
    plain = (plain_url(url).encode() for url in urls)
    return np.fromiter(map(xxhash.xxh3_64_intdigest, plain), np.uint64)


def plain_url(url: str) -> str:
    """What all ways to write one address have in common."""
    try:
        parts = urlsplit(url)
        asked = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return url
    host = parts.netloc.lower().removeprefix("www.").removesuffix(":80").removesuffix(":443")
    path = _FRONT_PAGE.sub("/", _SESSION_PATH.sub("", parts.path)).rstrip("/")
    kept = sorted(pair for pair in asked if not _TRACKING.match(pair[0]))
    return f"{host}{path}?{urlencode(kept)}" if kept else f"{host}{path}"
