"""The overlap with training, against what it is in plain Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.tensors import write_tensors
from tasks.shard import overlap
from tasks.shard.division import Plan
from tasks.shard.overlap import measure_overlap
from tests.tasks.shard.test_division import written

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=12).map(" ".join), max_size=8)


def _grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 5]) for at in range(max(len(words) - 4, 1))}


def _measure(root: Path, training: list[str], held: list[str]) -> dict[str, float]:
    texts = [*training, *held]
    documents = written(root, [(f"http://a/{n}", text) for n, text in enumerate(texts)])
    sides = np.array([0] * len(training) + [1 + n % 2 for n in range(len(held))], np.uint8)
    rows = np.arange(len(texts))
    write_tensors(root / "plan", Plan(rows, sides)._asdict(), {})
    return measure_overlap(documents, [root / "plan"])


@given(TEXTS, TEXTS)
@example(["a b c a b"], ["a b c a b c"])  # just half
def test_it_is_what_sets_of_words_say(
    tmp_path_factory: pytest.TempPathFactory, training: list[str], held: list[str]
) -> None:
    found = _measure(tmp_path_factory.mktemp("texts"), training, held)
    known = set().union(*map(_grams, filter(None, training)))
    shares = [(len(_grams(text) & known), len(_grams(text))) for text in held]
    total = sum(of for _, of in shares)
    assert found["overlap_measured"] == len(held)
    assert found["overlap_documents"] == sum(2 * seen > of for seen, of in shares)
    assert found["overlap_share"] == pytest.approx(sum(s for s, _ in shares) / max(total, 1))


def test_only_so_much_held_out_text_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "_MEASURED_BYTES", 25)
    text = "a b c d e"
    found = _measure(tmp_path, [text], [text] * 9)
    assert found == {"overlap_share": 1.0, "overlap_documents": 2, "overlap_measured": 2}
