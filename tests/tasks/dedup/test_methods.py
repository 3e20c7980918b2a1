"""One contract for every way to find candidates; MinHash against datasketch's own."""

from __future__ import annotations

import random
from typing import Any, get_args

import datasketch
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from tasks.dedup.config import DedupConfig
from tasks.dedup.methods import Exact, Method, MinHash
from tasks.dedup.shingles import Shingled

MEMBERS: tuple[type[Any], ...] = get_args(get_args(Method)[0])
TEXT = "the spring of the river lies in the hills behind our town and people walk there"


@pytest.mark.parametrize("member", MEMBERS)
@given(st.text(st.sampled_from("ab cạ!\n"), max_size=40))
def test_contract(member: type[Any], text: str) -> None:
    keys = member().prepare(0.8)
    found = keys(Shingled(text, 3))
    assert found
    assert all(isinstance(key, int) and 0 <= key < 2**64 for key in found)
    assert found == member().prepare(0.8)(Shingled(text, 3)), "not pure"


@pytest.mark.parametrize("member", MEMBERS)
def test_equal_words_always_meet(member: type[Any]) -> None:
    keys = member().prepare(0.8)
    assert set(keys(Shingled(TEXT, 5))) == set(keys(Shingled(f"{TEXT.upper()}!", 5)))


@pytest.mark.parametrize("member", MEMBERS)
def test_every_method_is_a_choice_of_the_recipe(member: type[Any]) -> None:
    kind = member.model_fields["kind"].default
    assert DedupConfig.model_validate({"methods": [{"kind": kind}]}).methods == (member(),)


def test_exact_tells_order_and_tones() -> None:
    keys = Exact().prepare(0.8)

    def key(text: str) -> list[int]:
        return keys(Shingled(text, 5))

    assert key("The cat. Sat!") == key("the cat sat")
    assert key("the cat sat") != key("the sat cat")
    assert key("con má") != key("con mà")
    assert len(key(TEXT)) == 1


@pytest.mark.parametrize(("num_perm", "seed"), [(112, 1), (16, 1), (64, 9)])
def test_minhash_keys_are_bands_of_datasketchs_signature(num_perm: int, seed: int) -> None:
    method = MinHash(num_perm=num_perm, seed=seed)
    document = Shingled(TEXT, 3)
    signature = datasketch.MinHash(
        num_perm=num_perm, seed=seed, scheme="affine32", hashfunc=xxhash.xxh32_intdigest
    )
    for shingle in document.shingles:
        signature.update(shingle)
    bands, rows = method.bands(0.8)
    values = signature.digest()
    assert method.prepare(0.8)(document) == [
        xxhash.xxh3_64_intdigest(values[band * rows : (band + 1) * rows].tobytes(), seed=band)
        for band in range(bands)
    ]


@pytest.mark.parametrize("num_perm", [16, 112, 128])
@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.8, 0.95, 1.0])
def test_bands_fit_the_signature_and_favour_recall(num_perm: int, threshold: float) -> None:
    bands, rows = MinHash(num_perm=num_perm).bands(threshold)
    assert 1 <= bands * rows <= num_perm
    assert bands >= 1 <= rows
    if num_perm >= 112:
        at = min(threshold + 0.1, 1.0)  # a pair clearly over the threshold is hardly ever missed
        assert 1 - (1 - at**rows) ** bands > 0.95


def test_an_earlier_signature_is_not_carried_into_the_next() -> None:
    keys = MinHash().prepare(0.8)
    first = keys(Shingled(TEXT, 5))
    keys(Shingled("something else altogether, of which there is a little", 5))
    assert keys(Shingled(TEXT, 5)) == first


def test_the_seed_draws_other_hash_functions() -> None:
    draw = random.Random(3)
    document = Shingled(" ".join(str(draw.random()) for _ in range(50)), 5)
    one, other = (MinHash(seed=seed).prepare(0.8)(document) for seed in (1, 2))
    assert not set(one) & set(other)
