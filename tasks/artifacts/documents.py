"""Documents: text with its URL, language and measures, and the evidence of what was left out.

Cleaning makes them from pages, deduplication from documents; the tables that are there say what is
known of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.artifacts.artifact import Artifact, ArtifactType, table

_SAMPLES = 3
_CHARACTERS = 300


class Documents(ArtifactType):
    """Texts of pages."""

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give the beginnings of a few documents, each with its URL and title."""
        columns = ("url", "title", "text", "language", "num_words")
        for row in artifact.first_rows("documents/", columns, _SAMPLES):
            head = "\n".join(line for line in (row["url"], row["title"]) if line)
            words = f"{row['num_words']:,} words, {row['language']}"
            yield f"{head}\n{words}\n\n{beginning(row['text'])}"


def beginning(text: str) -> str:
    """Cut a text to what a sample of it shows."""
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS].rstrip()} …"


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
