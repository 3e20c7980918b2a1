"""Phone numbers.

`phonenumbers` 9.0 (Google's library for Python, 48 MB installed) was tried: its matcher reads 3 to
7 MB of text in a second, these patterns 100. With a region, for numbers that do not begin with +,
it takes times and netmasks in PostgreSQL's manual for numbers (`982384720.12`, `255.255.255.0`);
without one it knows only those with +.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from tasks.clean.pii.masking import (
    PLACEHOLDER_SAYS,
    Passage,
    Placeholder,
    Span,
    apart,
    stands_behind,
)
from tasks.config import Config, knob

# Source: ITU-T E.164, list of assigned country codes
_COUNTRY = (
    r"(?:1|7|2(?:0|7|1[1-368]|[2-5][0-9]|6[0-9]|9[01789])|3(?:[0-469]|5[0-9]|7[0-8]|8[0-35-79])"
    r"|4(?:[013-9]|2[013])|5(?:[1-8]|0[0-9]|9[0-9])|6(?:[0-6]|7[02-9]|8[0-35-9]|9[0-2])"
    r"|8(?:[1246]|0[08]|5[02356]|8[0-36-8])|9(?:[0-58]|6[0-8]|7[0-7]|9[2-68]))"
)
_GROUP = r"(?:\)?[ .\u2011/-]{0,2}\(?[0-9]{1,14}+)"
_END = r"(?!\w|[.,][0-9])"

# +84 24 3936 1234, +44 (0)20 7946 0958
_INTERNATIONAL = re.compile(rf"\+(?<![\w+*/^=)-]\+){_COUNTRY}{_GROUP}{{1,7}}{_END}")
# (212) 555-0199, 212-555-0199, 1-800-555-0199
_NORTH_AMERICAN = re.compile(
    r"[(1-9](?<![\w.,+/-][(1-9])"
    r"(?:(?<=\()[2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .-]"
    r"|(?<=1)[ .-]\(?[2-9][0-9]{2}\)?[ .-][2-9][0-9]{2}[ .-]"
    r"|(?<=[2-9])[0-9]{2}([.-])[2-9][0-9]{2}\1)"
    r"[0-9]{4}(?!\w|[.,-][0-9])"
)
_ANY = re.compile(rf"[(0-9](?<![\w.,+/-][(0-9])[0-9]{{0,14}}+{_GROUP}{{0,6}}{_END}")
_LABEL = re.compile(
    r"(?<![^\W_])(?:tel|telephone|phone|mobile|cell|fax|call|hotline|whatsapp|zalo|viber"
    r"|điện thoại|đt|sđt|di động|số máy|tél|téléphone|portable|telefon|telefax|handy|mobil"
    r"|telefono|teléfono|celular|móvil|cellulare|telefone|telemóvel|telefoon|телефон|тел|факс"
    r"|电话|電話|手机|手機|传真|携帯|전화|휴대폰|هاتف|फ़ोन)"
    r"(?: ?(?:no|nos|number|numbers|nr|số|numéro|número|numero|nummer|番号|号码)\b)?"
    r"[.:() \n]{0,4}\Z",
    re.I,
)
_LONGEST_LABEL = 32


class Phone(Config):
    """Numbers with + and a country's code, North American ones, and what stands behind `tel`.

    North American ones in their usual groups; 7 to 15 digits behind a word such as `tel`, `fax` or
    `điện thoại`.
    """

    kind: Literal["phone"] = "phone"
    placeholder: Placeholder = knob("<PHONE>", PLACEHOLDER_SAYS)

    def spans(self, passage: Passage) -> Iterator[Span]:
        """Where phone numbers stand."""
        found = [m for m in passage.numbers(_INTERNATIONAL) if 8 <= _digits(m) <= 15]
        found += passage.numbers(_NORTH_AMERICAN)
        found += [
            m
            for m in passage.numbers(_ANY)
            if 7 <= _digits(m) <= 15 and stands_behind(_LABEL, m, _LONGEST_LABEL)
        ]
        yield from apart(match.span() for match in found)


def _digits(match: re.Match[str]) -> int:
    return sum(map(str.isdigit, match[0]))
