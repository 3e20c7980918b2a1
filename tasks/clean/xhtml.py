"""XHTML to what an HTML parser understands: EPUB chapters, pages served as XML.

`<title/>` and `<script src="…"/>` are whole elements in XML. In HTML they are start tags, and all
that follows is part of them: resiliparse found no text in such chapters.
Source: HTML standard §13.1.2 (void elements) and §13.2.6.4.
"""

from __future__ import annotations

import re

XHTML = "application/xhtml+xml"
_VOID = frozenset(b"area base br col embed hr img input link meta param source track wbr".split())
_SELF_CLOSED = re.compile(rb"<([A-Za-z][A-Za-z0-9]*)((?:\s[^<>]*)?)/>")


def closed(body: bytes) -> bytes:
    """The document with end tags for its empty elements. UTF-16 is left as it is."""
    return _SELF_CLOSED.sub(_with_end, body)


def _with_end(tag: re.Match[bytes]) -> bytes:
    name = tag[1]
    return tag[0] if name.lower() in _VOID else b"<%s%s></%s>" % (name, tag[2].rstrip(), name)
