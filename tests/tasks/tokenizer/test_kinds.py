"""Every kind: text comes back, the folder opens in transformers, the same in any order."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer, models, trainers

from storage.errors import CorpusTooSmall
from tasks.config import identity
from tasks.lm.tokens import SPECIAL_TOKENS, SPLIT_PATTERNS, TextEncoder
from tasks.lm.vocabulary import Sample, entry_bytes
from tasks.tokenizer import counts
from tasks.tokenizer.config import SMALLEST_VOCABULARY, Kind, TokenizerConfig
from tasks.tokenizer.counts import count_words
from tasks.tokenizer.kinds import ALPHABET, train_bpe
from tasks.tokenizer.merges import first_tokens, merge_pairs
from tasks.tokenizer.report import make_report
from tasks.tokenizer.train import save_tokenizer, train_tokenizer
from tests.tasks.tokenizer.conftest import corpus

KINDS: tuple[Kind, ...] = get_args(Kind)
SIZES = {"wordpiece": 600, "characters": 280, "bytes": SMALLEST_VOCABULARY}


def config(kind: Kind, **knobs: Any) -> TokenizerConfig:
    return TokenizerConfig(kind=kind, **{"vocab_size": SIZES.get(kind, 400), **knobs})


@cache
def encoder(kind: Kind) -> TextEncoder:
    return TextEncoder(train_tokenizer(corpus(), config(kind)))


_TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(
        st.sampled_from(
            [
                *SPECIAL_TOKENS,
                "<0x41>",
                "##",
                "…",
                "▁",
                " ",
                "\n",
                "1234567",
                "ế",
                "日",
                "👩\u200d💻",
            ]
        )
    ).map("".join),
)


@pytest.mark.parametrize("kind", KINDS)
@given(text=_TEXTS)
def test_text_comes_back(kind: Kind, text: str) -> None:
    ids = encoder(kind).encode(text)
    assert encoder(kind).decode(ids) == unicodedata.normalize("NFC", text)
    assert min(ids, default=99) >= len(SPECIAL_TOKENS)


@pytest.mark.parametrize("kind", KINDS)
def test_long_runs_come_back_in_time(kind: Kind) -> None:
    for text in ("ab" * 10_000, "日" * 5_000, " " * 20_000, "12" * 5_000):
        assert encoder(kind).decode(encoder(kind).encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_reads_each_alike(kind: Kind, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    save_tokenizer(encoder(kind).tokenizer, tmp_path)
    theirs: Any = AutoTokenizer.from_pretrained(tmp_path)
    ours = TextEncoder.load(tmp_path)
    for text in (*corpus()[:3], "don't 1234\n\n  x … ế 👩\u200d💻"):
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert ids == ours.encode(text) == encoder(kind).encode(text)
        assert theirs.decode(ids) == text
    assert [theirs.convert_tokens_to_ids(t) for t in SPECIAL_TOKENS] == [*range(7)]
    turns = [{"role": "user", "content": "What is má?"}]
    prompt = theirs.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    assert ours.converse(turns, answer=True).ids == prompt


@pytest.mark.parametrize("kind", KINDS)
def test_any_order_of_texts_gives_the_same(kind: Kind) -> None:
    turned = train_tokenizer(corpus()[::-1], config(kind))
    assert turned.to_str() == train_tokenizer(corpus(), config(kind)).to_str()
    assert turned.get_vocab_size() == config(kind).vocab_size


def test_superbpe_crosses_spaces_by_four_words_at_most() -> None:
    texts = ["by the way of the old river and so on"] * 90 + [*corpus()]
    tokenizer = train_tokenizer(texts, config("superbpe", vocab_size=450, transition=0.8))
    spaces = [token.count("Ġ") for token in tokenizer.get_vocab() if len(token) > 1]
    assert 1 < max(spaces) <= 4
    whole = len(TextEncoder(tokenizer).encode(texts[0]))
    plain = TextEncoder(train_tokenizer(texts, config("bpe", vocab_size=450)))
    assert whole < len(plain.encode(texts[0]))


@pytest.mark.parametrize(
    ("knobs", "at"),
    [
        ({"kind": "bytes", "vocab_size": 300}, "vocab_size"),
        ({"kind": "wordpiece", "vocab_size": 400}, "vocab_size"),
        ({"kind": "characters", "split": "gpt2"}, "split"),
        ({"kind": "bytes", "min_frequency": 3}, "min_frequency"),
        ({"kind": "bpe", "transition": 0.5}, "transition"),
    ],
)
def test_a_knob_of_another_kind_is_refused(knobs: dict[str, Any], at: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TokenizerConfig(**knobs)
    assert [error["ctx"]["error"].at for error in refused.value.errors()] == [at]


def test_knobs_that_were_added_change_no_fingerprint() -> None:
    assert {"kind", "transition"}.isdisjoint(identity(TokenizerConfig()))
    assert TokenizerConfig(kind="bytes").vocab_size == SMALLEST_VOCABULARY


def test_too_few_characters_are_refused() -> None:
    with pytest.raises(CorpusTooSmall):
        train_tokenizer(["ab"], config("characters"))


# --- merges and counts ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [300, 400])
@given(texts=st.lists(st.text(st.sampled_from("aab b.\nế"), max_size=40), min_size=1, max_size=8))
def test_merges_are_those_of_another_trainer(texts: list[str], size: int) -> None:
    ours = train_bpe(texts, TokenizerConfig(vocab_size=size, min_frequency=1), "qwen2", None)
    theirs = Tokenizer(models.BPE())
    theirs.normalizer, theirs.pre_tokenizer = ours.normalizer, ours.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=1,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=list(ALPHABET),
        show_progress=False,
    )
    theirs.train_from_iterator(texts, trainer)
    for text in texts:
        encoded = theirs.encode(text).tokens
        assert len(ours.encode(text).ids) <= len(encoded) or ours.encode(text).tokens == encoded


def test_a_run_without_spaces_costs_what_as_much_text_does() -> None:
    """Counts over 32 bits, and a million symbols in one sequence: seconds, not hours."""
    symbols = np.random.default_rng(0).integers(0, 50, 1_000_000).astype(np.int32)
    ends, many = np.array([0, len(symbols)]), np.array([1 << 40])
    merges, tokens = merge_pairs(symbols, ends, many, first_tokens(50), 300, 2, 0)
    assert len(merges) == 250 and len(tokens.hashes) == 300


def test_counts_are_the_same_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = SPLIT_PATTERNS["qwen2"]
    expected = count_words(corpus(), pattern)
    monkeypatch.setattr(counts, "_IN_MEMORY", 50)
    assert count_words(corpus()[::-1], pattern, tmp_path) == expected
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(counts, "_MOST_WORDS", 10)
    assert list(count_words(corpus(), pattern).items()) == list(expected.items())[:10]
    assert max(map(len, count_words(["x" * 5_000], pattern))) == counts.LONGEST


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_reported(kind: Kind) -> None:
    few = tuple(corpus()[:3])
    sample = Sample(few, ("vi",) * 3, tuple(corpus()[3:5]))  # too little for as many entries
    report = make_report(encoder(kind).tokenizer, config(kind), sample)
    assert report["entries"] == config(kind).vocab_size
    assert report["peers"]["entries"] <= config(kind).vocab_size


@pytest.mark.parametrize("kind", KINDS)
def test_entries_of_each_kind_are_the_bytes_of_a_text(kind: Kind) -> None:
    entries, text = entry_bytes(encoder(kind).tokenizer), corpus()[0]
    found = b"".join(entries[at] for at in encoder(kind).encode(text))
    assert found == unicodedata.normalize("NFC", text).encode()
