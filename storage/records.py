"""The records that stages exchange, as Arrow schemas documented column by column."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def _columns(*columns: tuple[str, pa.DataType, str]) -> list[pa.Field]:
    """Name, type and description of each."""
    return [
        pa.field(name, kind, nullable=False, metadata={"description": says})
        for name, kind, says in columns
    ]


def _schema(*columns: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema(_columns(*columns))


PAGE = _schema(
    ("page_id", pa.string(), "xxh3-128 of canonical URL and body digest"),
    ("url", pa.string(), "canonical URL"),
    ("content_type", pa.string(), "media type as the server gave it"),
    ("charset", pa.string(), "charset of the Content-Type header, or empty"),
    ("body_digest", pa.string(), "sha256 of the decoded body, hexadecimal"),
    ("num_bytes", pa.int64(), "size of the decoded body"),
    (
        "policy",
        pa.string(),
        "what the page asks of crawlers, as sorted words: noindex nofollow noai noarchive "
        "tdm-reservation … (meta robots, X-Robots-Tag, TDMRep)",
    ),
    ("licence", pa.string(), "URL of the licence that the page names, or empty"),
)

# What changes from fetch to fetch stays here, out of the content digest.
FETCH = _schema(
    ("page_id", pa.string(), "the page that was fetched"),
    ("fetched_at", pa.timestamp("ms", tz="UTC"), "when the body was fetched"),
    ("checked_at", pa.timestamp("ms", tz="UTC"), "when the server last said it is so"),
    ("num_checks", pa.int32(), "times it was asked for again, in all crawls"),
    ("num_changes", pa.int32(), "times it had changed then"),
    ("status", pa.int32(), "HTTP status"),
    ("etag", pa.string(), "ETag of the response, or empty"),
    ("last_modified", pa.string(), "Last-Modified of the response, or empty"),
    ("depth", pa.int32(), "links followed from a seed"),
    ("robots", pa.string(), "robots.txt verdict: allowed, or the reason it was not asked"),
    ("warc_file", pa.string(), "file under `warc/` that holds the response"),
    ("warc_offset", pa.int64(), "byte offset of the record in that file"),
    ("warc_bytes", pa.int64(), "bytes of the record in that file, packed"),
)

# Who was asked, and how it went: for the people who answer for a crawl.
HOST = _schema(
    ("host", pa.string(), "host and port"),
    ("pages", pa.int64(), "pages kept"),
    ("page_bytes", pa.int64(), "bytes of their decoded bodies"),
    ("unchanged", pa.int64(), "of them, pages that were as an earlier crawl had them"),
    ("requests", pa.int64(), "requests made, robots.txt and retries included"),
    ("wire_bytes", pa.int64(), "bytes of bodies as they were sent"),
    ("errors", pa.int64(), "requests without a usable answer, 4xx and 5xx included"),
    ("waiting", pa.int64(), "URLs left waiting when the crawl ended"),
    ("delay_s", pa.float64(), "seconds kept between two requests at the end"),
    ("robots", pa.string(), "what became of its robots.txt"),
)

UNSCORED = -1.0
"""The quality of a document that no classifier has seen. Not NaN: rows are compared."""

DOCUMENT = _schema(
    ("document_id", pa.string(), "xxh3-128 of canonical URL and text"),
    ("url", pa.string(), "canonical URL"),
    ("title", pa.string(), "title of the page, or empty"),
    ("date", pa.string(), "ISO 8601 day of publication that the page states, or empty"),
    ("author", pa.string(), "names that the page states, `; ` between them, or empty"),
    ("licence", pa.string(), "URL of the licence that the page names, or empty"),
    ("canonical", pa.string(), "another URL that the page gives as its own, or empty"),
    ("text", pa.string(), "extracted text, Unicode NFC"),
    ("extractor", pa.string(), "the extractor that made the text"),
    ("language", pa.string(), "ISO 639 code, by fastText lid.176"),
    ("language_score", pa.float32(), "probability of that language, 0-1"),
    ("num_words", pa.int32(), "words between white space, but symbols"),
    ("repeated_share", pa.float32(), "share of characters in repeated lines, 0-1"),
    (
        "pii",
        pa.list_(pa.field("element", pa.string())),
        "kind of each piece of personal data that was replaced in the text, sorted",
    ),
    (
        "quality",
        pa.float32(),
        "score of the quality classifier, 0-1; -1: not scored, as before the quality stage",
    ),
)

# Most pages change without their text changing (a date, a token in a form): which page a document
# came from stays out of the content digest, so that such a change ends at the clean stage.
ORIGIN = _schema(
    ("document_id", pa.string(), "the document"),
    ("page_id", pa.string(), "the page its text was extracted from"),
)

# One row for each document of the clean stage, in its order.
SCORE = _schema(
    ("document_id", pa.string(), "the document"),
    ("url", pa.string(), "its URL"),
    ("language", pa.string(), "its language, an ISO 639 code"),
    ("score", pa.float32(), "probability of good quality, 0-1, were good and bad as many"),
)

REJECT = _schema(
    ("id", pa.string(), "document id or, where there is no document, the URL"),
    ("url", pa.string(), "where it came from"),
    ("stage", pa.string(), "the stage that dropped it"),
    ("reason", pa.string(), "which rule dropped it, such as too_few_words"),
    ("value", pa.string(), "the measured value"),
    ("threshold", pa.string(), "the bound that the value broke"),
)


def signals_schema(names: Sequence[str]) -> pa.Schema:
    """What was measured of each text, kept or not, so that other thresholds can be tried on it."""
    return _schema(
        ("id", pa.string(), "id that the document has or would have"),
        ("url", pa.string(), "where it came from"),
        ("reason", pa.string(), "which rule dropped it, or empty"),
        ("language", pa.string(), "ISO 639 code"),
        ("language_score", pa.float64(), "probability of that language, 0-1"),
        *((name, pa.float64(), "signal of a filter; NaN: none") for name in names),
    )


DUPLICATE = _schema(
    ("document_id", pa.string(), "the document that was dropped"),
    ("url", pa.string(), "its URL"),
    ("kept_id", pa.string(), "the document kept in its place; it names the cluster"),
    ("kept_url", pa.string(), "the kept document's URL"),
    ("kept_in", pa.string(), "the earlier corpus that holds it, such as dedup@3; empty: this one"),
    ("similarity", pa.float64(), "measured similarity of the two, 0-1"),
    ("method", pa.string(), "the method that found the pair"),
)

CUT = _schema(
    ("document_id", pa.string(), "the document that something was cut out of"),
    ("url", pa.string(), "its URL"),
    ("start", pa.int64(), "first character, in the text before that method"),
    ("end", pa.int64(), "one past the last character"),
    ("text", pa.string(), "what was cut, or its first 300 characters"),
    ("num_documents", pa.int64(), "documents that have it (its beginning, of passages)"),
    ("kept_id", pa.string(), "the document that keeps it; empty: it went everywhere"),
    ("method", pa.string(), "the method that found it"),
)

CONTAMINATION = _schema(
    ("document_id", pa.string(), "the document that was dropped or cut"),
    ("url", pa.string(), "its URL"),
    ("start", pa.int64(), "first character of the passage, in the cleaned text"),
    ("end", pa.int64(), "one past the last character"),
    ("text", pa.string(), "the passage, as the document has it"),
    ("num_words", pa.int32(), "its words"),
    ("evaluation_set", pa.string(), "the evaluation set that has it"),
    ("item", pa.string(), "where in the set: row and column, or line"),
)

SPAN = pa.struct(
    _columns(
        ("document_id", pa.string(), "the document these tokens belong to"),
        ("start", pa.int32(), "first position in the sequence"),
        ("end", pa.int32(), "one past the last position"),
    )
)


def sequence_schema(vocab_size: int) -> pa.Schema:
    """Token sequences; ids are stored as uint16 where every id fits (at most 65 536 entries)."""
    ids = pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()
    return _schema(
        (
            "input_ids",
            pa.list_(ids),
            "at most sequence_length + 1 token ids; the first is given and not predicted, so that "
            "every token is predicted once in all",
        ),
        ("spans", pa.list_(SPAN), "which positions come from which document"),
    )


PAIR = _schema(
    ("name", pa.string(), "what is asked about, such as heapq.heappush"),
    ("prompt", pa.string(), "the user's message"),
    ("answer", pa.string(), "the assistant's message"),
    ("document_id", pa.string(), "the document that the answer is quoted from"),
)

STEP = _schema(
    ("step", pa.int32(), "the step that learnt from the pair, counted from 1"),
    ("name", pa.string(), "the pair"),
    ("document_id", pa.string(), "the document that its answer is quoted from"),
)
