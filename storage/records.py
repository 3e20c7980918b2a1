"""The records that stages exchange, as Arrow schemas documented column by column.

Ids are xxh3-128 of content, written as 32 hexadecimal digits: the same page or text has the same
id in every run, on every machine.

Source: xxHash, https://xxhash.com (`xxhash.xxh3_128` over bytes, never over `str`).
"""

from __future__ import annotations

import pyarrow as pa
import xxhash

_SEPARATOR = b"\x00"


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
    ]
)

# What changes from fetch to fetch stays here, out of the content digest.
FETCH = pa.schema(
    [
        _column("page_id", pa.string(), "the page that was fetched"),
        _column("fetched_at", pa.timestamp("ms", tz="UTC"), "when the response began"),
        _column("status", pa.int32(), "HTTP status"),
        _column("depth", pa.int32(), "links followed from a seed"),
        _column(
            "robots", pa.string(), "robots.txt verdict: allowed, or the reason it was not asked"
        ),
        _column("warc_file", pa.string(), "file under `warc/` that holds the response"),
        _column("warc_offset", pa.int64(), "byte offset of the record in that file"),
    ]
)

DOCUMENT = pa.schema(
    [
        _column("document_id", pa.string(), "xxh3-128 of canonical URL and text"),
        _column("url", pa.string(), "canonical URL"),
        _column("title", pa.string(), "title of the page, or empty"),
        _column("text", pa.string(), "extracted text, Unicode NFC"),
        _column("extractor", pa.string(), "the extractor that made the text"),
        _column("language", pa.string(), "ISO 639 code, by fastText lid.176"),
        _column("language_score", pa.float32(), "probability of that language, 0-1"),
        _column("num_words", pa.int32(), "words separated by white space"),
        _column("repeated_share", pa.float32(), "share of characters in repeated lines, 0-1"),
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

DUPLICATE = pa.schema(
    [
        _column("document_id", pa.string(), "the document that was dropped"),
        _column("url", pa.string(), "its URL"),
        _column("kept_id", pa.string(), "the document kept in its place; it names the cluster"),
        _column("kept_url", pa.string(), "the kept document's URL"),
        _column("similarity", pa.float64(), "measured similarity of the two, 0-1"),
        _column("method", pa.string(), "the method that found the pair"),
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


def page_id(url: str, body_digest: str) -> str:
    """The id of a page: an unchanged page keeps it when fetched again."""
    return _identify(url, body_digest)


def document_id(url: str, text: str) -> str:
    """The id of a document: the same text at the same URL keeps it."""
    return _identify(url, text)


def _identify(*parts: str) -> str:
    return xxhash.xxh3_128_hexdigest(_SEPARATOR.join(part.encode() for part in parts))
