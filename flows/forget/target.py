"""What is to be forgotten: a URL, a domain or a document, told apart by how it is written."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from storage.errors import Fault, RequestError
from storage.manifest import Manifest, utc_now
from storage.parquet import find_rows
from storage.store import Store
from storage.takedown import Kind, Takedown, identify
from tasks.crawl.urls import canonical_url, recorded_url

_DOCUMENT_ID = re.compile("[0-9a-f]{32}")
_LABEL = re.compile(r"[^\W_]([\w-]*[^\W_])?")


def parse_target(asked: str) -> tuple[Kind, str]:
    """The kind of a target and its canonical spelling.

    Raises RequestError for what is none of the three.
    """
    text = asked.strip()
    if _DOCUMENT_ID.fullmatch(text.lower()):
        return "document", text.lower()
    try:
        return ("url", recorded_url(text)) if "://" in text else ("domain", _domain(text))
    except ValueError as error:
        raise RequestError(
            Fault(
                "what to forget",
                repr(asked),
                "a URL with its scheme (http, https or file:///), a domain without port and path, "
                "or a document id of 32 hexadecimal digits",
                "Examples: https://example.org/page.html, example.org, "
                "cd4d080b65e4a98b47b6f0829da1362f.",
            )
        ) from error


def _domain(text: str) -> str:
    """A domain as it stands in canonical URLs. Raises ValueError."""
    labels = text.removesuffix(".").split(".")
    if (len(labels) < 2 and text.lower() != "localhost") or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"{text!r} is no domain")
    return urlsplit(canonical_url(f"http://{'.'.join(labels)}/")).hostname or ""


def new_takedown(kind: Kind, value: str, why: str | None, page_url: str) -> Takedown:
    """A takedown that was asked for now. Raises RequestError if no reason was given."""
    if not (why or "").strip():
        found = f"no reason to forget {kind} {value}"
        remedy = 'Say it with --why "the owner asked for it on 3 May".'
        raise RequestError(Fault("--why", found, "a reason, kept with the takedown", remedy))
    identity, at = identify(kind, value), utc_now()
    return Takedown(
        id=identity, kind=kind, value=value, why=why or "", by=_user(), at=at, page_url=page_url
    )


def find_page_url(store: Store, manifests: Iterable[Manifest], document_id: str) -> str:
    """The URL of a document that some cleaning kept or dropped, or nothing."""
    for manifest in manifests:
        if manifest.name == "clean" and store.is_whole(manifest):
            for prefix, key in (("documents/", "document_id"), ("rejects/", "id")):
                paths = store.files(manifest, prefix)
                for row in find_rows(paths, key, [document_id], ["url"]):
                    return str(row["url"])
    return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        return "unknown"
