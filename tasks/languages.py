"""Languages as people write them: tags (`vi`, `pt-BR`), and names, which are no tags."""

from __future__ import annotations

import difflib
import re
from typing import Annotated

from pydantic import AfterValidator

from tasks.config import Misfit

_TAG = re.compile(r"\*|[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


def refused_language(tag: str, expected: str) -> Misfit:
    """Give the error for what is no tag of a language, with the tag that may have been meant."""
    code = code_of(tag)
    remedy = f"Did you mean `{code}`?" if code else "Look for its code at https://iso639-3.sil.org."
    return Misfit(f"the language {tag!r}", expected, remedy, code="unknown_language")


def code_of(name: str) -> str | None:
    """Give the ISO 639 code of a language by its name in English, nearly spelt, or its own.

    Also by the code of the country where most speak it.
    """
    from babel import Locale  # 0.1 s, and 1 s for their own names: only for what is refused
    from babel.core import get_global
    from babel.localedata import locale_identifiers

    asked = name.strip().casefold()
    named: dict[str, str] = dict(Locale("en").languages)
    english = {says.casefold(): code for code, says in named.items()}
    near = difflib.get_close_matches(asked, english, n=1, cutoff=0.85)
    if near:
        return english[near[0]].partition("_")[0]
    spoken = get_global("likely_subtags").get(f"und_{name.strip().upper()}")
    if spoken:  # a country's code: vn, jp
        return str(spoken).partition("_")[0]
    for code in (code for code in locale_identifiers() if "_" not in code):
        if (Locale(code).language_name or "").casefold() == asked:
            return code
    return None


def _tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise refused_language(tag, "a tag of a language, such as en, vi or pt-BR")
    return tag


LanguageTag = Annotated[str, AfterValidator(_tag)]
"""A language as browsers ask for it."""
