"""The numbers by country: form, check and name.

Source of forms and checks: each authority's rules, as gathered by python-stdnum
(https://arthurdejong.org/python-stdnum/), and for Vietnam the circular named below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from tasks.clean.pii.checksums import luhn, mod_11_10, mod_11_last, verhoeff, weighted

Country = Literal[
    "VN", "US", "GB", "FR", "DE", "ES", "IT", "NL", "CN", "BR", "IN", "PL", "JP", "KR", "SE"
]

_BEHIND_LABEL = r"(?: ?(?:no|nr|number|số|num|numéro|número|numero|nummer)\b)?[.:#º° \n]{0,4}\Z"


@dataclass(frozen=True)
class Number:
    """One way in which a country's number is written."""

    form: re.Pattern[str]
    is_valid: Callable[[str], bool]
    """Asked about its letters and digits, without the signs between them."""
    label: re.Pattern[str] | None = None
    """What has to stand before it; None where the number alone is enough."""
    is_digits: bool = True
    """Whether six of its digits or more have nothing but signs between them."""


def _number(
    form: str, is_valid: Callable[[str], bool], label: str = "", *, is_digits: bool = True
) -> Number:
    """`form` begins with a character or a set: `re` finds those fast; what must not stand before
    is asked after that."""
    first = re.match(r"\[[^]]*\]|.", form)
    assert first is not None
    start, rest = first[0], form[first.end() :]
    whole = rf"{start}(?<![\w.,+/-]{start}){rest}(?!\w|[.,/-]\w)"
    name = re.compile(rf"(?<![^\W_])(?:{label}){_BEHIND_LABEL}", re.I) if label else None
    return Number(re.compile(whole), is_valid, name, is_digits)


def _is_date(year: str, month: str, day: str) -> bool:
    try:
        return bool(date(int(year), int(month), int(day)))
    except ValueError:
        return False


def _vietnam(n: str) -> bool:
    """CCCD, Circular 59/2021/TT-BCA: province 001-096, century and sex, year of birth."""
    return 1 <= int(n[:3]) <= 96 and n[3] in "0123"


def _united_states(n: str) -> bool:
    return n[:3] not in ("000", "666") and n[0] != "9" and n[3:5] != "00" and n[5:] != "0000"


