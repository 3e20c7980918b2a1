"""The knobs of the clean stage."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from tasks.checks import CHECKS_SAY, with_defaults
from tasks.clean.checks import DEFAULTS, CleanCheck
from tasks.clean.extractors import Extractor, Trafilatura
from tasks.clean.filters import Filter, GopherQuality, Length, Repetition
from tasks.clean.trims import Trim
from tasks.config import Config, Pattern, knob

VERSION = 3
INPUTS = ("crawl",)


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

    extractor: Extractor = knob(Trafilatura(), "how text is taken from HTML", discriminator="kind")
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
    languages: tuple[str, ...] = knob(
        (), "ISO 639 codes to keep, such as [en, vi]. Empty: keep every language"
    )
    min_language_score: float = knob(
        0.65,
        "probability of the detected language, 0-1, below which a document is dropped; "
        "only asked where `languages` are given",
        ge=0,
        le=1,
        source="FineWeb, arXiv:2406.17557 §3.3",
    )
    filters: tuple[Filter, ...] = knob(
        (Length(), GopherQuality(), Repetition()),
        "quality filters, in order; the first verdict counts",
    )

    @model_validator(mode="after")
    def _each_kind_once(self) -> Self:
        for name, members in (("trims", self.trims), ("filters", self.filters)):
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
