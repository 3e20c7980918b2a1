"""Bytes to text, and text to tidy text."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.text import compose, decode, tidy
from tasks.clean.trims import C4Lines

VIETNAMESE = "Tiếng Việt: ma má mà mả mã mạ, Đặng Thùy Trâm"
FRENCH = "<p>café d’accord “œuvre” 5 €"  # noqa: RUF001

ODD_CHARACTERS = st.sampled_from(
    "\x00\x07\t\n\x0b\x0c\r\x1c\x1f\x7f\x85\x9f\xa0\u0301\u0323\u1680\u180e\u200b\u200d\u2028"
    "\u2029\u202f\u2060\u3000\ud800\udfff\ufeff\uffff\u1100\u1161\u11a8eoE\u212b\u0344 "
)
MARKED = [
    "a",
    "ệ",
    "日",
    *(mark * n for mark in "\u0301\u0323\u0344\U0001d165" for n in (1, 7, 40)),
]
TEXTS = st.text(st.one_of(ODD_CHARACTERS, st.characters()), max_size=60)


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        (VIETNAMESE.encode(), "", VIETNAMESE),
        (VIETNAMESE.encode(), "utf-8", VIETNAMESE),
        (VIETNAMESE.encode(), " UTF8 ", VIETNAMESE),
        (VIETNAMESE.encode(), "no-such-charset", VIETNAMESE),
        (VIETNAMESE.encode(), "shift_jis", VIETNAMESE),  # the header lies, the bytes do not fit
        (VIETNAMESE.encode("utf-16"), "", VIETNAMESE),
        (VIETNAMESE.encode("utf-16-le"), "utf-16", VIETNAMESE),
        (VIETNAMESE.encode("utf-16-be"), "utf-16be", VIETNAMESE),
        (FRENCH.encode("cp1252"), "windows-1252", FRENCH),
        (FRENCH.encode("cp1252"), "iso-8859-1", FRENCH),  # as browsers read it
        (FRENCH.encode("cp1252"), "utf-8", FRENCH),
        ("<p>Привет, мир".encode("koi8-r"), "koi8-r", "<p>Привет, мир"),
        ("こんにちは".encode("euc_jp"), "euc-jp", "こんにちは"),
        (b"", "", ""),
        (b"", "utf-16", ""),
    ],
)
def test_decode(body: bytes, charset: str, text: str) -> None:
    assert decode(body, charset) == text


@pytest.mark.parametrize("charset", ["", "utf-8", "utf-16", "windows-1252", "nonsense"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_outranks_the_header_and_goes(charset: str, encoding: str) -> None:
    assert decode(VIETNAMESE.encode(encoding), charset) == VIETNAMESE


def test_the_meta_tag_counts_where_the_header_is_silent() -> None:
    page = "<meta charset=windows-1251><p>Да"
    assert decode(page.encode("cp1251"), "") == page
    assert decode(page.replace("1251", "1250").encode("cp1251"), "windows-1251").endswith("Да")


@pytest.mark.parametrize(
    "charset", ["\x00", "idna", "punycode", "undefined", "base64", "unicode_escape", "\ud800", "é"]
)
def test_a_charset_that_only_python_knows_counts_as_none(charset: str) -> None:
    assert decode(VIETNAMESE.encode(), charset) == VIETNAMESE


CHARSETS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "utf-8", "utf-16", "utf-16be", "gb18030", "big5", "euc-kr", "iso-2022-jp", "utf-7"]
    ),
)


@given(st.binary(max_size=200), CHARSETS)
def test_decode_never_raises(body: bytes, charset: str) -> None:
    decode(body, charset).encode()


@given(st.binary(max_size=60), st.sampled_from([b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"]))
def test_decode_never_raises_behind_a_byte_order_mark(body: bytes, mark: bytes) -> None:
    decode(mark + body, "utf-8").encode()


@given(TEXTS)
def test_tidy_text_is_clean(text: str) -> None:
    tidied = tidy(text)
    assert unicodedata.is_normalized("NFC", tidied)
    tidied.encode()
    assert not {c for c in tidied if unicodedata.category(c) in ("Cc", "Cs")} - {"\n"}
    assert not re.search(r"[^\S\n ]", tidied), "white space other than space and line feed"
    assert not re.search(r" $", tidied, re.MULTILINE)
    assert "\n\n\n" not in tidied
    assert tidied == tidied.strip("\n")


@given(TEXTS)
def test_tidy_is_idempotent(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=60))
def test_tidy_keeps_letters_digits_and_signs(text: str) -> None:
    assert tidy(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("def f():\n    return 1\n\tx\n", "def f():\n    return 1\n    x"),
        ("  first line keeps its indent", "  first line keeps its indent"),
        ("a \t\r\nb\rc\u2028d\x0be\x85f", "a\nb\nc\nd\ne\nf"),
        ("a\n\n\n\n \t \nb\n\n", "a\n\nb"),
        ("a\xa0b\u3000c\u202fd", "a b c d"),
        ("\ufeffa\x00b\u200bc\ud800d\x7f", "abcd"),
        ("e\u0301 e\u200b\u0301 \u212b", "é é \xc5"),
        (unicodedata.normalize("NFD", VIETNAMESE), VIETNAMESE),
        ("👩\u200d💻 नमस्\u200dते", "👩\u200d💻 नमस्\u200dते"),  # joiners carry meaning
        ("", ""),
        (" \n\t\n ", ""),
    ],
)
def test_tidy(text: str, tidied: str) -> None:
    assert tidy(text) == tidied


@given(st.lists(st.sampled_from(MARKED), max_size=6).map("".join))
def test_of_a_flood_of_marks_the_first_stay(text: str) -> None:
    composed = compose(text)
    assert unicodedata.is_normalized("NFC", composed)
    assert compose(composed) == composed
    assert not re.search("[\u0301\u0308\u0323\u0344\U0001d165]{31}", composed)
    if not re.search("[\u0301\u0308\u0323\u0344\U0001d165]{15}", text):
        assert composed == unicodedata.normalize("NFC", text)


def test_a_flood_of_marks_takes_no_long_time() -> None:
    """Normalization alone: an hour."""
    begun = time.process_time()
    assert len(tidy("a" + "\u0323\u0301" * 1_000_000)) <= 31
    cited = C4Lines(ended=False, min_words=0).apply("a" + ("\u0323\u0301" * 15 + "[1]") * 20_000)
    assert len(cited.text) <= 31
    assert time.process_time() - begun < 5


def test_tidy_replaces_then_drops_lines() -> None:
    replace = [(re.compile(r" at 0x[0-9a-f]+"), ""), (re.compile(r"(\w+)@\w+"), r"<\1>")]
    drop = [re.compile("^menu$"), re.compile("cookie")]
    text = "a at 0x12\n\nmenu at 0x9f\n\nme@home\nall cookies\nmenus"
    assert tidy(text, drop, replace) == "a\n\n<me>\nmenus"
