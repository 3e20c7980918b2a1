"""What each step of a cleaning dropped, and what it would have dropped alone: counted from the
signals and rejects that the cleaning kept.

A reject names the first rule that its text broke. Signals are there behind that one, too, so it can
be said of each rule how many texts break it at all, and how many nothing else: those alone come
back if it is loosened. Texts of rejects are not kept, so examples are URLs and measured values.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import strings
from tasks.clean.config import CleanConfig
from tasks.clean.judging import Verdicts
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

    broken_by: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    domains: Counter[tuple[str, str]] = field(default_factory=Counter)
    languages: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: defaultdict[str, list[Example]] = field(default_factory=lambda: defaultdict(list))

    @property
    def pages(self) -> Counter[str]:
        """Pages by reason: each has one domain."""
        found: Counter[str] = Counter()
        for (reason, _), count in self.domains.items():
            found[reason] += count
        return found


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
        _count_texts(table, rules, tally, num_examples)
    if language is None:
        judged = strings({KEPT, *rules.reasons})
        for path in rejects:
            table = pq.read_table(path, columns=["url", "reason", "value", "threshold"])
            table = table.filter(pc.invert(pc.is_in(table["reason"], value_set=judged)))
            _count_pages(table, tally, num_examples, _example)
    return _funnel(rules, tally, language)


def _example(reject: Mapping[str, Any]) -> Example:
    return Example(reject["url"], reject["value"], reject["threshold"])


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
        bound = self.bounds.get(reason)
        return ("", "") if bound is None else (bound.signal, bound.says)

    def example(self, row: Mapping[str, Any]) -> Example:
        """A text that was dropped, with the value and the bound that its signals tell."""
        verdict = self.verdicts.decide(row["language"], row["language_score"], row)
        if verdict is None or verdict.reason != row["reason"]:  # not by these bounds
            return Example(row["url"], "", "")
        return Example(row["url"], verdict.value, verdict.threshold)


def _count_texts(table: pa.Table, rules: _Rules, tally: _Tally, num_examples: int) -> None:
    _count_pages(table, tally, num_examples, rules.example)
    tally.languages.update(_pairs(table["reason"], table["language"]))
    broken = rules.broken(table)
    alone = broken & (broken.sum(axis=0) == 1)
    tally.broken_by.update(dict(zip(rules.reasons, broken.sum(axis=1).tolist(), strict=True)))
    tally.alone.update(dict(zip(rules.reasons, alone.sum(axis=1).tolist(), strict=True)))


def _count_pages(
    table: pa.Table,
    tally: _Tally,
    num_examples: int,
    example: Callable[[Mapping[str, Any]], Example],
) -> None:
    """Count pages by reason and domain; of each reason to drop, keep the first as examples."""
    domains = domains_of(table["url"]).cast(pa.string())
    tally.domains.update(_pairs(table["reason"], domains))
    for reason in pc.unique(table["reason"]).to_pylist():
        missing = num_examples - len(tally.examples[reason])
        if reason != KEPT and missing > 0:
            found = table.filter(pc.equal(table["reason"], reason)).slice(0, missing)
            tally.examples[reason] += map(example, found.to_pylist())


def _pairs(left: pa.ChunkedArray, right: pa.Array) -> dict[tuple[str, str], int]:
    """How often two values stand side by side."""
    table = pa.table([left, right], ["left", "right"]).group_by(["left", "right"])
    rows = table.aggregate([([], "count_all")]).to_pylist()
    return {(row["left"], row["right"]): row["count_all"] for row in rows}


def _funnel(rules: _Rules, tally: _Tally, language: str | None) -> Funnel:
    pages = tally.pages
    domains, languages = _by_reason(tally.domains), _by_reason(tally.languages)

    def drop(reason: str) -> Drop:
        dropped = pages[reason]
        return Drop(
            reason,
            *rules.bound_of(reason),
            dropped,
            # Behind what leaves no text there is nothing to measure.
            tally.broken_by[reason] if reason in rules.reasons else dropped,
            tally.alone[reason] if reason in rules.reasons else dropped,
            domains.get(reason, {}),
            languages.get(reason, {}),
            tuple(tally.examples[reason]),
        )

    others = sorted(pages.keys() - {KEPT, *rules.reasons}, key=lambda r: (-pages[r], r))
    steps, left = [], pages.total()
    named = {TEXT: others} if language is None else {}
    for name, reasons in (*named.items(), *rules.steps.items()):
        drops = tuple(map(drop, reasons))
        rest = left - sum(one.dropped for one in drops)
        steps.append(Step(name, left, rest, drops))
        left = rest
    parts = (_parts(tally.domains), _parts(tally.languages))
    return Funnel(language, pages.total(), pages[KEPT], tuple(steps), *parts)


def _grouped(counts: Iterable[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    """Counts by one name and then by the other, the most frequent of each first."""
    found: dict[str, dict[str, int]] = {}
    for one, other, count in sorted(counts, key=lambda item: (-item[2], item[1])):
        found.setdefault(one, {})[other] = count
    return found


def _by_reason(pairs: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Of each reason the most frequent names."""
    grouped = _grouped((reason, name, count) for (reason, name), count in pairs.items())
    return {reason: dict(islice(names.items(), _MOST)) for reason, names in grouped.items()}


def _parts(pairs: Mapping[tuple[str, str], int]) -> tuple[Part, ...]:
    """What became of each name's pages, the name with most pages first."""
    grouped = _grouped((name, reason, count) for (reason, name), count in pairs.items())
    parts = (
        Part(name, sum(reasons.values()), reasons.pop(KEPT, 0), reasons)
        for name, reasons in grouped.items()
    )
    return tuple(sorted(parts, key=lambda part: (-part.pages, part.name)))
