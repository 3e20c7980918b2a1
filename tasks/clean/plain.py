"""Pages that are text already: there is nothing to extract, so nothing runs in the sandbox."""

from __future__ import annotations

import re

from tasks.clean.extractors import Extraction
from tasks.clean.text import decode

KIND = "plain"
"""What stands for the extractor's kind in the documents of such pages."""

_MARKDOWN = "text/markdown"
_TYPES = frozenset({"text/plain", _MARKDOWN})
_TITLE = re.compile(r"^ {0,3}#[ \t]+(\S.*?)(?:[ \t]+#+)?[ \t]*$", re.M)


def is_plain(content_type: str) -> bool:
    """Whether a page of this media type is text as it stands."""
    return content_type in _TYPES


def read_plain(body: bytes, charset: str, content_type: str) -> Extraction:
    """The text as it is; the title is a Markdown document's first `# ` heading, or empty."""
    text = decode(body, charset)
    found = _TITLE.search(text) if content_type == _MARKDOWN else None
    return Extraction(found[1] if found else "", text, KIND)
