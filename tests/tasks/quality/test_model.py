"""Hashed n-grams: machine code against the same rules written in Python."""

from __future__ import annotations

import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.quality.model import Features, LinearModel, bag, strings_of

_ALL = (1 << 64) - 1
_BASIS, _PRIME = 0xCBF29CE484222325, 0x100000001B3
_STEP, _PARTS, _EDGE = 0x9E3779B97F4A7C15, 0xA24BAED4963EE407, 0x110000
_UNSPACED = ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF),
             (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
             (0xF900, 0xFAFF))  # fmt: skip


def mix(value: int) -> int:
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & _ALL
    return value ^ (value >> 33)


def hashed(codes: list[int], basis: int = _BASIS) -> int:
    for code in codes:
        basis = (basis ^ code) * _PRIME & _ALL
    return mix(basis)


def split(text: str) -> list[list[int]]:
    """Words as what their characters are taken for."""
    words: list[list[int]] = [[]]
    for character in text:
        code, category = ord(character), unicodedata.category(character)
        alone = code > 0xFFFF or any(a <= code <= b for a, b in _UNSPACED)
        if code <= 0xFFFF and (category[0] in "CZ" or character.isspace()) and code not in (
            0x200C, 0x200D
        ):  # fmt: skip
            words.append([])
        elif alone or not (category[0] in "LNM" or code in (0x200C, 0x200D)):
            words += [[code], []]
        else:
            lowered = character.lower()
            folded = ord(lowered) if len(lowered) == 1 else code
            words[-1].append(ord("0") if category == "Nd" else folded)
    return [word for word in words if word]


def expected(text: str, features: Features) -> Counter[int]:
    words, mask = split(text)[: features.max_words], features.num_buckets - 1
    found = Counter[int]()
    hashes = [hashed(word) for word in words]
    for length in range(1, features.ngrams + 1):
        for start in range(len(words) - length + 1):
            value = hashes[start]
            for further in hashes[start + 1 : start + length]:
                value = (value * _STEP + further) & _ALL
            found[mix(value) & mask] += 1
    return found


TEXTS = st.text(
    st.characters(codec="utf-8") | st.sampled_from("aB9 \n.,éÅ中文ก🙂\u200dñİ"), max_size=60
)


@given(st.lists(TEXTS, max_size=5), st.integers(1, 4), st.sampled_from([16, 20]))
@example(["İstanbul 中文 ไทย 🙂 x\u200dy", "", " "], 3, 16)
def test_ngrams_are_those_of_the_rules(texts: list[str], ngrams: int, max_words: int) -> None:
    features = Features(ngrams, 0, 14, max_words)
    bags = bag(pa.chunked_array([pa.array(texts, pa.string())]), features)
    assert bags.ends.size == len(texts)
    begin = 0
    for text, end in zip(texts, bags.ends.tolist(), strict=True):
        wanted = expected(text, features)
        total = max(sum(wanted.values()), 1)
        shares = bags.shares[begin:end]
        found = dict(zip(bags.buckets[begin:end].tolist(), shares.tolist(), strict=True))
        assert found.keys() == wanted.keys()
        for bucket, times in wanted.items():
            assert found[bucket] == pytest.approx(times / total, rel=1e-6)
        begin = end


def test_ngrams_of_characters_are_within_words() -> None:
    features = Features(1, 3, 20, 16)
    bags = bag(pa.chunked_array([pa.array(["Fold 中 a"])]), features)
    mask = features.num_buckets - 1
    letters = [[_EDGE, *map(ord, word), _EDGE] for word in ("fold", "a")]
    parts = [hashed(w[i : i + 3], _PARTS) & mask for w in letters for i in range(len(w) - 2)]
    words = [mix(hashed([ord(c) for c in word])) & mask for word in ("fold", "中", "a")]
    assert bags.buckets.tolist() == parts + words
    names = strings_of(pa.chunked_array([pa.array(["Fold 中 a"])]), features, bags.buckets)
    assert [name for _, name in names] == ["fo", "fol", "old", "ld", "a", "fold", "中", "a"]


def test_very_long_words_have_room() -> None:
    for parts in (2, 3, 6):
        features = Features(1, parts, 12, 16)
        texts = pa.chunked_array([pa.array([" ".join(["x" * 300] * 30)])])
        assert 1 < len(bag(texts, features).buckets) < 100
        assert LinearModel(features, np.zeros(1 << 12, np.float32), 0.0).score(texts).tolist() == [
            0.5
        ]


@given(st.lists(TEXTS, min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_a_score_is_of_its_text_alone(texts: list[str], seed: int) -> None:
    """Whatever chunk, offset or kind of buffer it lies in; and it is the formula's."""
    features = Features(2, 3, 12, 50)
    weights = np.random.default_rng(seed).normal(size=1 << 12).astype(np.float32)
    model = LinearModel(features, weights, 0.25)
    together = model.score(pa.chunked_array([pa.array(texts)]))
    large = pa.array(["", *texts], pa.large_string())[1:]
    halves = pa.chunked_array([large[:1], large[1:]])
    assert together.tobytes() == model.score(halves).tobytes()
    bags = bag(pa.chunked_array([pa.array(texts)]), features)
    begin = 0
    for found, end in zip(together.tolist(), bags.ends.tolist(), strict=True):
        logit = 0.25 + float(weights[bags.buckets[begin:end]] @ bags.shares[begin:end])
        assert found == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-4)
        begin = end


def test_case_and_numbers_do_not_count() -> None:
    texts = pa.chunked_array([pa.array(["In 1984 ÉTÉ", "in 2026 été", "in 26 été"])])
    weights = np.arange(1 << 16, dtype=np.float32) / (1 << 16)
    one, other, shorter = LinearModel(Features(2, 0, 16, 50), weights, 0.0).score(texts).tolist()
    assert one == other != shorter
