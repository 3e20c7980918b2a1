"""Duplicates by embeddings, against the cosine of every pair."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import RequestError
from tasks.config import identity
from tasks.dedup.config import DedupConfig
from tasks.dedup.documents import Documents
from tasks.dedup.methods import Exact, Semantic
from tasks.dedup.methods.semantic import Embeddings
from tasks.similarity.shingles import Shingles
from tests.tasks.dedup.conftest import Dedup, Row, document

Vectors = dict[str, list[float]]


def _file(folder: Path, rows: list[Row], vectors: Vectors, *, lines: bool = False) -> Embeddings:
    entries = [{"document_id": r["document_id"], "embedding": vectors[r["url"]]}
               for r in rows if r["url"] in vectors]  # fmt: skip
    path = folder / ("vectors.jsonl" if lines else "vectors.parquet")
    if lines:
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    else:
        kind = pa.list_(pa.float32())
        schema = pa.schema([("document_id", pa.string()), ("embedding", kind)])
        pq.write_table(pa.Table.from_pylist(entries, schema=schema), path)
    return Embeddings(path=str(path))


def _planted(num: int = 60) -> tuple[list[Row], Vectors]:
    """Families of three vectors that are near each other, and texts that have nothing in common."""
    draw = np.random.default_rng(3)
    rows, vectors = [], {}
    for n in range(num):
        if n % 3 == 0:
            center = draw.standard_normal(24)
        url = f"http://a/{n}"
        vectors[url] = (center + 0.2 * draw.standard_normal(24)).tolist()
        rows.append(document(url, " ".join(f"w{n}x{k}" for k in range(9))))
    return rows, vectors


def _cosine(one: list[float], other: list[float]) -> float:
    a, b = np.array(one), np.array(other)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("lines", [False, True])
def test_against_brute_force(dedup: Dedup, tmp_path: Path, lines: bool) -> None:
    rows, vectors = _planted()
    folder = tmp_path / "files"
    folder.mkdir()
    method = Semantic(embeddings=(_file(folder, rows, vectors, lines=lines),), min_similarity=0.95)
    done = dedup(rows, DedupConfig(methods=(method,)), num_shards=3)
    assert 15 < len(done.dropped) < 40
    for row in done.dropped:
        exact = _cosine(vectors[row["url"]], vectors[row["kept_url"]])
        assert row["similarity"] == pytest.approx(exact, abs=1e-6)
        assert exact >= 0.95 - 1e-6
        assert row["method"] == "semantic"
    kept = sorted(done.kept_urls)
    missed = [p for p in itertools.combinations(kept, 2) if _cosine(*map(vectors.get, p)) > 0.95]
    assert len(missed) <= 2
    mixed = random.Random(1).sample(rows, len(rows))
    again = dedup(mixed, DedupConfig(methods=(method,)), num_shards=1)
    assert again.dropped == done.dropped


def test_documents_without_an_embedding_are_like_no_other(dedup: Dedup, tmp_path: Path) -> None:
    rows = [document(f"http://a/{n}", "the same text") for n in range(5)]
    folder = tmp_path / "files"
    folder.mkdir()
    file = _file(folder, rows, {"http://a/1": [1.0, 0.0], "http://a/3": [2.0, 0.1]})
    method = Semantic(embeddings=(file,))
    done = dedup(rows, DedupConfig(methods=(method,)), num_shards=2)
    assert [(r["url"], r["kept_url"]) for r in done.dropped] in (
        [("http://a/1", "http://a/3")],
        [("http://a/3", "http://a/1")],
    )
    both = dedup(rows, DedupConfig(methods=(method, Exact())), num_shards=2)
    assert len(both.kept) == 1


def test_urls_can_be_the_key_and_files_several(tmp_path: Path) -> None:
    rows = [document(f"http://a/{n}", f"text {n}") for n in range(3)]
    files = []
    for n in (0, 2):
        path = tmp_path / f"{n}.jsonl"
        path.write_text(json.dumps({"url": f"http://a/{n}", "v": [3.0, 4.0]}) + "\n")
        files.append(Embeddings(path=str(path), key="url", column="v"))
    found = Semantic(embeddings=tuple(files)).vectors_of(_documents(rows))
    assert found.rows.tolist() == [0, 2]
    assert found.vectors == pytest.approx(np.array([[0.6, 0.8]] * 2))


def _documents(rows: list[Row]) -> Documents:
    return Documents.of_table(pa.Table.from_pylist(rows), Shingles())


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        ([[1.0, 0.0], [1.0, 0.0, 0.0]], "3 numbers"),
        ([[1.0, float("nan")]], "NaN"),
        ([[0.0, 0.0]], "without length"),
        (["no", [1.0]], "list of numbers"),
    ],
)
def test_vectors_that_are_none(tmp_path: Path, vectors: list[Any], says: str) -> None:
    rows = [document(f"http://a/{n}", f"text {n}") for n in range(2)]
    by_url = dict(zip([row["url"] for row in rows], vectors, strict=False))
    method = Semantic(embeddings=(_file(tmp_path, rows, by_url, lines=True),))
    with pytest.raises(RequestError, match=says):
        method.vectors_of(_documents(rows))


def test_files_that_are_none(tmp_path: Path) -> None:
    rows, vectors = _planted(3)
    file = _file(tmp_path, rows, vectors)
    with pytest.raises(RequestError, match="no column"):
        wrong = file.model_copy(update={"column": "vector"})
        Semantic(embeddings=(wrong,)).vectors_of(_documents(rows))
    with pytest.raises(RequestError, match="second vector"):
        Semantic(embeddings=(file, file)).vectors_of(_documents(rows))
    with pytest.raises(ValueError, match="expected"):
        Embeddings(path=str(tmp_path / "a.csv"))
    with pytest.raises(ValueError, match="cannot read"):
        Embeddings(path=str(tmp_path / "none.jsonl"))
    before = identity(DedupConfig(methods=(Semantic(embeddings=(file,)),)))
    vectors["http://a/0"][0] += 1
    changed = _file(tmp_path, rows, vectors)
    assert identity(DedupConfig(methods=(Semantic(embeddings=(changed,)),))) != before
    with pytest.raises(RequestError, match="digest"):
        Semantic(embeddings=(file,)).vectors_of(_documents(rows))


def test_planes_find_enough() -> None:
    file = Embeddings(path="a.parquet", digest="0")
    for similarity in (0.3, 0.8, 0.95, 0.99, 0.9999):
        method = Semantic(embeddings=(file,), min_similarity=similarity)
        agree = 1 - np.arccos(similarity) / np.pi
        assert 1 - (1 - agree**method.planes) ** method.bands >= 0.97
        assert 1 <= method.planes <= 63
