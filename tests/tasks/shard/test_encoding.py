"""Another engine gives the ids of tokenizers, or is not used."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.lm.tokens import Split, TextEncoder
from tasks.shard import encoding
from tasks.shard.encoding import COMPARED_DOCUMENTS, HARD_TEXTS, DocumentEncoder, choose_engine
from tests.tasks.tokenizer.conftest import corpus, trained

SPLITS: tuple[Split, ...] = get_args(Split)
MANY = COMPARED_DOCUMENTS + 1


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_thread", threading.local())


def _ids(encoder: DocumentEncoder, texts: Sequence[str]) -> list[list[int]]:
    return [ids.tolist() for ids in encoder.encode(texts)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("engine", ["tokenizers", "gigatoken"])
def test_ids_are_those_of_the_text_encoder(split: Split, engine: Any) -> None:
    encoder = TextEncoder(trained(split))
    texts = [*HARD_TEXTS, *corpus()]
    assert _ids(DocumentEncoder(encoder, engine), texts) == list(map(encoder.encode, texts))
    assert _ids(DocumentEncoder(encoder, engine), []) == []


@pytest.mark.parametrize("split", SPLITS)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4))
def test_any_text_has_equal_ids(split: Split, texts: list[str]) -> None:
    encoder = TextEncoder(trained(split))
    assert _ids(DocumentEncoder(encoder, "gigatoken"), texts) == list(map(encoder.encode, texts))


def test_it_is_chosen_after_comparing() -> None:
    encoder = TextEncoder(trained())
    engine, why = choose_engine(encoder, iter(corpus()), MANY)
    assert engine == "gigatoken"
    assert f"{len(HARD_TEXTS) + len(corpus())} texts" in why


def test_a_small_corpus_is_not_encoded_twice() -> None:
    def unread() -> Any:
        raise AssertionError("it was read")
        yield

    engine, _ = choose_engine(TextEncoder(trained()), unread(), MANY - 1)
    assert engine == "tokenizers"


def test_without_it_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    engine, why = choose_engine(TextEncoder(trained()), corpus(), MANY)
    assert engine == "tokenizers" and "phusa[fast]" in why


def test_other_ids_or_an_error_rule_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = encoding._Gigatoken.encode

    def wrong(self: Any, texts: Sequence[str]) -> encoding.Encoded:
        found = encode(self, texts)
        if "the last" not in texts:
            return found
        return encoding.Encoded(found.ids[::-1].copy(), found.ends)

    encoder = TextEncoder(trained())
    monkeypatch.setattr(encoding._Gigatoken, "encode", wrong)
    assert choose_engine(encoder, corpus(), MANY)[0] == "gigatoken"
    engine, why = choose_engine(encoder, [*corpus(), "the last"], MANY)
    assert engine == "tokenizers" and "other ids" in why

    def failing(self: Any, texts: Sequence[str]) -> encoding.Encoded:
        raise OverflowError("a text")

    monkeypatch.setattr(encoding._Gigatoken, "encode", failing)
    assert choose_engine(encoder, corpus(), MANY)[0] == "tokenizers"


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often gigatoken was begun: as long as the list."""
    times: list[int] = []
    begin = encoding._Gigatoken._begin
    monkeypatch.setattr(encoding._Gigatoken, "_begin", lambda self: times.append(1) or begin(self))
    return times


def test_it_is_kept_by_its_thread_for_the_next_shard(begun: list[int]) -> None:
    encoder = TextEncoder(trained())
    first = DocumentEncoder(encoder, "gigatoken").encode(corpus())
    again = DocumentEncoder(TextEncoder(trained()), "gigatoken").encode(corpus())
    assert len(begun) == 1 and np.array_equal(first.ids, again.ids)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(DocumentEncoder, encoder, "gigatoken").result()
    assert len(begun) == 2
    other = DocumentEncoder(TextEncoder(trained(vocab_size=300)), "gigatoken")
    assert len(begun) == 3 and not np.array_equal(other.encode(corpus()).ids, first.ids)


def test_it_begins_afresh_when_it_has_grown(
    begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = DocumentEncoder(TextEncoder(trained()), "gigatoken")
    first = encoder.encode(corpus())
    assert len(begun) == 1
    monkeypatch.setattr(encoding, "_CACHE_BYTES", -(1 << 40))
    again = encoder.encode(corpus())
    assert len(begun) == 2
    assert np.array_equal(first.ids, again.ids)
