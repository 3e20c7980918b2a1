"""resiliparse: ten times faster, and it keeps tables and reference pages whole.

Source: Bevendorff et al., ECIR 2018; https://resiliparse.chatnoir.eu
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from tasks.clean.extractors.extraction import Extraction
from tasks.config import Config, knob

_MANY_TAGS = 4096
"""From so many on it is asked how deep they are: under 1 s is lost below, 1.4 ms above."""

_MOST_INDENT = " " * 64
_DEEP_INDENT = re.compile(f"^{_MOST_INDENT} +", re.M)


class Resiliparse(Config):
    """The fast mode, and the one for documentation, reference pages and tables."""

    kind: Literal["resiliparse"] = "resiliparse"
    main_content: bool = knob(True, "leave out navigation, headers and footers")

    def extract(self, html: str, url: str) -> Extraction:
        """Title and main text of `html`."""
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.html import HTMLTree

        tree = HTMLTree.parse(html)
        main_content = self.main_content and not _is_too_deep(html)
        text = extract_plain_text(tree, main_content=main_content, alt_texts=False)
        if len(text) > 2 * len(html):  # lists in lists: 5 000 of them in 45 KB gave 25 MB
            text = _DEEP_INDENT.sub(_MOST_INDENT, text)
        return Extraction(tree.title or "", text)


def whole_text(html: str) -> Extraction:
    """All text of a page that is too deep for libxml2; told as what it is, resiliparse's."""
    found = Resiliparse(main_content=False).extract(html, "")
    return replace(found, extractor="resiliparse")


def _is_too_deep(html: str) -> bool:
    """Whether what is no main content would be sought for minutes: that looks at all elements
    around each, and 20 000 nested ones took 19 s, all of their text 0.02 s."""
    from tasks.clean.extractors.walk import TooDeep, parse

    if html.count("<") < _MANY_TAGS:
        return False
    try:
        parse(html)
    except TooDeep:
        return True
    return False
