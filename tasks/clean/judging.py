"""From a page's bytes to the verdict on its text: what the stage does with every page, and what
`phusa clean try` shows of one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from storage.identities import document_id
from storage.takedown import NOTHING, Forgotten
from tasks.clean.config import CleanConfig
from tasks.clean.extractors import Extraction
from tasks.clean.filters import Bound, Candidate, Signals, Verdict, judge
from tasks.clean.language import LanguageDetector
from tasks.clean.pii import mask
from tasks.clean.sandbox import ExtractionSandbox
from tasks.clean.text import decode, tidy
from tasks.clean.trims import trim

XHTML = "application/xhtml+xml"
_MARKDOWN = "text/markdown"
_PLAIN = frozenset({"text/plain", _MARKDOWN})
_HEADING = re.compile(r"^ {0,3}#[ \t]+(\S.*?)(?:[ \t]+#+)?[ \t]*$", re.M)
_VOID = frozenset(b"area base br col embed hr img input link meta param source track wbr".split())
_SELF_CLOSED = re.compile(rb"<([A-Za-z][A-Za-z0-9]*)((?:\s[^<>]*)?)/>")


def text_of(
    body: bytes, content_type: str, charset: str, url: str, sandbox: ExtractionSandbox
) -> Extraction | Verdict:
    """Title and text as a page has them, or why there are none."""
    if is_plain(content_type):
        return read_plain(body, charset, content_type)
    if content_type == XHTML:
        body = closed(body)
    return sandbox.extract(body, charset, url)


def is_plain(content_type: str) -> bool:
    """Whether a page of this media type is text as it stands: nothing runs in the sandbox."""
    return content_type in _PLAIN


def read_plain(body: bytes, charset: str, content_type: str) -> Extraction:
    """The text as it is; the title is a Markdown document's first `# ` heading, or empty."""
    text = decode(body, charset)
    found = _HEADING.search(text) if content_type == _MARKDOWN else None
    return Extraction(found[1] if found else "", text, "plain")


def closed(body: bytes) -> bytes:
    """An XHTML document with end tags for its empty elements. UTF-16 is left as it is.

    `<title/>` and `<script src="…"/>` are whole elements in XML. In HTML they are start tags, and
    all that follows is part of them: resiliparse found no text in such chapters of EPUB books.
    Source: HTML standard §13.1.2 (void elements) and §13.2.6.4.
    """
    return _SELF_CLOSED.sub(_with_end, body)


def _with_end(tag: re.Match[bytes]) -> bytes:
    name = tag[1]
    return tag[0] if name.lower() in _VOID else b"<%s%s></%s>" % (name, tag[2].rstrip(), name)


class Verdicts:
    """Verdicts from what was measured of a text, anew or again: of one configuration its languages
    first, then its filters in their order."""

    def __init__(self, config: CleanConfig) -> None:
        self._config = config
        self.bounds: dict[str, tuple[Bound, ...]] = {
            rule.kind: rule.bounds() for rule in config.filters
        }
        """Each filter's, in the order in which they are asked."""
        self._in_order = [bound for bounds in self.bounds.values() for bound in bounds]

    @property
    def signal_names(self) -> list[str]:
        """The names of all signals, in the filters' order."""
        return list(self.measure(Candidate("", "")))

    @property
    def signals(self) -> dict[str, list[str]]:
        """The names of each filter's signals."""
        nothing = Candidate("", "")
        return {rule.kind: list(rule.measure(nothing)) for rule in self._config.filters}

    def measure(self, candidate: Candidate) -> dict[str, float]:
        """All signals of a text, also those behind a bound that it breaks."""
        return {
            name: float(value)
            for rule in self._config.filters
            for name, value in rule.measure(candidate).items()
        }

    def decide(self, language: str, score: float, signals: Signals) -> Verdict | None:
        """Why a text of this language, detected with this probability, is dropped, or None."""
        least = self._config.min_score_of(language)
        if least is None:
            return Verdict("other_language", language, ", ".join(self._config.languages))
        if score < least:
            return Verdict("unsure_language", f"{score:.4g}", f">= {least:g}")
        return judge(self._in_order, signals)


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
    """Clean one page, by the same calls as the stage makes for each; takedowns are not asked."""
    (trial,) = try_pages([page], config)
    return trial


def try_pages(pages: Iterable[TrialPage], config: CleanConfig) -> Iterator[Trial]:
    """Clean pages, as `try_page` does each."""
    judge = Judge(config)
    with ExtractionSandbox(config.extractor, config.sandbox) as sandbox:
        for page in pages:
            found = text_of(page.body, page.content_type, page.charset, page.url, sandbox)
            if isinstance(found, Verdict):
                yield Trial(page.url, len(page.body), found)
            else:
                yield _trial(page, judge, judge.judge(page.url, found))


def _trial(page: TrialPage, judge: Judge, judged: Judged) -> Trial:
    language = judged.candidate.language
    return Trial(
        page.url,
        len(page.body),
        judged.verdict,
        title=judged.title,
        text=judged.candidate.text,
        extractor=judged.extractor,
        trimmed=judged.trimmed,
        pii=dict(Counter(judged.pii)),
        language=language,
        language_score=judged.score,
        least_score=judge.config.min_score_of(language),
        signals=tuple(_measured(judge.verdicts, judged.signals)) if judged.signals else (),
    )


def _measured(verdicts: Verdicts, signals: Signals) -> Iterator[Measured]:
    """Each filter's signals, in their order, with those that nothing is asked of."""
    for kind, names in verdicts.signals.items():
        for name in names:
            of = (bound for bound in verdicts.bounds[kind] if bound.signal == name)
            asked = tuple(Asked(b.reason, b.says, b.verdict(signals) is None) for b in of)
            value = None if math.isnan(signals[name]) else signals[name]
            yield Measured(kind, name, value, asked)
