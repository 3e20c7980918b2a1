"""The same address, written in several ways."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
import xxhash

from tasks.config import Config, knob
from tasks.dedup.documents import Documents
from tasks.dedup.shingles import Hashes

# What says who came, and from where, and not what is wanted.
_TRACKING = re.compile(
    r"(?i)^(utm_\w+|fbclid|gclid|dclid|msclkid|yclid|igshid|mc_[ce]id|_ga|ref|referrer|"
    r"phpsessid|jsessionid|sid|sessionid|session_id)$"
)
_SESSION_PATH = re.compile(r"(?i);(jsessionid|sid)=[^/?#]*")
_FRONT_PAGE = re.compile(r"(?i)/(index|default)\.(html?|php|aspx?|jsp)$")


class SameUrl(Config):
    """Documents of one address: scheme, www., session and tracking parameters, front-page names,
    a slash at the end and the order of parameters aside."""

    kind: Literal["url"] = "url"
    measure: ClassVar[Literal["jaccard", "cosine"]] = "jaccard"
    min_similarity: float = knob(
        0.5,
        "similarity (0-1) from which two texts of one address are one document in two states. "
        "Less alike, one address serves different things",
        gt=0,
        le=1,
    )

    def columns(self, threshold: float) -> int:
        return 1

    def keys_of(self, documents: Documents, threshold: float) -> Hashes:
        plain = (plain_url(url).encode() for url in documents.strings("url"))
        return np.fromiter(map(xxhash.xxh3_64_intdigest, plain), np.uint64)[None]

    def least(self, threshold: float) -> float:
        return self.min_similarity

    def basis(self, threshold: float) -> dict[str, Any]:
        return {"rules": 1}


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