def _united_kingdom(n: str) -> bool:
    return n[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def _france(n: str) -> bool:
    """NIR: sex, year, month, place, order; 97 less the remainder. Corsica is 2A or 2B."""
    body = n[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(n[13:])


def _germany(n: str) -> bool:
    """Steuer-ID: of the first ten digits exactly one stands there twice or thrice."""
    repeated = [times for times in map(n[:10].count, "0123456789") if times > 1]
    return repeated in ([2], [3]) and mod_11_10(n)


def _spain(n: str) -> bool:
    """DNI, and NIE with X, Y, Z for 0, 1, 2."""
    number = int(n[:-1].translate(str.maketrans("XYZ", "012")))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == n[-1]


_ITALY_ODD = "BAKPLCQDREVOSFTGUHMINJWZYX"  # each letter stands at its value


def _italy(n: str) -> bool:
    """Codice fiscale: odd places by table, even ones by value, modulo 26; digits are letters."""
    letters = n.translate(str.maketrans("0123456789", "ABCDEFGHIJ"))
    even = sum(ord(letter) - ord("A") for letter in letters[1:15:2])
    odd = sum(_ITALY_ODD.index(letter) for letter in letters[0:15:2])
    return (odd + even) % 26 == ord(n[15]) - ord("A")


def _netherlands(n: str) -> bool:
    return (weighted(n[:8], range(9, 1, -1)) - int(n[8])) % 11 == 0 and int(n) > 0


def _china(n: str) -> bool:
    """GB 11643: place, date of birth, order; ISO 7064 MOD 11-2."""
    check = sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(n[:17])) % 11
    return "10X98765432"[check] == n[17] and _is_date(n[6:10], n[10:12], n[12:14])


def _brazil(n: str) -> bool:
    first = mod_11_last(n, range(10, 1, -1))
    return first and mod_11_last(n, range(11, 1, -1)) and len(set(n)) > 1


def _poland(n: str) -> bool:
    """PESEL: the month says the century."""
    month, century = int(n[2:4]) % 20, (19, 20, 21, 22, 18)[int(n[2:4]) // 20]
    checked = (weighted(n, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) + int(n[10])) % 10 == 0
    return checked and _is_date(f"{century}{n[:2]}", str(month), n[4:6])


def _japan(n: str) -> bool:
    rest = weighted(n, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return int(n[11]) == (0 if rest < 2 else 11 - rest)


def _korea(n: str) -> bool:
    """RRN: date, century and sex. No check digit: those given since October 2020 have none."""
    century = {"9": 18, "0": 18, "1": 19, "2": 19, "5": 19, "6": 19}.get(n[6], 20)
    return _is_date(f"{century}{n[:2]}", n[2:4], n[4:6])


def _sweden(n: str) -> bool:
    """Personnummer: Luhn over the last ten digits."""
    last = n[-10:]
    return luhn(last) and _is_date(f"20{last[:2]}", last[2:4], last[4:6])


_SSN = "ssn|social security"
_NINO = "[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"

COUNTRIES: Mapping[Country, tuple[Number, ...]] = {
    "VN": (
        _number(
            "0[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
            _vietnam,
            r"cccd(?:/cmnd)?|cmnd/cccd|căn cước(?: công dân)?|cmnd|định danh(?: cá nhân)?"
            r"|citizen id",
        ),
        # CMND, the card before; nine digits, of which nothing is known
        _number(
            "[0-9][0-9]{2} ?[0-9]{3} ?[0-9]{3}",
            str.isdigit,
            "cmnd|chứng minh(?: nhân dân)?|cmt(?:nd)?",
        ),
    ),
    "US": (
        _number("[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}", _united_states),
        _number("[0-8][0-9]{2} ?[0-9]{2} ?[0-9]{4}", _united_states, _SSN),
    ),
    "GB": (
        _number(f"{_NINO} [0-9]{{2}} [0-9]{{2}} [0-9]{{2}} [A-D]", _united_kingdom),
        _number(
            # Alone it is a disk as well: ST380021A.
            f"{_NINO} ?[0-9]{{2}} ?[0-9]{{2}} ?[0-9]{{2}} ?[A-D]",
            _united_kingdom,
            "nino|ni|national insurance",
        ),
    ),
    "FR": (
        _number(
            "[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?[0-9][0-9AB]"
            " ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
            _france,
        ),
    ),
    "DE": (
        _number(
            "[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
            _germany,
            r"steuer-?id(?:nr)?|idnr|tin|steuer(?:liche )?-?identifikationsnummer"
            r"|steuerliche identifikationsnummer",
        ),
    ),
    "ES": (
        _number("[0-9][0-9]{7}-?[A-HJ-NP-TV-Z]", _spain),
        _number("[XYZ]-?[0-9]{7}-?[A-HJ-NP-TV-Z]", _spain),
    ),
    "IT": (
        _number(
            "[A-Z][A-Z]{5}[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
            _italy,
            is_digits=False,
        ),
    ),
    "NL": (
        _number(
            "[0-9][0-9]{3}[. ]?[0-9]{2}[. ]?[0-9]{3}",
            _netherlands,
            "bsn|burgerservicenummer|sofinummer",
        ),
    ),
    "CN": (_number("[1-9][0-9]{5}(?:18|19|20)[0-9]{9}[0-9X]", _china),),
    "BR": (
        _number(r"[0-9][0-9]{2}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _brazil),
        _number("[0-9][0-9]{10}", _brazil, "cpf(?:/mf)?"),
    ),
    "IN": (
        _number(
            "[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}", verhoeff, "aadhaar|aadhar|uid|uidai|आधार"
        ),
    ),
    "PL": (_number("[0-9][0-9]{10}", _poland, "pesel"),),
    "JP": (
        _number(
            "[0-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}", _japan, "my ?number|マイナンバー|個人番号"
        ),
    ),
    "KR": (_number("[0-9][0-9]{5}-[0-9]{7}", _korea),),
    "SE": (
        _number("[0-9][0-9]{5}(?:[0-9]{2})?[-+]?[0-9]{4}", _sweden, "personnummer|personnr|pnr"),
    ),
}
