"""resiliparse: ten times faster, and it keeps tables and reference pages whole.

Source: Bevendorff et al., ECIR 2018; https://resiliparse.chatnoir.eu
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.extractors.extraction import Extraction
from tasks.config import Config, knob


class Resiliparse(Config):
    """The fast mode, and the one for documentation, reference pages and tables."""

    kind: Literal["resiliparse"] = "resiliparse"
    main_content: bool = knob(True, "leave out navigation, headers and footers")

    def extract(self, html: str, url: str) -> Extraction:
        """Title and main text of `html`."""
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.html import HTMLTree

        tree = HTMLTree.parse(html)
        text = extract_plain_text(tree, main_content=self.main_content, alt_texts=False)
        return Extraction(tree.title or "", text)
