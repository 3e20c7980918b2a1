"""The pages of one file of a folder: of a text or HTML file one, of an EPUB book one a document.

A book's documents come in reading order, and nothing is ever unpacked to disk. EbookLib was looked
at: it reads every entry of the archive into memory, however large, and is AGPL.
Source: EPUB 3.3, https://www.w3.org/TR/epub-33/ §4 (container) and §5 (package document).
"""

from __future__ import annotations

import posixpath
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zipfile import BadZipFile, LargeZipFile, ZipFile

from lxml import etree

from tasks.crawl.captures import (
    Found,
    RejectedUrl,
    bad_record,
    charset_of_text,
    content_type,
    modified,
    page_of,
    url_below,
)
from tasks.crawl.live.links import HTML_TYPES

BOOK_BYTES = 1 << 30  # of one book's documents, unpacked: a zip bomb has more
_XML_BYTES = 10_000_000  # of the container's and the package's XML
_ENCODING = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"']([A-Za-z0-9._-]+)")
_WHOLE = "a readable EPUB"
# What zipfile raises for damage; RuntimeError for a password, NotImplementedError for a method.
_DAMAGE = (BadZipFile, LargeZipFile, RuntimeError, OSError, EOFError, ValueError, zlib.error)


class _NotABook(Exception):
    """The archive has no package document that can be read."""


def read_document(name: str, path: Path, base_url: str, max_page_bytes: int) -> Iterator[Found]:
    """Yield the page of a file, or the pages of a book.

    `name` is its path below the folder, which makes its URL.
    """
    kind = content_type(name)
    if kind is None:
        yield from read_epub(path, name, base_url, max_page_bytes)
        return
    url = url_below(base_url, name)
    with path.open("rb") as file:
        body = file.read(max_page_bytes + 1)
    charset = "" if kind in HTML_TYPES else charset_of_text(body)
    yield Found(name, page_of(url, body, kind, charset, modified(path), max_page_bytes))


def read_epub(path: Path, name: str, base_url: str, limit: int) -> Iterator[Found]:
    """Yield the pages of a book: each document of its spine, below the URL of the book.

    A document of more than `limit` bytes, damaged, absent or encrypted is a reject; so is a book
    without a spine.
    """
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(ZipFile(path))
            spine, locked = _spine(archive), _encrypted(archive)
        except (_NotABook, etree.LxmlError, KeyError, *_DAMAGE) as error:
            yield bad_record(url_below(base_url, name), str(error) or type(error).__name__, _WHOLE)
            return
        room, at = BOOK_BYTES, modified(path)
        for entry, kind in spine:
            url = url_below(base_url, f"{name}/{entry}")
            if entry in locked:
                reject = RejectedUrl(url, "encrypted", "a protected document", "a plain one")
                yield Found(url, reject)
                continue
            if kind not in HTML_TYPES:
                expected = ", ".join(sorted(HTML_TYPES))
                yield Found(url, RejectedUrl(url, "not_html", kind or "no type", expected))
                continue
            most = min(limit, room)
            try:
                body = _entry(archive, entry, most)
            except KeyError:
                yield bad_record(url, f"{entry} is not in the archive", "a document that is there")
            except _DAMAGE as error:
                yield bad_record(url, str(error) or type(error).__name__, _WHOLE)
            else:
                room -= min(len(body), most)
                yield Found(url, page_of(url, body, kind, _charset(body), at, most))


def _entry(archive: ZipFile, name: str, limit: int) -> bytes:
    """Read an entry, at most `limit` bytes and one more, whatever size it says it has."""
    parts, most = [], limit + 1
    with archive.open(name) as stream:
        while most > 0 and (part := stream.read(min(most, 1 << 20))):
            parts.append(part)
            most -= len(part)
    return b"".join(parts)


def _spine(archive: ZipFile) -> list[tuple[str, str]]:
    """Read the path and media type of each document, in reading order, each once."""
    container = _xml(archive, "META-INF/container.xml")
    package_path = next(
        (e.get("full-path", "") for e in container.iterfind(".//{*}rootfile[@full-path]")), ""
    )
    package = _xml(archive, package_path)
    manifest = {
        item.get("id", ""): (item.get("href", ""), item.get("media-type", ""))
        for item in package.iterfind(".//{*}manifest/{*}item")
    }
    folder = posixpath.dirname(package_path)
    references = [e.get("idref", "") for e in package.iterfind(".//{*}spine/{*}itemref")]
    spine: dict[str, str] = {}
    for href, kind in (manifest[one] for one in references if one in manifest):
        spine.setdefault(_within(folder, href), kind)
    if not spine:
        raise _NotABook("no spine that names a document")
    return list(spine.items())


def _within(folder: str, href: str) -> str:
    """Return the path in the archive; one that leads out of it is that of no entry."""
    return posixpath.normpath(posixpath.join(folder, unquote(urlsplit(href).path)))


def _encrypted(archive: ZipFile) -> frozenset[str]:
    """Name the entries under digital rights management, or with scrambled fonts."""
    try:
        root = _xml(archive, "META-INF/encryption.xml")
    except KeyError:
        return frozenset()
    references = root.iterfind(".//{*}CipherReference")
    return frozenset(_within("", reference.get("URI", "")) for reference in references)


def _xml(archive: ZipFile, name: str) -> etree._Element:
    body = _entry(archive, name, _XML_BYTES)
    if len(body) > _XML_BYTES:
        raise _NotABook(f"{name} has over {_XML_BYTES} bytes")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
    root = etree.fromstring(body, parser)
    if root is None:
        raise _NotABook(f"{name} is no XML")
    return root


def _charset(body: bytes) -> str:
    """Read the XML declaration; XML without one is UTF-8, or UTF-16 with a byte order mark."""
    found = _ENCODING.search(body[:200])
    if found:
        return found[1].decode()
    return "" if body.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
