"""Quality filters: pure measures of one candidate, and bounds on them.

A new one: a module here, one line below. Each kind of filter stands in a recipe once.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.clean.filters.adult import Adult
from tasks.clean.filters.bias_terms import BiasTerms
from tasks.clean.filters.c4 import C4
from tasks.clean.filters.candidate import Bound, Candidate, Signals, Verdict, judge
from tasks.clean.filters.fineweb import FineWeb
from tasks.clean.filters.gopher_quality import GopherQuality
from tasks.clean.filters.harmful import Harmful
from tasks.clean.filters.length import Length
from tasks.clean.filters.repetition import Repetition
from tasks.clean.filters.url_blocklist import UrlBlocklist
from tasks.clean.filters.word_blocklist import WordBlocklist

Filter = Annotated[
    Length
    | GopherQuality
    | Repetition
    | C4
    | FineWeb
    | UrlBlocklist
    | WordBlocklist
    | Adult
    | Harmful
    | BiasTerms,
    Field(discriminator="kind"),
]

__all__ = [
    "Adult",
    "BiasTerms",
    "Bound",
    "C4",
    "Candidate",
    "Filter",
    "FineWeb",
    "GopherQuality",
    "Harmful",
    "Length",
    "Repetition",
    "Signals",
    "UrlBlocklist",
    "Verdict",
    "WordBlocklist",
    "judge",
]
