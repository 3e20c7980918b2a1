"""Recall against brute force on real text: floors, which only go up.

`python -m benchmarks.dedup_recall` does the same with 20 000 documents. Here are sections of
Python's own library, which is wherever Python is, and edited copies of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.dedup_recall import (
    Document,
    Pairs,
    Result,
    alike,
    deduplicated,
    graded,
    recall,
    wrongly_dropped,
)
from tasks.dedup.config import DedupConfig

_LIBRARY = Path(json.__file__).parent.parent
# Similarities from and to below, and the share of pairs that have to share a key.
FLOORS = ((0.8, 0.82, 0.96), (0.82, 0.9, 0.99), (0.9, 0.95, 0.999), (0.95, 1.1, 1.0))


def _sections() -> Iterator[Document]:
    for path in sorted(_LIBRARY.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if text.isascii():
            for at in range(0, len(text) - 400, 2_500):
                yield f"http://lib/{path.name}#{at}", text[at : at + 2_500]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Pairs]:
    """What dedup made of the documents, and all pairs that are alike."""
    config, real = DedupConfig(), list(_sections())[:1_500]
    documents = [*real, *graded(real, 1_400)]
    result = deduplicated(documents, config, tmp_path_factory.mktemp("recall"))
    return result, alike([text for _, text in documents], config.threshold)


def test_nothing_under_the_threshold_goes(found: tuple[Result, Pairs]) -> None:
    result, pairs = found
    assert len(result.dropped) > 500
    assert wrongly_dropped(result, pairs) == []


@pytest.mark.parametrize(("least", "most", "floor"), FLOORS)
def test_pairs_are_found(
    found: tuple[Result, Pairs], least: float, most: float, floor: float
) -> None:
    count, share, settled = recall(*found, least, most)
    assert count > 40
    assert share >= floor
    assert settled >= floor
