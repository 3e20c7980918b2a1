"""datatrove's filters, what stands for each here, and when their verdicts agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasks.clean.filters import (
    C4,
    Bound,
    Candidate,
    FineWeb,
    GopherQuality,
    Length,
    Repetition,
    UrlBlocklist,
)
from tasks.clean.trims import C4Lines, trim

DOMAINS = ("news.example.org", "libxslt1-dev.example.org")
URL_WORDS, SOFT_WORDS, PIECES = ("apbs02", "install"), ("en", "html", "ch01"), ("functionfmod",)


@dataclass(frozen=True)
class Pair:
    """A filter of datatrove's, and what stands for it here."""

    name: str
    arguments: dict[str, Any]
    rules: tuple[Any, ...]
    reasons: dict[str, str]  # datatrove's to phusa's
    trims: tuple[Any, ...] = ()

    def apply(self, candidate: Candidate) -> dict[str, float]:
        """Signals of one document."""
        if self.trims:
            trimmed = trim(self.trims, candidate.text).text
            candidate = Candidate(trimmed, candidate.language, candidate.url)
        if len(self.rules) == 1:
            return dict(self.rules[0].measure(candidate))
        return {k: v for rule in self.rules for k, v in rule.measure(candidate).items()}

    def broken(self, candidate: Candidate) -> set[str]:
        """Reasons of all broken rules of one document."""
        signals = self.apply(candidate)
        return {bound.reason for bound in self._bounds if bound.verdict(signals) is not None}

    @cached_property
    def _bounds(self) -> list[Bound]:
        return [bound for rule in self.rules for bound in rule.bounds()]

    def agrees(self, reason: str | None, broken: set[str]) -> bool:
        """Whether datatrove's reason, or that it has none, is found here too."""
        return not broken if reason is None else self.reasons[reason] in broken


PAIRS = (
    Pair(
        "GopherQualityFilter",
        {},
        (Length(), GopherQuality(bullets=("•", "-"))),
        {
            "gopher_short_doc": "too_few_words",
            "gopher_long_doc": "too_many_words",
            "gopher_below_avg_threshold": "short_words",
            "gopher_above_avg_threshold": "long_words",
            "gopher_too_many_hashes": "number_signs",
            "gopher_too_many_ellipsis": "ellipses",
            "gopher_too_many_bullets": "bullet_lines",
            "gopher_too_many_end_ellipsis": "ellipsis_lines",
            "gopher_below_alpha_threshold": "few_alphabetic_words",
            "gopher_enough_stop_words": "few_stop_words",
        },
    ),
    Pair(
        "GopherRepetitionFilter",
        {},
        (Repetition(),),
        {
            "dup_line_frac": "repeated_lines",
            "dup_line_char_frac": "repeated_characters",
            "dup_para_frac": "repeated_paragraphs",
            "dup_para_char_frac": "repeated_paragraph_characters",
            **{f"top_{n}_gram": f"top_{n}_gram" for n in (2, 3, 4)},
            **{f"duplicated_{n}_n_grams": f"repeated_{n}_grams" for n in range(5, 11)},
        },
    ),
    Pair(
        "C4QualityFilter",
        {},
        (C4(),),
        {
            "lorem_ipsum": "filler",
            "curly_bracket": "curly_brackets",
            "too_few_sentences": "too_few_sentences",
        },
        (C4Lines(any_script=False),),
    ),
    Pair(
        "FineWebQualityFilter",
        {},
        (FineWeb(),),
        {
            "line_punct_ratio": "few_ended_lines",
            "short_line_ratio": "short_lines",
            "char_dup_ratio": "repeated_line_characters",
            "list_ratio": "many_line_feeds",
        },
    ),
    Pair(
        "URLFilter",
        {
            "use_integrated_lists": False,
            "extra_domains": DOMAINS,
            "banned_words": URL_WORDS,
            "soft_banned_words": SOFT_WORDS,
            "banned_subwords": PIECES,
        },
        (UrlBlocklist(domains=DOMAINS, words=URL_WORDS, soft_words=SOFT_WORDS, substrings=PIECES),),
        {
            "domain": "blocked_domain",
            "subdomain": "blocked_domain",
            "hard_blacklisted": "blocked_url_word",
            "soft_blacklisted": "soft_url_words",
            "blacklisted_subword": "blocked_url_substring",
        },
    ),
)
