"""One contract for every way to find pairs; MinHash against datasketch's own."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, get_args

import datasketch
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dedup.config import DedupConfig
from tasks.dedup.documents import Documents
from tasks.dedup.methods import Exact, MinHash, PairMethod, SameUrl, Semantic
from tasks.dedup.methods.minhash import expect
from tasks.dedup.methods.url import plain_url
from tasks.similarity.minhash import recall
from tasks.similarity.shingles import (
    Shingles,
    Texts,
    shingle_hash,
    shingle_hash32,
    shingle_sets,
    texts_of,
)

# Semantic looks at embeddings that are given, not at texts: test_semantic.py.
MEMBERS = tuple(member for member in get_args(PairMethod) if member is not Semantic)
TEXT = "the spring of the river lies in the hills behind our town and people walk there"


def _documents(*texts: str, size: int = 3) -> Documents:
    table = pa.table(
        {
            "document_id": [f"{n:032x}" for n in range(len(texts))],
            "url": ["http://a/one"] * len(texts),
            "canonical": [""] * len(texts),
            "text": list(texts),
        }
    )
    return Documents.of_table(table, Shingles(size=size))


@pytest.mark.parametrize("member", MEMBERS)
@given(st.lists(st.text(st.sampled_from("ab cạ!\n"), max_size=40), min_size=1, max_size=4))
def test_contract(member: type[Any], texts: list[str]) -> None:
    method = member()
    keys = method.keys_of(_documents(*texts), 0.8)
    assert keys.shape == (method.columns(0.8), len(texts))
    assert keys.dtype == np.uint64
    again = [member().keys_of(_documents(text), 0.8)[:, 0] for text in texts]
    assert (np.array(again) == keys.T).all(), "not pure"
    assert 0 < method.least(0.8) <= 1
    assert method.basis(0.8) == member().basis(0.8)


@pytest.mark.parametrize("member", MEMBERS)
def test_no_documents(member: type[Any]) -> None:
    assert member().keys_of(_documents(), 0.8).shape == (member().columns(0.8), 0)


@pytest.mark.parametrize("member", MEMBERS)
def test_equal_words_always_meet(member: type[Any]) -> None:
    one, other = member().keys_of(_documents(TEXT, f"{TEXT.upper()}!"), 0.8).T
    assert (one == other).all()


@pytest.mark.parametrize("member", MEMBERS)
def test_every_method_is_a_choice_of_the_recipe(member: type[Any]) -> None:
    kind = member.model_fields["kind"].default
    assert DedupConfig.model_validate({"methods": [{"kind": kind}]}).methods == (member(),)


def test_a_method_stands_there_once() -> None:
    with pytest.raises(ValueError, match="more than once"):
        DedupConfig(methods=(Exact(), Exact()))


def test_exact_tells_order_and_tones() -> None:
    def key(text: str) -> int:
        return int(Exact().keys_of(_documents(text), 0.8)[0, 0])

    assert key("The cat. Sat!") == key("the cat sat")
    assert key("the cat sat") != key("the sat cat")
    assert key("con má") != key("con mà")


@pytest.mark.parametrize("scheme", ["affine32", "affine64"])
@pytest.mark.parametrize(("num_perm", "seed"), [(112, 1), (17, 1), (64, 9)])
def test_signatures_are_datasketchs_bit_for_bit(scheme: Any, num_perm: int, seed: int) -> None:
    draw = random.Random(seed)
    texts = [" ".join(f"w{draw.randrange(90)}" for _ in range(n)) for n in (0, 1, 4, 5, 33, 400)]
    method = MinHash(num_perm=num_perm, seed=seed, scheme=scheme)
    signatures = method.signatures(Texts.of(pa.array(texts)), Shingles())
    theirs = []
    for text in texts:
        words = text.split()
        hashfunc = shingle_hash32 if scheme == "affine32" else shingle_hash
        one = datasketch.MinHash(num_perm=num_perm, seed=seed, scheme=scheme, hashfunc=hashfunc)
        runs = range(max(len(words) - 4, 1))
        one.update_batch([" ".join(words[i : i + 5]).encode() for i in runs])
        theirs.append(one)
    assert signatures.dtype == theirs[0].hashvalues.dtype
    assert (signatures == np.stack([one.hashvalues for one in theirs])).all()

    lsh = datasketch.MinHashLSH(threshold=0.8, num_perm=num_perm)
    for number, values in enumerate(signatures):
        lsh.insert(number, datasketch.MinHash(hashvalues=values, seed=seed, scheme=scheme))
    assert all(number in lsh.query(one) for number, one in enumerate(theirs))


@pytest.mark.parametrize("num_perm", [16, 112, 128])
@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.8, 0.95, 1.0])
def test_bands_fit_the_signature_and_find_enough(num_perm: int, threshold: float) -> None:
    bands, rows = MinHash(num_perm=num_perm).banding(threshold)
    assert 1 <= bands * rows <= num_perm
    if num_perm >= 112 and threshold > 0.05:
        assert recall(threshold, bands, rows) >= 0.97
        assert recall(threshold, num_perm // (rows + 1), rows + 1) < 0.97 or rows == num_perm


def test_bands_can_be_given() -> None:
    assert MinHash(bands=14, rows=8).banding(0.8) == (14, 8)
    for wrong in ({"bands": 14}, {"rows": 8}, {"bands": 15, "rows": 8}):
        with pytest.raises(ValueError, match="expected"):
            MinHash.model_validate(wrong)


def test_the_seed_draws_other_hash_functions() -> None:
    draw = random.Random(3)
    documents = _documents(" ".join(str(draw.random()) for _ in range(50)))
    one, other = (MinHash(seed=seed).keys_of(documents, 0.8) for seed in (1, 2))
    assert not set(one[:, 0].tolist()) & set(other[:, 0].tolist())


@pytest.mark.parametrize(
    "url",
    [
        "https://www.a.org/x/?b=2&a=1",
        "http://a.org/x?a=1&b=2&utm_source=feed",
        "http://A.org:80/x/index.html?fbclid=7&a=1&b=2",
        "http://a.org/x;jsessionid=4F?a=1&b=2#top",
    ],
)
def test_one_address_in_several_ways(url: str) -> None:
    assert plain_url(url) == "a.org/x?a=1&b=2"


@pytest.mark.parametrize("url", ["http://a.org/x?a=2&b=2", "http://a.org/X?a=1&b=2", "http://[bad"])
def test_other_addresses(url: str) -> None:
    assert plain_url(url) != "a.org/x?a=1&b=2"


def test_pages_meet_by_the_address_that_they_give_as_their_own() -> None:
    urls = ["http://a.org/print?id=1", "http://a.org/1", "https://www.a.org/1/", "http://a.org/2"]
    stated = ["http://a.org/1", "", "http://b.org/1", ""]
    table = pa.table({"url": urls, "canonical": stated})
    by_url, by_statement = SameUrl().keys_of(Documents.of_table(table, Shingles()), 0.8).tolist()
    assert by_url[1] == by_url[2]
    assert len(set(by_url)) == 3
    assert by_statement[0] == by_statement[1] == by_url[1]
    assert len(set(by_statement)) == 3
    (alone,) = SameUrl(canonical=False).keys_of(Documents.of_table(table, Shingles()), 0.8).tolist()
    assert alone == by_url
    assert SameUrl(canonical=False).basis(0.8) != SameUrl().basis(0.8)


def _families(count: int) -> list[str]:
    """Families of documents that share more and more of their words."""
    draw = np.random.default_rng(3)
    found = []
    for family in range(count // 4):
        words = [f"w{family}x{n}" for n in range(120)]
        for changes in (0, 2, 5, 20):
            of = list(words)
            for at in draw.integers(0, 120, changes):
                of[at] = f"y{at}x{draw.integers(1 << 30)}"
            found.append(" ".join(of))
    return found


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rows = _families(400)
    paths = [tmp_path / name for name in ("0.parquet", "1.parquet")]
    pq.write_table(pa.table({"text": rows[:100]}), paths[0])
    pq.write_table(pa.table({"text": rows[100:]}), paths[1])
    return paths


def test_it_is_what_the_bands_give(files: list[Path]) -> None:
    method, shingles = MinHash(bands=14, rows=8), Shingles(size=3)
    found = expect(files, shingles, 0.8, method.banding(0.8), 10_000)
    assert found.documents == found.sampled == 400

    table = pa.concat_tables(pq.read_table(path) for path in files)
    keys = method.keys_of(Documents.of_table(table, shingles), 0.8)
    share = np.zeros((400, 400), bool)
    for column in keys:
        share |= column[:, None] == column[None]
    candidates = int(np.triu(share, 1).sum())
    assert candidates == pytest.approx(found.candidates, rel=0.1)

    sets = []
    for part in texts_of(table["text"]):
        hashes, sizes = shingle_sets(part, shingles)
        sets += [set(each.tolist()) for each in np.split(hashes, np.cumsum(sizes)[:-1])]
    alike = sum(len(a & b) >= 0.8 * len(a | b) for n, a in enumerate(sets) for b in sets[n + 1 :])
    assert found.duplicates == alike > 50
    assert 0 <= found.missed < 0.1 * alike and found.in_vain > 0


def test_a_sample_is_scaled_to_the_pairs_of_all(files: list[Path]) -> None:
    whole = expect(files, Shingles(size=3), 0.8, (14, 8), 400)
    part = expect(files, Shingles(size=3), 0.8, (14, 8), 80)
    assert (part.documents, part.sampled) == (400, 80)
    # Families lie together, so a sample of neighbours holds five times their share of the pairs.
    scale = (400 * 399) / (80 * 79)
    assert part.duplicates == pytest.approx(whole.duplicates / 5 * scale, rel=0.35)


def test_one_document_has_no_pairs(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    pq.write_table(pa.table({"text": ["just this"]}), path)
    found = expect([path], Shingles(), 0.8, (14, 8), 10)
    assert (found.documents, found.candidates, found.duplicates) == (1, 0.0, 0.0)
