"""The records that stages exchange, as Arrow schemas documented column by column."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def _column(name: str, kind: pa.DataType, says: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"description": says})


PAGE = pa.schema(
    [
        _column("page_id", pa.string(), "xxh3-128 of canonical URL and body digest"),
        _column("url", pa.string(), "canonical URL"),
        _column("content_type", pa.string(), "media type as the server gave it"),
        _column("charset", pa.string(), "charset of the Content-Type header, or empty"),
        _column("body_digest", pa.string(), "sha256 of the decoded body, hexadecimal"),
        _column("num_bytes", pa.int64(), "size of the decoded body"),
        _column(
            "policy",
            pa.string(),
            "what the page asks of crawlers, as sorted words: noindex nofollow noai noarchive "
            "tdm-reservation … (meta robots, X-Robots-Tag, TDMRep)",
        ),
        _column("licence", pa.string(), "URL of the licence that the page names, or empty"),
    ]
)

# What changes from fetch to fetch stays here, out of the content digest.
FETCH = pa.schema(
    [
        _column("page_id", pa.string(), "the page that was fetched"),
        _column("fetched_at", pa.timestamp("ms", tz="UTC"), "when the body was fetched"),
        _column("checked_at", pa.timestamp("ms", tz="UTC"), "when the server last said it is so"),
        _column("num_checks", pa.int32(), "times it was asked for again, in all crawls"),
        _column("num_changes", pa.int32(), "times it had changed then"),
        _column("status", pa.int32(), "HTTP status"),
        _column("etag", pa.string(), "ETag of the response, or empty"),
        _column("last_modified", pa.string(), "Last-Modified of the response, or empty"),
        _column("depth", pa.int32(), "links followed from a seed"),
        _column(
            "robots", pa.string(), "robots.txt verdict: allowed, or the reason it was not asked"
        ),
        _column("warc_file", pa.string(), "file under `warc/` that holds the response"),
        _column("warc_offset", pa.int64(), "byte offset of the record in that file"),
        _column("warc_bytes", pa.int64(), "bytes of the record in that file, packed"),
    ]
)

# Who was asked, and how it went: for the people who answer for a crawl.
HOST = pa.schema(
    [
        _column("host", pa.string(), "host and port"),
        _column("pages", pa.int64(), "pages kept"),
        _column("page_bytes", pa.int64(), "bytes of their decoded bodies"),
        _column("unchanged", pa.int64(), "of them, pages that were as an earlier crawl had them"),
        _column("requests", pa.int64(), "requests made, robots.txt and retries included"),
        _column("wire_bytes", pa.int64(), "bytes of bodies as they were sent"),
        _column("errors", pa.int64(), "requests without a usable answer, 4xx and 5xx included"),
        _column("waiting", pa.int64(), "URLs left waiting when the crawl ended"),
        _column("delay_s", pa.float64(), "seconds kept between two requests at the end"),
        _column("robots", pa.string(), "what became of its robots.txt"),
    ]
)

UNSCORED = -1.0
"""The quality of a document that no classifier has seen. Not NaN: rows are compared."""

DOCUMENT = pa.schema(
    [
        _column("document_id", pa.string(), "xxh3-128 of canonical URL and text"),
        _column("url", pa.string(), "canonical URL"),
        _column("title", pa.string(), "title of the page, or empty"),
        _column("date", pa.string(), "ISO 8601 day of publication that the page states, or empty"),
        _column("author", pa.string(), "names that the page states, `; ` between them, or empty"),
        _column("licence", pa.string(), "URL of the licence that the page names, or empty"),
        _column("canonical", pa.string(), "another URL that the page gives as its own, or empty"),
        _column("text", pa.string(), "extracted text, Unicode NFC"),
        _column("extractor", pa.string(), "the extractor that made the text"),
        _column("language", pa.string(), "ISO 639 code, by fastText lid.176"),
        _column("language_score", pa.float32(), "probability of that language, 0-1"),
        _column("num_words", pa.int32(), "words between white space, but symbols"),
        _column("repeated_share", pa.float32(), "share of characters in repeated lines, 0-1"),
        _column(
            "pii",
            pa.list_(pa.field("element", pa.string())),
            "kind of each piece of personal data that was replaced in the text, sorted",
        ),
        _column(
            "quality",
            pa.float32(),
            "score of the quality classifier, 0-1; -1: not scored, as before the quality stage",
        ),
    ]
)

# Most pages change without their text changing (a date, a token in a form): which page a document
# came from stays out of the content digest, so that such a change ends at the clean stage.
ORIGIN = pa.schema(
    [
        _column("document_id", pa.string(), "the document"),
        _column("page_id", pa.string(), "the page its text was extracted from"),
    ]
)

# One row for each document of the clean stage, in its order.
SCORE = pa.schema(
    [
        _column("document_id", pa.string(), "the document"),
        _column("url", pa.string(), "its URL"),
        _column("language", pa.string(), "its language, an ISO 639 code"),
        _column(
            "score", pa.float32(), "probability of good quality, 0-1, were good and bad as many"
        ),
    ]
)

REJECT = pa.schema(
    [
        _column("id", pa.string(), "document id or, where there is no document, the URL"),
        _column("url", pa.string(), "where it came from"),
        _column("stage", pa.string(), "the stage that dropped it"),
        _column("reason", pa.string(), "which rule dropped it, such as too_few_words"),
        _column("value", pa.string(), "the measured value"),
        _column("threshold", pa.string(), "the bound that the value broke"),
    ]
)


def signals_schema(names: Sequence[str]) -> pa.Schema:
    """What was measured of each text, kept or not, so that other thresholds can be tried on it."""
    return pa.schema(
        [
            _column("id", pa.string(), "id that the document has or would have"),
            _column("url", pa.string(), "where it came from"),
            _column("reason", pa.string(), "which rule dropped it, or empty"),
            _column("language", pa.string(), "ISO 639 code"),
            _column("language_score", pa.float64(), "probability of that language, 0-1"),
            *(_column(name, pa.float64(), "signal of a filter; NaN: none") for name in names),
        ]
    )


DUPLICATE = pa.schema(
    [
        _column("document_id", pa.string(), "the document that was dropped"),
        _column("url", pa.string(), "its URL"),
        _column("kept_id", pa.string(), "the document kept in its place; it names the cluster"),
        _column("kept_url", pa.string(), "the kept document's URL"),
        _column(
            "kept_in",
            pa.string(),
            "the earlier corpus that holds it, such as dedup@3; empty: this one",
        ),
        _column("similarity", pa.float64(), "measured similarity of the two, 0-1"),
        _column("method", pa.string(), "the method that found the pair"),
    ]
)

CUT = pa.schema(
    [
        _column("document_id", pa.string(), "the document that something was cut out of"),
        _column("url", pa.string(), "its URL"),
        _column("start", pa.int64(), "first character, in the text before that method"),
        _column("end", pa.int64(), "one past the last character"),
        _column("text", pa.string(), "what was cut, or its first 300 characters"),
        _column("num_documents", pa.int64(), "documents that have it (its beginning, of passages)"),
        _column("kept_id", pa.string(), "the document that keeps it; empty: it went everywhere"),
        _column("method", pa.string(), "the method that found it"),
    ]
)

CONTAMINATION = pa.schema(
    [
        _column("document_id", pa.string(), "the document that was dropped or cut"),
        _column("url", pa.string(), "its URL"),
        _column("start", pa.int64(), "first character of the passage, in the cleaned text"),
        _column("end", pa.int64(), "one past the last character"),
        _column("text", pa.string(), "the passage, as the document has it"),
        _column("num_words", pa.int32(), "its words"),
        _column("evaluation_set", pa.string(), "the evaluation set that has it"),
        _column("item", pa.string(), "where in the set: row and column, or line"),
    ]
)

SPAN = pa.struct(
    [
        _column("document_id", pa.string(), "the document these tokens belong to"),
        _column("start", pa.int32(), "first position in the sequence"),
        _column("end", pa.int32(), "one past the last position"),
    ]
)


def sequence_schema(vocab_size: int) -> pa.Schema:
    """Token sequences; ids are stored as uint16 where every id fits (at most 65 536 entries)."""
    ids = pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()
    return pa.schema(
        [
            _column(
                "input_ids",
                pa.list_(ids),
                "sequence_length + 1 token ids, or fewer at the end of a shard; the first id is "
                "the last one of the sequence before, so that every token is predicted once",
            ),
            _column("spans", pa.list_(SPAN), "which positions come from which document"),
        ]
    )


PAIR = pa.schema(
    [
        _column("name", pa.string(), "what is asked about, such as heapq.heappush"),
        _column("prompt", pa.string(), "the user's message"),
        _column("answer", pa.string(), "the assistant's message"),
        _column("document_id", pa.string(), "the document that the answer is quoted from"),
    ]
)

STEP = pa.schema(
    [
        _column("step", pa.int32(), "the step that learnt from the pair, counted from 1"),
        _column("name", pa.string(), "the pair"),
        _column("document_id", pa.string(), "the document that its answer is quoted from"),
    ]
)
