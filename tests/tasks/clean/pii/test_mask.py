"""Placeholders: nothing is left, nothing else is touched, and it ends in time."""

from __future__ import annotations

import time
import unicodedata
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.clean.config import CleanConfig
from tasks.clean.pii import Email, IpAddress, NationalId, PaymentCard, Phone, Pii, mask
from tasks.clean.pii.masking import Passage
from tasks.clean.text import tidy
from tests.tasks.clean.pii.test_kinds import LEFT, TAKEN

KINDS: tuple[type, ...] = get_args(get_args(Pii)[0])
ALL = tuple(kind() for kind in KINDS)
SAMPLES = [text.replace("[", "").replace("]", "") for _, text in (*TAKEN, *LEFT)]
# Pieces of samples, signs and anything else, glued without spaces as well.
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(SAMPLES),
        st.sampled_from(SAMPLES).map(lambda text: text[len(text) // 3 :]),
        st.sampled_from(
            ["tel ", "SSN ", "CCCD: ", "@", ".", "-", "+", "(", "1", "//", "\u0338", " "]
        ),
        st.text(max_size=8),
        st.text("0123456789 .-+()@:/aAzZ\n", max_size=24),
    ),
    max_size=12,
).map("".join)
BYTES = 1_000_000


def test_defaults_are_every_kind() -> None:
    assert {member.kind for member in CleanConfig().pii} == {member.kind for member in ALL}


@given(TEXTS)
@example("tel 0912345678 0912345678 0912345678")
@example("SSN 123456789 123456789")
@example("a@b.com\u0338")
def test_nothing_is_left(text: str) -> None:
    clean = tidy(text)
    masked, found = mask(clean, ALL)
    for kind in ALL:
        assert not list(kind.spans(Passage(masked)))
    assert mask(masked, ALL) == (masked, [])
    masked.encode()
    assert unicodedata.is_normalized("NFC", masked)
    assert found == sorted(found)
    assert bool(found) == (masked != clean)


@given(TEXTS)
def test_matches_hold_what_no_placeholder_holds(text: str) -> None:
    for kind in ALL:
        spans = list(kind.spans(Passage(text)))
        assert spans == sorted(spans)
        assert all(stop <= start for (_, stop), (start, _) in pairwise(spans))
        for start, stop in spans:
            assert set(text[start:stop]) & set("0123456789@")


@given(st.text(st.characters(exclude_categories=["Nd", "Cs"], exclude_characters="@")))
def test_text_without_personal_data_is_as_it_was(text: str) -> None:
    assert mask(text, ALL) == (text, [])


def test_everything_else_stays() -> None:
    text = "Ask jean@falcot.com (Tel. 030/1234567) at 93.184.216.34,\n\n  not 10.0.0.1.  "
    assert mask(text, ALL) == (
        "Ask <EMAIL> (Tel. <PHONE>) at <IP_ADDRESS>,\n\n  not 10.0.0.1.  ",
        ["email", "ip_address", "phone"],
    )
    assert mask(text, [IpAddress(placeholder="{ip}")])[0] == text.replace("93.184.216.34", "{ip}")
    assert mask(text, []) == (text, [])


@pytest.mark.parametrize("bad", ["EMAIL", "", "<1>", "<a@b>", "< >", "<é>", "<" + "a" * 40 + ">"])
@pytest.mark.parametrize("kind", KINDS)
def test_placeholders_are_in_brackets(kind: type, bad: str) -> None:
    with pytest.raises(ValidationError):
        kind(placeholder=bad)


def test_each_kind_once() -> None:
    with pytest.raises(ValidationError, match=r"pii \['email'\] stand there more than once"):
        CleanConfig(pii=(Email(), Email(placeholder="<MAIL>")))


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "@", "a@", "a.", "@a.", "a@b.", "a@b.c", "//", "//a@", "-", "a-", "@a-"),
        *("1", "1 ", "1.", "+1", "(", "(1", ")(", "+", "1-", "0 0-", "4111 ", "2001:", "2:", ":"),
        *(
            "A",
            "AA11",
            "DE89 ",
            "AB 12 ",
            "tel ",
            "tel 1",
            "cccd ",
            "0" * 12 + " ",
            "tel:0912345678 ",
        ),
        *("\n", " ", "1.1.1.", "93.184.216.", "SSN 123456789 ", "a@b.com", "jean@falcot.com,", "ồ"),
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (BYTES // len(piece))
    start = time.process_time()
    masked, _ = mask(text, ALL)
    assert time.process_time() - start < 8
    assert mask(masked, ALL)[1] == []


def test_a_page_of_adversaries_takes_no_longer_than_its_pieces() -> None:
    text = "".join(SAMPLES * 300)
    start = time.process_time()
    mask(text, (Email(), Phone(), NationalId(), PaymentCard()))
    assert time.process_time() - start < 8
