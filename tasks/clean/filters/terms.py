"""Words and phrases in a text, by lists: entries that stand in a recipe, and files of them.

A term is found as whole words in any case, whatever stands between the words of a phrase; one in a
script without spaces is found anywhere. C4 and datatrove search a pattern of all terms instead,
which takes a step for each of them at every word.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar

from tasks.clean.filters.candidate import Candidate
from tasks.config import Config, knob
from tasks.pinned import PinnedFile
from tasks.words import is_unspaced

_WORD = re.compile(r"\w+")
Phrases = Mapping[str, list[str]]
"""By their first word."""


class ListFile(PinnedFile):
    """A UTF-8 text file with an entry a line; blank lines and those that begin with # are none."""

    what: ClassVar[str] = "list"

    def entries(self) -> tuple[str, ...]:
        """In the file's order, without white space around them."""
        self.require_unchanged()
        text = self.place.read_text("utf-8-sig", "replace")
        lines = (line.strip() for line in text.splitlines())
        return tuple(line for line in lines if line and not line.startswith("#"))


Entry = str | ListFile


@lru_cache(maxsize=64)
def listed(entries: tuple[Entry, ...]) -> frozenset[str]:
    """All entries, in lower case."""
    groups = ((entry,) if isinstance(entry, str) else entry.entries() for entry in entries)
    return frozenset(one.strip().lower() for group in groups for one in group if one.strip())


class WeightedTerms(Config):
    """Terms that weigh the same."""

    weight: float = knob(1.0, "what one occurrence adds", gt=0)
    terms: tuple[Entry, ...] = knob(..., "words and phrases, in any case; or files of them")


@lru_cache(maxsize=64)
def _index(entries: tuple[Entry, ...]) -> tuple[frozenset[str], Phrases, list[str]]:
    """Terms by how they are searched for: words, phrases, and those in scripts without spaces."""
    words, unspaced = set[str](), set[str]()
    phrases: defaultdict[str, set[str]] = defaultdict(set)
    for term in listed(entries):
        split = _WORD.findall(term)
        if is_unspaced(term):
            unspaced.add(term)
        elif len(split) == 1:
            words.add(split[0])
        elif split:
            phrases[split[0]].add(" ".join(split))
    grouped = {first: sorted(group) for first, group in phrases.items()}
    return frozenset(words), grouped, sorted(unspaced)


def count_terms(candidate: Candidate, entries: tuple[Entry, ...]) -> dict[str, int]:
    """How often each term stands in a text, for those that do."""
    (words, phrases, unspaced), tokens = _index(entries), candidate.token_counts
    counts = {word: tokens[word] for word in words & tokens.keys()}
    for first in phrases.keys() & tokens.keys():
        for phrase in phrases[first]:
            counts[phrase] = candidate.spaced_tokens.count(f" {phrase} ")
    for term in unspaced:
        counts[term] = candidate.lowered.count(term)
    return {term: count for term, count in counts.items() if count}


def weigh(
    candidate: Candidate, groups: tuple[WeightedTerms, ...], min_terms: int
) -> tuple[int, float]:
    """Different terms of a text, and the weight of all that stand there, per word.

    Of fewer than `min_terms` the weight is 0.
    """
    num, weight = 0, 0.0
    for group in groups:
        counts = count_terms(candidate, group.terms)
        num += len(counts)
        weight += group.weight * sum(counts.values())
    return num, weight / max(candidate.num_all_words, 1) if num >= min_terms else 0.0
