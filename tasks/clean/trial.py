"""One page through the whole cleaning, with everything that was found on the way.

The same calls as the stage makes for each page of a shard: `judging.text_of` and `Judge.judge`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.clean.config import CleanConfig
from tasks.clean.extractors import Extraction
from tasks.clean.filters import Verdict
from tasks.clean.judging import Judge, Judged, text_of
from tasks.clean.sandbox import ExtractionSandbox


@dataclass(frozen=True)
class TrialPage:
    """A page as a crawl keeps it."""

    url: str
    content_type: str
    charset: str
    """As the server or the user named it, or empty."""
    body: bytes


@dataclass(frozen=True)
class Asked:
    """A bound, and the verdict if it is broken."""

    reason: str
    bound: str
    holds: bool


@dataclass(frozen=True)
class Measured:
    """A signal of a filter: its value, None where it means nothing, and what is asked of it."""

    filter: str
    signal: str
    value: float | None
    bounds: tuple[Asked, ...]


@dataclass(frozen=True)
class Trial:
    """What the cleaning makes of one page. Without text there is a verdict and nothing else."""

    url: str
    num_bytes: int
    verdict: Verdict | None
    """Why the page is dropped; None: it becomes a document."""
    title: str = ""
    text: str = ""
    extractor: str = ""
    trimmed: Mapping[str, int] | None = None
    """Lines that trims took out, by reason."""
    pii: Mapping[str, int] | None = None
    """Pieces of personal data that were replaced, by kind."""
    language: str = ""
    language_score: float = 0.0
    least_score: float | None = None
    """What the score must be; None for a language that is not wanted."""
    signals: tuple[Measured, ...] = ()


def try_page(page: TrialPage, config: CleanConfig) -> Trial:
    """Clean one page; takedowns are not asked."""
    with ExtractionSandbox(config.extractor, config.sandbox) as sandbox:
        found = text_of(page.body, page.content_type, page.charset, page.url, sandbox)
    if isinstance(found, Verdict):
        return Trial(page.url, len(page.body), found)
    return _trial(page, found, Judge(config))


def _trial(page: TrialPage, found: Extraction, judge: Judge) -> Trial:
    judged = judge.judge(page.url, found)
    candidate = judged.candidate
    return Trial(
        page.url,
        len(page.body),
        judged.verdict,
        title=judged.title,
        text=candidate.text,
        extractor=judged.extractor,
        trimmed=judged.trimmed,
        pii=dict(Counter(judged.pii)),
        language=candidate.language,
        language_score=judged.score,
        least_score=judge.config.min_score_of(candidate.language),
        signals=_measured(judged, judge),
    )


def _measured(judged: Judged, judge: Judge) -> tuple[Measured, ...]:
    """Each filter's signals, in their order, with those that nothing is asked of."""
    signals = judged.signals
    if signals is None:
        return ()
    found = []
    for kind, names in judge.verdicts.signals.items():
        bounds = judge.verdicts.bounds[kind]
        for name in names:
            of = (bound for bound in bounds if bound.signal == name)
            asked = tuple(Asked(b.reason, b.says, b.verdict(signals) is None) for b in of)
            value = None if math.isnan(signals[name]) else signals[name]
            found.append(Measured(kind, name, value, asked))
    return tuple(found)
