"""Lines or paragraphs that many documents have: navigation, notices, disclaimers.

Source: CCNet, arXiv:1911.00359 §2 (paragraphs); Llama 3, arXiv:2407.21783 §3.1.1 (lines that stand
more than six times in a bucket go).
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from tasks.config import Config, knob
from tasks.dedup.pieces import Rule


class Often(Config):
    """When a line stands in too many documents."""

    min_documents: int = knob(
        7,
        "documents that have it, from which on it goes",
        ge=2,
        source="Llama 3, arXiv:2407.21783 §3.1.1: more than six times",
    )
    min_share: float = knob(
        0.0, "the least share (0-1) that these are of all documents that are looked at", ge=0, le=1
    )


class Lines(Config):
    """Cut out lines that many documents have, of one host or anywhere; lines are the same if they
    are but for white space."""

    kind: Literal["lines"] = "lines"
    unit: Literal["lines", "paragraphs"] = knob(
        "lines", "what is compared; a paragraph is what stands between blank lines"
    )
    within_host: Often | None = knob(
        Often(min_share=0.05),
        "when a line goes that documents of one host (www. aside) have; shares are of that host's "
        "documents. Null: never",
    )
    anywhere: Often | None = knob(
        Often(min_documents=50),
        "when a line goes that documents of any host have; shares are of all documents. Null: "
        "never",
    )
    min_characters: int = knob(
        10,
        "characters of a line that can go, at least: shorter ones are brackets, headings and list "
        "marks that mean something where they stand",
        ge=1,
    )
    keep_first: bool = knob(
        False,
        "keep the line once, in the document that `keep` puts first, and in each host, if "
        "`within_host` found it. False: navigation and notices go everywhere",
    )
    min_words_left: int = knob(
        10,
        "words that are left of a document from which something was cut; one with fewer is dropped",
        ge=0,
    )
    width: ClassVar[int] = 1

    @model_validator(mode="after")
    def _finds_something(self) -> Self:
        if self.within_host is None and self.anywhere is None:
            raise ValueError(
                "within_host and anywhere are both null; expected one of them to say when a line "
                "goes, or no method `lines`"
            )
        return self

    def rules(self) -> tuple[Rule, ...]:
        asked = ((True, self.within_host), (False, self.anywhere))
        return tuple(
            Rule(by_domain, often.min_documents, often.min_share)
            for by_domain, often in asked
            if often is not None
        )
