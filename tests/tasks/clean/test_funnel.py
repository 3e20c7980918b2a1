"""The funnel counts what one would count by hand, text by text."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import REJECT, signals_schema
from tasks.clean.config import CleanConfig
from tasks.clean.filters import FineWeb, GopherQuality, Length
from tasks.clean.funnel import KEPT, LANGUAGE, TEXT, Drop, Funnel, funnel
from tasks.clean.judging import Verdicts
from tasks.domains import NO_HOST, domains_of

Row = dict[str, Any]
HOSTS = ("http://www.silt.example.org", "https://a.co.uk", "http://localhost:8630", "file://")
CONFIGS = (
    CleanConfig(filters=()),
    CleanConfig(filters=(Length(min_words=5, max_words=20),)),
    CleanConfig(
        languages=("en", "vi"),
        min_language_score=0.5,
        language_scores={"vi": 0.25},
        filters=(Length(min_words=5, max_words=20), GopherQuality(), FineWeb()),
    ),
)
NUMBERS = st.sampled_from([0.0, 0.01, 0.2, 0.5, 0.8, 1.0, 3.0, 5.0, 10.0, 20.0, 21.0, math.nan])


@st.composite
def cleanings(draw: st.DrawFn) -> tuple[CleanConfig, list[list[Row]], list[list[Row]]]:
    """A configuration, and the shards of signals and of rejects of texts that it judged."""
    config = draw(st.sampled_from(CONFIGS))
    verdicts = Verdicts(config)
    names = verdicts.signal_names
    signals: list[list[Row]] = []
    rejects: list[list[Row]] = []
    for shard in range(draw(st.integers(1, 3))):
        signals.append([])
        rejects.append([])
        for number in range(draw(st.integers(0, 8))):
            url = f"{draw(st.sampled_from(HOSTS))}/{shard}/{number}"
            if draw(st.integers(0, 4)) == 0:
                reason = draw(st.sampled_from(["no_text", "extractor_timeout", "forgotten"]))
                rejects[-1].append(_reject(url, reason, "0", ">= 1"))
                continue
            row: Row = {
                "id": url,
                "url": url,
                "language": draw(st.sampled_from(["en", "vi", "de"])),
            }
            row["language_score"] = draw(st.sampled_from([0.1, 0.25, 0.4, 0.5, 0.9]))
            row |= {name: draw(NUMBERS) for name in names}
            verdict = verdicts.decide(row["language"], row["language_score"], row)
            row["reason"] = verdict.reason if verdict else KEPT
            signals[-1].append(row)
            if verdict:
                rejects[-1].append(_reject(url, verdict.reason, verdict.value, verdict.threshold))
    return config, signals, rejects


def _reject(url: str, reason: str, value: str, threshold: str) -> Row:
    why = {"reason": reason, "value": value, "threshold": threshold}
    return {"id": url, "url": url, "stage": "clean", **why}


def _count(
    config: CleanConfig, signals: list[list[Row]], rejects: list[list[Row]], **asked: Any
) -> Funnel:
    schema = signals_schema(Verdicts(config).signal_names)
    with tempfile.TemporaryDirectory() as folder:
        paths: tuple[list[Path], list[Path]] = ([], [])
        for table, of, kind in ((signals, schema, 0), (rejects, REJECT, 1)):
            for number, rows in enumerate(table):
                path = Path(folder) / f"{kind}-{number}.parquet"
                pq.write_table(pa.Table.from_pylist(rows, schema=of), path)
                paths[kind].append(path)
        return funnel(*paths, config, **asked)


def _broken(config: CleanConfig, row: Row) -> set[str]:
    """All rules that a text breaks, each asked alone."""
    bounds = [bound for rule in config.filters for bound in rule.bounds()]
    found = {bound.reason for bound in bounds if bound.verdict(row) is not None}
    if config.languages:
        least = config.min_score_of(row["language"])
        if least is None:
            found.add("other_language")
        elif row["language_score"] < least:
            found.add("unsure_language")
    return found


def _drops(found: Funnel) -> dict[str, Drop]:
    return {drop.reason: drop for step in found.steps for drop in step.drops}


@settings(max_examples=60)
@given(cleanings(), st.sampled_from([None, "en", "vi"]))
def test_counts_are_those_of_brute_force(
    cleaning: tuple[CleanConfig, list[list[Row]], list[list[Row]]], language: str | None
) -> None:
    config, signals, rejects = cleaning
    found = _count(config, signals, rejects, language=language)
    texts = [row for shard in signals for row in shard if language in (None, row["language"])]
    judged = {row["url"] for shard in signals for row in shard}
    without = [row for shard in rejects for row in shard if row["url"] not in judged]
    if language is not None:
        without = []
    reasons = Counter(row["reason"] for row in (*texts, *without))
    broken = [_broken(config, row) for row in texts]
    drops = _drops(found)

    assert found.pages == len(texts) + len(without) and found.kept == reasons.pop(KEPT, 0)
    assert {name: drop.dropped for name, drop in drops.items() if drop.dropped} == reasons
    for reason, drop in drops.items():
        if reason in ("no_text", "extractor_timeout", "forgotten"):
            assert drop.broken_by == drop.alone == drop.dropped
            continue
        assert drop.broken_by == sum(reason in rules for rules in broken)
        assert drop.alone == sum(rules == {reason} for rules in broken)
        languages = Counter(row["language"] for row in texts if row["reason"] == reason)
        assert drop.languages == languages

    left = found.pages
    for step in found.steps:
        assert step.pages_in == left and step.dropped == sum(d.dropped for d in step.drops)
        left = step.pages_out
    assert left == found.kept
    assert sum(part.pages for part in found.domains) == found.pages
    assert sum(part.pages for part in found.languages) == len(texts)
    for part in (*found.domains, *found.languages):
        assert part.kept + sum(part.dropped.values()) == part.pages


@settings(max_examples=30)
@given(cleanings(), st.integers(0, 3))
def test_examples_are_rejects_as_they_were_kept(
    cleaning: tuple[CleanConfig, list[list[Row]], list[list[Row]]], wanted: int
) -> None:
    config, signals, rejects = cleaning
    found = _count(config, signals, rejects, num_examples=wanted)
    kept = [
        (row["reason"], row["url"], row["value"], row["threshold"])
        for shard in rejects
        for row in shard
    ]
    for reason, drop in _drops(found).items():
        rows = [row[1:] for row in kept if row[0] == reason]
        shown = [(one.url, one.value, one.threshold) for one in drop.examples]
        assert shown == rows[:wanted]  # the first in the files' order


def test_steps_stand_in_the_order_in_which_they_are_asked() -> None:
    names = [step.name for step in _count(CONFIGS[2], [[]], [[]]).steps]
    assert names == [TEXT, LANGUAGE, "length", "gopher_quality", "fineweb"]
    assert [step.name for step in _count(CONFIGS[1], [[]], [[]]).steps] == [TEXT, "length"]


def test_what_a_reason_bounds_is_said() -> None:
    drops = _drops(_count(CONFIGS[2], [[]], [[]]))
    assert (drops["too_few_words"].signal, drops["too_few_words"].bound) == ("num_words", ">= 5")
    assert drops["other_language"].bound == "in en, vi"
    assert drops["unsure_language"].bound == ">= 0.5, vi >= 0.25"


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("http://www.silt.example.org/a", "example.org"),
        ("https://me:secret@b.a.co.uk?x", "a.co.uk"),
        ("http://localhost:8630/a", "localhost:8630"),
        ("http://192.0.2.7/a", "192.0.2.7"),
        ("file:///a/b", NO_HOST),
        ("no URL", NO_HOST),
    ],
)
def test_domains(url: str, domain: str) -> None:
    assert domains_of(pa.chunked_array([[url]])).to_pylist() == [domain]
