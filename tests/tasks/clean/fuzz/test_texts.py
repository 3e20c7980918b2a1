"""Odd texts through all that follows extraction; hypothesis shrinks them to a few words."""

from __future__ import annotations

import math
import unicodedata
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tasks.clean.filters import Candidate, judge
from tasks.clean.filters.gopher_quality import STOP_WORDS
from tasks.clean.language import LanguageDetector
from tasks.clean.pii import Pii, mask
from tasks.clean.text import tidy
from tasks.clean.trims import Trim, trim
from tasks.words import UNSPACED
from tests.tasks.clean.fuzz.sources import ENTITIES, FLOODS, PERSONAL, PROSE
from tests.tasks.clean.fuzz.test_fuzz import LONG, SEED
from tests.tasks.clean.test_filters import RULES

KINDS = tuple(kind() for kind in get_args(get_args(Pii)[0]))
TRIMS = tuple(kind() for kind in get_args(get_args(Trim)[0]))
PIECES = st.one_of(
    st.sampled_from(PROSE),
    st.sampled_from(PERSONAL),
    st.sampled_from(PERSONAL).map(lambda text: text[len(text) // 3 :]),
    st.sampled_from(ENTITIES),
    *(st.text(flood, max_size=40) for flood in FLOODS.values()),
    st.text(max_size=12),
    st.sampled_from(["\n", " ", "[1]", "tel ", "@", "\u0338", ">", "x" * 1_200, "- ", "# "]),
)
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from([1, 1, 1, 2, 40])), max_size=12).map(
    lambda pieces: "".join(piece * num for piece, num in pieces)
)
DETECTOR = LanguageDetector()


@pytest.mark.timeout(0 if LONG else 300)
@seed(SEED)
@settings(max_examples=LONG // 10 or 60, database=None, suppress_health_check=list(HealthCheck))
@given(TEXTS)
def test_texts_stay_sound(text: str) -> None:
    tidied = tidy(text)
    assert tidy(tidied) == tidied
    trimmed = trim(TRIMS, tidied).text
    assert tidy(trimmed) == trimmed
    for one in (tidied, trimmed):
        masked, found = mask(one, KINDS)
        assert mask(masked, KINDS) == (masked, [])
        assert bool(found) == (masked != one)
        assert unicodedata.is_normalized("NFC", masked)
        assert tidy(masked) == masked
        masked.encode()
        language, score = DETECTOR.detect(masked)
        assert 0 <= score <= 1
        _measured(masked, language)


def _measured(text: str, language: str) -> None:
    unknown = {"mean_word_length"} if language in UNSPACED else set()
    unknown |= {"num_stop_words"} if language not in STOP_WORDS else set()
    for rule in RULES.values():
        signals: dict[str, Any] = rule.measure(Candidate(text, language))
        assert {name for name, value in signals.items() if math.isnan(value)} <= unknown
        assert all(value >= 0 for name, value in signals.items() if name not in unknown)
        assert not any(map(math.isinf, signals.values()))
        judge(rule.bounds(), signals)
