"""The candidates that a banding lets expect, beside those that it gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.dedup.documents import Documents
from tasks.dedup.methods import MinHash
from tasks.dedup.methods.minhash import expect
from tasks.dedup.shingles import Shingles, shingle_sets, texts_of

THRESHOLD = 0.8


def texts(count: int) -> list[str]:
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
    rows = texts(400)
    paths = [tmp_path / name for name in ("0.parquet", "1.parquet")]
    pq.write_table(pa.table({"text": rows[:100]}), paths[0])
    pq.write_table(pa.table({"text": rows[100:]}), paths[1])
    return paths


def test_it_is_what_the_bands_give(files: list[Path]) -> None:
    method, shingles = MinHash(bands=14, rows=8), Shingles(size=3)
    found = expect(files, shingles, THRESHOLD, method.banding(THRESHOLD), 10_000)
    assert found.documents == found.sampled == 400

    table = pa.concat_tables(pq.read_table(path) for path in files)
    keys = method.keys_of(Documents.of_table(table, shingles), THRESHOLD)
    share = np.zeros((400, 400), bool)
    for column in keys:
        share |= column[:, None] == column[None]
    candidates = int(np.triu(share, 1).sum())
    assert candidates == pytest.approx(found.candidates, rel=0.1)

    sets = []
    for part in texts_of(table["text"]):
        hashes, sizes = shingle_sets(part, shingles)
        sets += [set(each.tolist()) for each in np.split(hashes, np.cumsum(sizes)[:-1])]
    alike = sum(
        len(a & b) >= THRESHOLD * len(a | b) for n, a in enumerate(sets) for b in sets[n + 1 :]
    )
    assert found.duplicates == alike > 50
    assert 0 <= found.missed < 0.1 * alike and found.in_vain > 0


def test_a_sample_is_scaled_to_the_pairs_of_all(files: list[Path]) -> None:
    whole = expect(files, Shingles(size=3), THRESHOLD, (14, 8), 400)
    part = expect(files, Shingles(size=3), THRESHOLD, (14, 8), 80)
    assert (part.documents, part.sampled) == (400, 80)
    # Families lie together, so a sample of neighbours holds five times their share of the pairs.
    scale = (400 * 399) / (80 * 79)
    assert part.duplicates == pytest.approx(whole.duplicates / 5 * scale, rel=0.35)


def test_one_document_has_no_pairs(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    pq.write_table(pa.table({"text": ["just this"]}), path)
    found = expect([path], Shingles(), THRESHOLD, (14, 8), 10)
    assert (found.documents, found.candidates, found.duplicates) == (1, 0.0, 0.0)
