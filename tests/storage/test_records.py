from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import records
from storage.identities import document_id, page_id
from storage.records import sequence_schema

SCHEMAS = {name: value for name, value in vars(records).items() if isinstance(value, pa.Schema)}
SCHEMAS |= {"SEQUENCE": sequence_schema(1 << 16), "SPAN": pa.schema(list(records.SPAN))}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_is_described_and_never_null(name: str) -> None:
    for field in SCHEMAS[name]:
        assert len(field.metadata[b"description"]) > 5, field.name
        assert not field.nullable, field.name


def test_all_schemas_are_seen() -> None:
    assert {"PAGE", "FETCH", "DOCUMENT", "ORIGIN", "REJECT", "DUPLICATE", "PAIR"} <= set(SCHEMAS)


def test_what_changes_from_fetch_to_fetch_stays_out_of_the_page_index() -> None:
    volatile = {"fetched_at", "warc_file", "warc_offset", "robots"}
    assert not volatile & set(records.PAGE.names)
    assert volatile <= set(records.FETCH.names)


def test_ids_have_known_values() -> None:
    """A changed value here gives every page and document in the world another id."""
    assert page_id("http://localhost/", "ab") == "535d18aec8567380f89b3ac377d78ec8"
    assert document_id("http://localhost/é", "phù sa") == "f509dab0e2c9437c6ca8bb684404e3f9"


@given(st.text(), st.text(), st.text(), st.text())
def test_ids_differ_when_their_parts_do(a: str, b: str, c: str, d: str) -> None:
    # a URL never holds a NUL byte: it is canonical, so escaped
    a, c = a.replace("\0", ""), c.replace("\0", "")
    assert (page_id(a, b) == page_id(c, d)) == ((a, b) == (c, d))
    assert len(page_id(a, b)) == 32


def test_separator_tricks_give_distinct_ids() -> None:
    assert (
        len({page_id("ab", "c"), page_id("a", "bc"), page_id("", "abc"), page_id("abc", "")}) == 4
    )
    assert document_id("http://h/a", " b") != document_id("http://h/a ", "b")


def test_token_ids_take_two_bytes_where_they_fit() -> None:
    assert sequence_schema(65_536).field("input_ids").type.value_type == pa.uint16()
    assert sequence_schema(65_537).field("input_ids").type.value_type == pa.uint32()
