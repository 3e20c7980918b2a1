"""What is asked about: a URL in any spelling, or a document id; what to say if none knows it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from storage.errors import DamagedArtifact, Fault, RequestError, UnknownArtifact
from storage.manifest import Manifest
from storage.store import Store
from tasks.crawl.trace import known_urls, redirect_targets
from tasks.crawl.urls import recorded_url

UNREADABLE = (OSError, pa.ArrowException, DamagedArtifact, UnknownArtifact)
"""What reading an artifact raises whose data is damaged, or was collected."""

_DOCUMENT_ID = re.compile("[0-9a-f]{32}")
_MAX_REDIRECTS = 10
_MAX_COMPARED = 20_000  # URLs; difflib takes 10 µs for each


@dataclass(frozen=True)
class Target:
    """Canonical URLs, or one document id."""

    urls: tuple[str, ...] = ()
    document_id: str | None = None


def parse_target(asked: str) -> Target:
    """A document id, or the canonical spellings that `asked` may stand for.

    Without a scheme both https and http are meant. Raises RequestError if it can be neither.
    """
    text = asked.strip()
    if _DOCUMENT_ID.fullmatch(text.lower()):
        return Target(document_id=text.lower())
    has_scheme = re.match("https?://|file:///", text, re.I)
    spellings = [text] if has_scheme else [f"https://{text}", f"http://{text}"]
    try:
        return Target(urls=tuple(map(recorded_url, spellings)))
    except ValueError as error:
        expected = "a URL, or a document id of 32 hexadecimal digits"
        remedy = "Example: phusa trace http://localhost:8630/math.html"
        raise RequestError(Fault("URL", repr(asked), expected, remedy)) from error


def follow_redirects(store: Store, crawls: Sequence[Manifest], urls: Iterable[str]) -> set[str]:
    """`urls`, and all that they were redirected to in any of the crawls."""
    found = set(urls)
    new = found
    for _ in range(_MAX_REDIRECTS):
        targets = {t for crawl in crawls for t in _redirects(store, crawl, new)}
        new = targets - found
        if not new:
            break
        found |= new
    return found


def _redirects(store: Store, crawl: Manifest, urls: set[str]) -> list[str]:
    try:
        return redirect_targets(store.files(crawl, "rejects"), urls)
    except UNREADABLE:
        return []  # the crawl's own visit says so


def unknown(
    store: Store, crawls: Sequence[Manifest], asked: str, *, everything: bool
) -> RequestError:
    """The refusal of what no artifact knows, with the URLs that look most like it."""
    known: set[str] = set()
    for crawl in crawls:
        try:
            known |= set(known_urls(store.files(crawl, "pages/"), store.files(crawl, "rejects")))
        except UNREADABLE:
            continue
    compared = sorted(known)[:_MAX_COMPARED]
    close = difflib.get_close_matches(asked, compared, n=5, cutoff=0.6)
    remedy = f"Did you mean {', '.join(close)}?" if close else "`phusa artifacts` lists the crawls."
    return RequestError(
        Fault(
            where=f"store {store.address}",
            found=f"nothing about {asked!r}",
            expected=f"one of the {len(known):,} URLs that its crawls met, or a document id",
            remedy=remedy if everything else f"{remedy} --all searches older versions, too.",
        )
    )
