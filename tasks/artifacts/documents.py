"""Documents: text with its URL, language and measures, and the evidence of what was left out.

Cleaning makes them from pages, deduplication from documents; the tables that are there say what is
known of them.
"""

from __future__ import annotations

from tasks.artifacts.artifact import ArtifactType, table


class Documents(ArtifactType):
    """Texts of pages."""


DOCUMENTS = Documents(
    "documents",
    "documents",
    (
        table("documents", "documents/", "the text of each document"),
        table("rejects", "rejects/", "what was dropped, and why"),
        table("origins", "origins/", "which page of the crawl a document came from"),
        table("signals", "signals/", "what was measured of each text, kept or not"),
        table("duplicates", "duplicates.parquet", "what was dropped in favour of what"),
        table("cut_lines", "cuts/lines/", "lines that were cut out of documents"),
        table("cut_passages", "cuts/substring/", "passages that were cut out"),
        table("contaminated", "contaminated/", "what stood in an evaluation set"),
    ),
)
