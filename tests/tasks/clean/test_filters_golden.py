"""Verdicts as datatrove 0.10.1's, on made-up documents, without datatrove.

`golden/datatrove.json` is what its filters said of `golden/made_up.py`'s documents:
`python -m benchmarks.filters --datatrove PATH --golden tests/tasks/clean/golden/datatrove.json`.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import xxhash

from benchmarks.filters_causes import (
    ANY_CASE,
    BLANK_LINES,
    ONCE,
    SPACELESS,
    SUBDOMAINS,
    SYMBOLS,
    UNEXPLAINED,
    cause,
)
from benchmarks.filters_pairs import PAIRS, Pair
from tasks.clean.filters import Candidate
from tasks.clean.trims import trim
from tests.tasks.clean.golden.made_up import made_up

GOLDEN: dict[str, Any] = json.loads(
    Path(__file__).with_name("golden").joinpath("datatrove.json").read_text()
)

# Differences that are meant, and how many documents have them.
MEANT = {
    "GopherQualityFilter": {SPACELESS: 113, BLANK_LINES: 48, ANY_CASE: 10, SYMBOLS: 1},
    "GopherRepetitionFilter": {ONCE: 33},
    "C4QualityFilter": {},
    "FineWebQualityFilter": {},
    "URLFilter": {SUBDOMAINS: 44},
}


@pytest.fixture(scope="module")
def candidates() -> list[Candidate]:
    return made_up()


def test_the_documents_are_those_that_were_judged(candidates: list[Candidate]) -> None:
    found = [xxhash.xxh3_64_hexdigest(one.text.encode()) for one in candidates]
    assert found == GOLDEN["digests"]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_verdicts_are_datatroves_but_for_known_causes(
    pair: Pair, candidates: list[Candidate]
) -> None:
    causes: Counter[str] = Counter()
    for candidate, reason in zip(candidates, GOLDEN["reasons"][pair.name], strict=True):
        broken = pair.broken(candidate)
        if not pair.agrees(reason, broken):
            why = cause(candidate, reason, broken, frozenset(GOLDEN["punctuation"]))
            assert why != UNEXPLAINED, (candidate, reason, broken)
            causes[why] += 1
    assert causes == MEANT[pair.name]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_the_documents_lie_on_both_sides_of_most_rules(pair: Pair) -> None:
    reasons = set(GOLDEN["reasons"][pair.name])
    assert None in reasons
    assert len(reasons & pair.reasons.keys()) >= 0.6 * len(pair.reasons)


def test_lines_that_c4_keeps_are_datatroves(candidates: list[Candidate]) -> None:
    (pair,) = (pair for pair in PAIRS if pair.trims)
    num = 0
    for candidate, reason, digest in zip(
        candidates, GOLDEN["reasons"][pair.name], GOLDEN["c4_lines"], strict=True
    ):
        if reason is not None or "[" in candidate.text:
            continue
        lines = trim(pair.trims, candidate.text).text.split("\n")
        kept = "\n".join(line.strip() for line in lines if line)
        assert xxhash.xxh3_64_hexdigest(kept.encode()) == digest, candidate.text
        num += 1
    assert num > 100
