"""The knobs of the clean stage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from tasks import rates
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.pages import PAGES
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.clean.checks import DEFAULTS, CleanCheck, measures
from tasks.clean.extractors import Auto, Extractor
from tasks.clean.filters import Filter, GopherQuality, Length, Repetition
from tasks.clean.language import plain_code, whole_language
from tasks.clean.pii import BankAccount, Email, IpAddress, NationalId, PaymentCard, Phone, Pii
from tasks.clean.trims import Trim
from tasks.config import Config, Pattern, knob
from tasks.page import Section
from tasks.stage import Job, Outcome, Port, Rewriting, Stage

LanguageCode = Annotated[str, AfterValidator(plain_code)]
LanguageScore = Annotated[float, Field(ge=0, le=1)]


class Sandbox(Config):
    """Limits of the child process in which a page's HTML is parsed."""

    timeout_s: float = knob(30.0, "seconds for one page; a page over it is rejected", gt=0, le=600)
    memory_bytes: int = knob(
        4 << 30, "address space of the child process, in bytes", ge=256 << 20, le=1 << 40
    )


class Replacement(Config):
    """A regular expression and what takes its place."""

    pattern: Pattern = knob(..., "regular expression, searched in every line")
    text: str = knob("", "what takes its place; may name groups as \\1")

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        try:
            re.sub(self.pattern, self.text, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"`text` does not fit `pattern` ({error})") from error
        return self


class CleanConfig(Config):
    """Extract text, detect its language, drop what is poor, each with a reason."""

    extractor: Extractor = knob(Auto(), "how text is taken from HTML", discriminator="kind")
    sandbox: Sandbox = knob(Sandbox(), "limits on the extraction of one page")
    drop_lines: tuple[Pattern, ...] = knob(
        (), "regular expressions; a line that matches one (search) is removed"
    )
    replace: tuple[Replacement, ...] = knob(
        (), "replacements within lines, in order, before `drop_lines`"
    )
    trims: tuple[Trim, ...] = knob(
        (), "what takes lines out of a text before it is judged, in order; each kind once"
    )
    pii: tuple[Pii, ...] = knob(
        (Email(), IpAddress(), BankAccount(), PaymentCard(), NationalId(), Phone()),
        "kinds of personal data that placeholders take the place of, in text, title and authors, "
        "after `replace` and before all that follows. Empty: none",
        source="e-mail and IP addresses as FineWeb, arXiv:2406.17557; the others because they "
        "took nothing wrong in 48 MB of manuals",
    )
    authors: bool = knob(
        True,
        "keep the names of authors that pages state, beside the text: licences such as CC BY ask "
        "for them, and a takedown may. They are personal data: `pii` is replaced in them, they are "
        "never trained on, and false leaves them out",
    )
    languages: tuple[LanguageCode, ...] = knob(
        (),
        "ISO 639 codes to keep, such as [en, vi]; a region or script (pt-BR) counts for nothing, "
        "and no, zh, ar, az and ku are kept in all varieties. Empty: keep every language",
    )
    min_language_score: float = knob(
        0.65,
        "probability of the detected language, 0-1, below which a document is dropped; "
        "only asked where `languages` are given",
        ge=0,
        le=1,
        source="FineWeb, arXiv:2406.17557 §3.3",
    )
    language_scores: dict[LanguageCode, LanguageScore] = knob(
        {},
        "by language, what takes the place of `min_language_score`, such as {vi: 0.5}: languages "
        "that look like others score lower",
    )
    filters: tuple[Filter, ...] = knob(
        (Length(), GopherQuality(), Repetition()),
        "quality filters, in order; the first verdict counts",
    )

    @model_validator(mode="after")
    def _scores_of_wanted_languages(self) -> Self:
        idle = sorted(self.language_scores.keys() - set(self.languages))
        if idle:
            raise ValueError(
                f"language_scores of {idle}, which `languages` {list(self.languages)} does not "
                "name; expected scores of languages named there"
            )
        return self

    def min_score_of(self, language: str) -> float | None:
        """The least score of a document in this language; None if it is not wanted at all."""
        if not self.languages:
            return 0.0
        wanted = (code for code in (language, whole_language(language)) if code in self.languages)
        code = next(wanted, None)
        return None if code is None else self.language_scores.get(code, self.min_language_score)

    @model_validator(mode="after")
    def _each_kind_once(self) -> Self:
        for name, members in (("trims", self.trims), ("pii", self.pii), ("filters", self.filters)):
            kinds = [member.kind for member in members]
            twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
            if twice:
                raise ValueError(
                    f"{name} {twice} stand there more than once; expected each kind once"
                )
        return self

    checks: Annotated[tuple[CleanCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )


def _build(job: Job) -> Outcome:
    from tasks.clean.task import build  # Prefect: 1.3 s, and only wanted where it runs

    return build(job)


def _sections(artifact: Artifact) -> Iterable[Section]:
    from tasks.clean.page import sections  # pyarrow, and only wanted on a page

    return sections(artifact)


def _rewrite(job: Rewriting) -> Outcome:
    from tasks.clean.rewrite import rewrite  # pyarrow: 0.2 s, and only wanted where it runs

    return rewrite(job)


STAGE = Stage(
    name="clean",
    says="extract text, detect its language, drop poor pages, each with its reason",
    config=CleanConfig,
    version=4,
    output=DOCUMENTS,
    build=_build,
    measures=measures,
    forecast=rates.clean,
    ports=(Port("pages", PAGES, recorded_as="crawl"),),
    selects=True,
    leaves_out=True,
    maps=True,
    sections=_sections,
    rewrite=_rewrite,
)
