"""What each step of a cleaning dropped, and what it would have dropped alone: counted from the
signals and rejects that the cleaning kept.

A reject names the first rule that its text broke. Signals are there behind that one, too, so it can
be said of each rule how many texts break it at all, and how many nothing else: those alone come
back if it is loosened. Texts of rejects are not kept, so examples are URLs and measured values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.lookup import strings
from tasks.clean.config import CleanConfig
from tasks.clean.filters import Verdict
from tasks.clean.verdicts import Verdicts
from tasks.domains import domains_of

KEPT = ""
"""The reason of what is kept."""
TEXT, LANGUAGE = "text", "language"
"""The steps before the filters: a page without text, or taken down; a text in another language."""

_LANGUAGE_RULES = ("other_language", "unsure_language")
_FACTS = ("id", "url", "reason", "language", "language_score")
_MOST = 10  # domains, or languages, that are named of a reason

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """A page that was dropped, the value that decided, and the bound."""

    url: str
    value: str
    threshold: str


@dataclass(frozen=True)
class Drop:
    """One reason to drop a page, and the pages that it met."""

    reason: str
    signal: str
    """What is bounded; empty where nothing was measured."""
    bound: str
    dropped: int
    """Pages whose reject names it: it was the first rule that they broke."""
    broken_by: int
    """Texts that break it, also behind another."""
    alone: int
    """Texts that break it and no other rule: without it they would have been kept."""
    domains: Mapping[str, int]
    """Registrable domains, or hosts, of the dropped pages, the most frequent first."""
    languages: Mapping[str, int]
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Step:
    """One step of the cleaning: a filter, with all its reasons in their order."""

    name: str
    pages_in: int
    pages_out: int
    drops: tuple[Drop, ...]

    @property
    def dropped(self) -> int:
        return self.pages_in - self.pages_out


@dataclass(frozen=True)
class Part:
    """What became of the pages of one domain, or the texts in one language."""

    name: str
    pages: int
    kept: int
    dropped: Mapping[str, int]
    """By reason, the most frequent first."""


@dataclass(frozen=True)
class Funnel:
    """From all pages to those that are kept. With a `language`, of the texts in it alone."""

    language: str | None
    pages: int
    kept: int
    steps: tuple[Step, ...]
    domains: tuple[Part, ...]
    languages: tuple[Part, ...]
    """Pages without text are in none."""


@dataclass
class _Tally:
    """What is counted, over all shards."""

    pages: Counter[str] = field(default_factory=Counter)
    broken_by: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    domains: Counter[tuple[str, str]] = field(default_factory=Counter)
    languages: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)


def funnel(
    signals: Sequence[Path],
    rejects: Sequence[Path],
    config: CleanConfig,
    *,
    language: str | None = None,
    num_examples: int = 3,
) -> Funnel:
    """Count one cleaning, made with `config`, from its tables; one shard is in memory at a time.

    Examples are the first in the files' order, which is that of ids: as good a draw as any, and the
    same each time.
    """
    rules = _Rules(config)
    tally = _Tally()
    for path in signals:
        table = pq.read_table(path, columns=[*_FACTS, *rules.signals])
        if language is not None:
            table = table.filter(pc.equal(table["language"], language))
        if len(table):
            _count_texts(table, rules, tally, num_examples)
    if language is None:
        judged = strings({KEPT, *rules.reasons})
        for path in rejects:
            table = pq.read_table(path, columns=["url", "reason", "value", "threshold"])
            table = table.filter(pc.invert(pc.is_in(table["reason"], value_set=judged)))
            _count_without_text(table, tally, num_examples)
    return _funnel(rules, tally, language)


class _Rules:
    """All that a text may break, in the order in which it is asked."""

    def __init__(self, config: CleanConfig) -> None:
        self._config, self.verdicts = config, Verdicts(config)
        self.steps: dict[str, Sequence[str]] = {}
        if config.languages:
            self.steps[LANGUAGE] = _LANGUAGE_RULES
        self.bounds = {b.reason: b for of in self.verdicts.bounds.values() for b in of}
        for kind, bounds in self.verdicts.bounds.items():
            self.steps[kind] = tuple(bound.reason for bound in bounds)
        self.reasons = [reason for reasons in self.steps.values() for reason in reasons]
        self.signals = sorted({bound.signal for bound in self.bounds.values()})

    def broken(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Whether each rule (a row) is broken by each text (a column)."""
        rows = list(self._languages_broken(table)) if self._config.languages else []
        values = {name: table[name].to_numpy() for name in self.signals}
        for bound in self.bounds.values():
            of = values[bound.signal]  # NaN is neither below nor above
            rows.append((of < bound.min) | (of > bound.max))
        return np.array(rows, bool).reshape(len(rows), len(table))

    def _languages_broken(self, table: pa.Table) -> Iterator[Mask]:
        encoded = table["language"].combine_chunks().dictionary_encode()
        least = [self._config.min_score_of(code) for code in encoded.dictionary.to_pylist()]
        bounds = np.array([np.nan if of is None else of for of in least])[encoded.indices]
        yield np.isnan(bounds)
        yield table["language_score"].to_numpy() < bounds

    def bound_of(self, reason: str) -> tuple[str, str]:
        """The signal, and what it may be."""
        if reason == _LANGUAGE_RULES[0]:
            return "language", f"in {', '.join(self._config.languages)}"
        if reason == _LANGUAGE_RULES[1]:
            scores = {"": self._config.min_language_score, **self._config.language_scores}
            return "score", ", ".join(f"{name} >= {of:g}".lstrip() for name, of in scores.items())
        if reason not in self.bounds:
            return "", ""
        bound = self.bounds[reason]
        return bound.signal, bound.says

    def example(self, row: Mapping[str, str | float]) -> Example:
        reason, score = str(row["reason"]), float(row["language_score"])
        if reason in self.bounds:
            values = {name: float(row[name]) for name in self.signals}
            verdict: Verdict | None = self.bounds[reason].verdict(values)
        else:
            verdict = self.verdicts.decide(str(row["language"]), score, {})
        if verdict is None:  # not by these bounds
            return Example(str(row["url"]), "", "")
        return Example(str(row["url"]), verdict.value, verdict.threshold)


