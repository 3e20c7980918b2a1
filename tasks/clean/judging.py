"""From a page's bytes to the verdict on its text: what the stage does with every page, and what
`phusa clean try` shows of one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.identities import document_id
from storage.takedown import NOTHING, Forgotten
from tasks.clean.config import CleanConfig
from tasks.clean.extractors import Extraction
from tasks.clean.filters import Candidate, Verdict
from tasks.clean.language import LanguageDetector
from tasks.clean.pii import mask
from tasks.clean.plain import is_plain, read_plain
from tasks.clean.sandbox import ExtractionSandbox
from tasks.clean.text import tidy
from tasks.clean.trims import trim
from tasks.clean.verdicts import Verdicts
from tasks.clean.xhtml import XHTML, closed


def text_of(
    body: bytes, content_type: str, charset: str, url: str, sandbox: ExtractionSandbox
) -> Extraction | Verdict:
    """Title and text as a page has them, or why there are none."""
    if is_plain(content_type):
        return read_plain(body, charset, content_type)
    if content_type == XHTML:
        body = closed(body)
    return sandbox.extract(body, charset, url)


@dataclass(frozen=True)
class Judged:
    """A page's text as its document would hold it, what was found of it, and the verdict."""

    identity: str
    """The id that the document has or would have."""
    title: str
    author: str
    extractor: str
    candidate: Candidate
    score: float
    """Probability of the candidate's language, 0-1."""
    pii: Sequence[str]
    """Kind of each piece of personal data that was replaced, sorted."""
    trimmed: Mapping[str, int]
    """Lines that went, by reason."""
    signals: Mapping[str, float] | None
    """None where nothing was measured: there is no text, or it was taken down."""
    verdict: Verdict | None
    """Why it is dropped, or None."""


class Judge:
    """Lines, personal data, language and filters: everything after extraction."""

    def __init__(self, config: CleanConfig, forgotten: Forgotten = NOTHING) -> None:
        self.config, self.forgotten = config, forgotten
        self._drop_lines = [re.compile(pattern) for pattern in config.drop_lines]
        self._replace = [(re.compile(r.pattern), r.text) for r in config.replace]
        self.verdicts = Verdicts(config)
        self._detector = LanguageDetector()

    def judge(self, url: str, found: Extraction) -> Judged:
        """What becomes of the text that was found at a URL."""
        lines = tidy(found.text, self._drop_lines, self._replace)
        trimmed = trim(self.config.trims, lines)
        # Before all that follows: ids, languages and filters see what the document will hold.
        text, pii = mask(trimmed.text, self.config.pii)
        language, score = self._detector.detect(text)
        candidate = Candidate(text, language, url)
        identity = document_id(url, text)
        rule = self.forgotten.covers(url, identity)
        verdict = taken_down(rule) if rule is not None else None
        if not text:
            verdict = verdict or Verdict("no_text", "0 characters", ">= 1")
        signals = None
        if verdict is None:
            signals = self.verdicts.measure(candidate)
            verdict = self.verdicts.decide(language, score, signals)
        return Judged(
            identity=identity,
            title=mask(" ".join(tidy(found.title).split()), self.config.pii)[0],
            author=mask(found.author, self.config.pii)[0] if self.config.authors else "",
            extractor=found.extractor or self.config.extractor.kind,
            candidate=candidate,
            score=score,
            pii=pii,
            trimmed=trimmed.counts,
            signals=signals,
            verdict=verdict,
        )


def taken_down(rule: str) -> Verdict:
    """The verdict on what a takedown's rule covers."""
    return Verdict("forgotten", rule, "content that was not taken down")
