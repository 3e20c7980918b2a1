"""Quality filters: pure functions of one candidate. A new one: a module here, one line below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.clean.filters.candidate import Candidate, Verdict
from tasks.clean.filters.gopher_quality import GopherQuality
from tasks.clean.filters.length import Length
from tasks.clean.filters.repetition import Repetition

Filter = Annotated[Length | GopherQuality | Repetition, Field(discriminator="kind")]

__all__ = ["Candidate", "Filter", "GopherQuality", "Length", "Repetition", "Verdict"]