def _count_texts(table: pa.Table, rules: _Rules, tally: _Tally, num_examples: int) -> None:
    reasons = table["reason"].combine_chunks().dictionary_encode()
    _count_pages(reasons, table["url"], tally)
    tally.languages.update(_pairs(reasons, table["language"].combine_chunks().dictionary_encode()))
    broken = rules.broken(table)
    alone = broken & (broken.sum(axis=0) == 1)
    tally.broken_by.update(dict(zip(rules.reasons, broken.sum(axis=1).tolist(), strict=True)))
    tally.alone.update(dict(zip(rules.reasons, alone.sum(axis=1).tolist(), strict=True)))
    for reason, rows in _first(reasons, tally, num_examples):
        tally.examples[reason] += map(rules.example, table.take(rows).to_pylist())


def _count_without_text(table: pa.Table, tally: _Tally, num_examples: int) -> None:
    if not len(table):
        return
    reasons = table["reason"].combine_chunks().dictionary_encode()
    _count_pages(reasons, table["url"], tally)
    for reason, rows in _first(reasons, tally, num_examples):
        found = table.select(["url", "value", "threshold"]).take(rows).to_pylist()
        tally.examples[reason] += (Example(**row) for row in found)


def _count_pages(reasons: pa.DictionaryArray, urls: pa.ChunkedArray, tally: _Tally) -> None:
    counts = np.bincount(reasons.indices, minlength=len(reasons.dictionary)).tolist()
    tally.pages.update(dict(zip(reasons.dictionary.to_pylist(), counts, strict=True)))
    tally.domains.update(_pairs(reasons, domains_of(urls)))


def _pairs(left: pa.DictionaryArray, right: pa.DictionaryArray) -> dict[tuple[str, str], int]:
    """How often two values stand side by side."""
    width = len(right.dictionary)
    codes = left.indices.to_numpy().astype(np.int64) * width + right.indices.to_numpy()
    found, counts = np.unique(codes, return_counts=True)
    first, second = left.dictionary.to_pylist(), right.dictionary.to_pylist()
    pairs = ((first[code // width], second[code % width]) for code in found.tolist())
    return dict(zip(pairs, counts.tolist(), strict=True))


def _first(
    reasons: pa.DictionaryArray, tally: _Tally, num_examples: int
) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Of each reason to drop, the rows that are still wanted as examples."""
    indices = reasons.indices.to_numpy()
    for code, reason in enumerate(reasons.dictionary.to_pylist()):
        missing = num_examples - len(tally.examples.setdefault(reason, []))
        if reason != KEPT and missing > 0:
            yield reason, np.flatnonzero(indices == code)[:missing]


def _funnel(rules: _Rules, tally: _Tally, language: str | None) -> Funnel:
    domains, languages = _by_reason(tally.domains), _by_reason(tally.languages)

    def drop(reason: str) -> Drop:
        dropped = tally.pages[reason]
        return Drop(
            reason,
            *rules.bound_of(reason),
            dropped,
            # Behind what leaves no text there is nothing to measure.
            tally.broken_by[reason] if reason in rules.reasons else dropped,
            tally.alone[reason] if reason in rules.reasons else dropped,
            domains.get(reason, {}),
            languages.get(reason, {}),
            tuple(tally.examples.get(reason, ())),
        )

    others = sorted(tally.pages.keys() - {KEPT, *rules.reasons}, key=lambda r: (-tally.pages[r], r))
    steps, left = [], tally.pages.total()
    named = {TEXT: others} if language is None else {}
    for name, reasons in (*named.items(), *rules.steps.items()):
        drops = tuple(map(drop, reasons))
        rest = left - sum(one.dropped for one in drops)
        steps.append(Step(name, left, rest, drops))
        left = rest
    parts = (_parts(tally.domains), _parts(tally.languages))
    return Funnel(language, tally.pages.total(), tally.pages[KEPT], tuple(steps), *parts)


def _by_reason(pairs: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Of each reason the most frequent names."""
    found: dict[str, dict[str, int]] = {}
    for (reason, name), count in pairs.items():
        found.setdefault(reason, {})[name] = count
    return {reason: dict(_ranked(counts.items())[:_MOST]) for reason, counts in found.items()}


def _parts(pairs: Mapping[tuple[str, str], int]) -> tuple[Part, ...]:
    """What became of each name's pages, the name with most pages first."""
    found: dict[str, Counter[str]] = {}
    for (reason, name), count in pairs.items():
        found.setdefault(name, Counter())[reason] = count
    ranked = _ranked((name, counts.total()) for name, counts in found.items())
    return tuple(
        Part(
            name,
            pages,
            found[name][KEPT],
            dict(_ranked((r, n) for r, n in found[name].items() if r != KEPT)),
        )
        for name, pages in ranked
    )


def _ranked(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda item: (-item[1], item[0]))
