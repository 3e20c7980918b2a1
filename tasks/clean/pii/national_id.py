"""Numbers that states give to people.

What makes a number sure differs: two check characters and a date of birth among seventeen digits
(China) are proof; twelve digits with a province in front (Vietnam) are not. A number that is sure
by itself, or by the signs in it (`123-45-6789`, `AB 12 34 56 C`), counts anywhere; others only
right behind their name, such as `CCCD`, `BSN` or `Steuer-ID`.

Source of forms and checks: each authority's rules, as gathered by python-stdnum
(https://arthurdejong.org/python-stdnum/, LGPL), and for Vietnam the circular named below.
The library (4 MB, 250 formats) checks numbers and finds none, and was not taken: it lacks Vietnam's
and Britain's, refuses Korea's since October 2020, which have no check digit (17 699 of 19 640), and
the one that many pages show, 078-05-1120. A check takes it 5.5 to 13.5 µs, these 0.3 to 4.4. On
20 000 numbers of each of the other kinds both say the same, but for a date and place within Italy's
and a place within China's, which it asks about (release 2.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import Literal, NamedTuple, get_args

from tasks.clean.pii.masking import (
    PLACEHOLDER_SAYS,
    Passage,
    Placeholder,
    Span,
    apart,
    stands_behind,
)
from tasks.clean.pii.payment_card import luhn
from tasks.config import Config, knob

Country = Literal[
    "VN", "US", "GB", "FR", "DE", "ES", "IT", "NL", "CN", "BR", "IN", "PL", "JP", "KR", "SE"
]

_LONGEST_LABEL = 48
_BEHIND_LABEL = r"(?: ?(?:no|nr|number|số|num|numéro|número|numero|nummer)\b)?[.:#º° \n]{0,4}\Z"


class NationalId(Config):
    """National identity, tax and insurance numbers of the countries named."""

    kind: Literal["national_id"] = "national_id"
    placeholder: Placeholder = knob("<NATIONAL_ID>", PLACEHOLDER_SAYS)
    countries: tuple[Country, ...] = knob(
        get_args(Country), "ISO 3166 codes of the countries whose numbers are sought", min_length=1
    )

    def spans(self, passage: Passage) -> Iterator[Span]:
        """Where such numbers stand."""
        yield from apart(
            match.span()
            for number in _NUMBERS
            if number.country in self.countries
            for match in number.matches(passage)
        )


class _Number(NamedTuple):
    """One way in which a country's number is written."""

    country: Country
    form: re.Pattern[str]
    is_valid: Callable[[str], bool]
    """Asked about its letters and digits, without the signs between them."""
    label: re.Pattern[str] | None
    """What has to stand before it; None where the number alone is enough."""

    def matches(self, passage: Passage) -> Iterator[re.Match[str]]:
        # Of all forms Italy's alone has fewer than six digits in a row.
        is_digits = self.country != "IT"
        found = passage.numbers(self.form) if is_digits else self.form.finditer(passage.text)
        for match in found:
            if self.is_valid(re.sub("[ .+/-]", "", match[0])) and (
                self.label is None or stands_behind(self.label, match, _LONGEST_LABEL)
            ):
                yield match


def _number(
    country: Country, form: str, is_valid: Callable[[str], bool], label: str = ""
) -> _Number:
    """`form` begins with a character or a set: `re` finds those fast; what must not stand before
    is asked after that."""
    first = re.match(r"\[[^]]*\]|.", form)
    assert first is not None
    start, rest = first[0], form[first.end() :]
    whole = rf"{start}(?<![\w.,+/-]{start}){rest}(?!\w|[.,/-]\w)"
    name = re.compile(rf"(?<![^\W_])(?:{label}){_BEHIND_LABEL}", re.I) if label else None
    return _Number(country, re.compile(whole), is_valid, name)


def _weighted(digits: str, weights: Iterable[int]) -> int:
    """The sum of digits times weights."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def _mod_11_last(digits: str, weights: Sequence[int]) -> bool:
    """Brazil's and Japan's: a check digit is what is missing to 11, or 0 for 10 and 11."""
    rest = _weighted(digits, weights) % 11
    return int(digits[len(weights)]) == (0 if rest < 2 else 11 - rest)


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
    """Steuer-ID: of the first ten digits exactly one stands there twice or thrice; ISO 7064
    MOD 11,10."""
    repeated = [times for times in map(n[:10].count, "0123456789") if times > 1]
    check = 5
    for digit in n:
        check = ((check or 10) * 2 % 11 + int(digit)) % 10
    return repeated in ([2], [3]) and check == 1


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
    return (_weighted(n[:8], range(9, 1, -1)) - int(n[8])) % 11 == 0 and int(n) > 0


def _china(n: str) -> bool:
    """GB 11643: place, date of birth, order; ISO 7064 MOD 11-2."""
    check = sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(n[:17])) % 11
    return "10X98765432"[check] == n[17] and _is_date(n[6:10], n[10:12], n[12:14])


def _brazil(n: str) -> bool:
    first = _mod_11_last(n, range(10, 1, -1))
    return first and _mod_11_last(n, range(11, 1, -1)) and len(set(n)) > 1


# fmt: off
_VERHOEFF_PRODUCT = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)
_VERHOEFF_PLACE = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)
# fmt: on


def _india(n: str) -> bool:
    """Aadhaar: Verhoeff's check by the dihedral group, which finds all single errors and swaps."""
    check = 0
    for place, digit in enumerate(reversed(n)):
        check = int(_VERHOEFF_PRODUCT[check][int(_VERHOEFF_PLACE[place % 8][int(digit)])])
    return check == 0


def _poland(n: str) -> bool:
    """PESEL: the month says the century."""
    month, century = int(n[2:4]) % 20, (19, 20, 21, 22, 18)[int(n[2:4]) // 20]
    checked = (_weighted(n, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) + int(n[10])) % 10 == 0
    return checked and _is_date(f"{century}{n[:2]}", str(month), n[4:6])


def _japan(n: str) -> bool:
    return _mod_11_last(n, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2))


def _korea(n: str) -> bool:
    """RRN: date, century and sex. No check digit: those given since October 2020 have none."""
    century = {"9": 18, "0": 18, "1": 19, "2": 19, "5": 19, "6": 19}.get(n[6], 20)
    return _is_date(f"{century}{n[:2]}", n[2:4], n[4:6])


def _sweden(n: str) -> bool:
    """Personnummer: Luhn over the last ten digits."""
    last = n[-10:]
    return luhn(last) and _is_date(f"20{last[:2]}", last[2:4], last[4:6])


_CCCD = r"cccd(?:/cmnd)?|cmnd/cccd|căn cước(?: công dân)?|cmnd|định danh(?: cá nhân)?|citizen id"
_NINO = "[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
_NIR = "[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"
_STEUER_ID = (
    r"steuer-?id(?:nr)?|idnr|tin|steuer(?:liche )?-?identifikationsnummer"
    r"|steuerliche identifikationsnummer"
)
_CODICE_FISCALE = "[A-Z][A-Z]{5}[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]"
_FOURS = "[0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}"

_NUMBERS = (
    _number("VN", "0[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", _vietnam, _CCCD),
    # CMND, the card before; nine digits, of which nothing is known
    _number(
        "VN",
        "[0-9][0-9]{2} ?[0-9]{3} ?[0-9]{3}",
        str.isdigit,
        "cmnd|chứng minh(?: nhân dân)?|cmt(?:nd)?",
    ),
    _number("US", "[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}", _united_states),
    _number("US", "[0-8][0-9]{2} ?[0-9]{2} ?[0-9]{4}", _united_states, "ssn|social security"),
    _number("GB", f"{_NINO} [0-9]{{2}} [0-9]{{2}} [0-9]{{2}} [A-D]", _united_kingdom),
    # Alone it is a disk as well: ST380021A.
    _number(
        "GB",
        f"{_NINO} ?[0-9]{{2}} ?[0-9]{{2}} ?[0-9]{{2}} ?[A-D]",
        _united_kingdom,
        "nino|ni|national insurance",
    ),
    _number("FR", _NIR, _france),
    _number("DE", "[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", _germany, _STEUER_ID),
    _number("ES", "[0-9][0-9]{7}-?[A-HJ-NP-TV-Z]", _spain),
    _number("ES", "[XYZ]-?[0-9]{7}-?[A-HJ-NP-TV-Z]", _spain),
    _number("IT", _CODICE_FISCALE, _italy),
    _number(
        "NL",
        "[0-9][0-9]{3}[. ]?[0-9]{2}[. ]?[0-9]{3}",
        _netherlands,
        "bsn|burgerservicenummer|sofinummer",
    ),
    _number("CN", "[1-9][0-9]{5}(?:18|19|20)[0-9]{9}[0-9X]", _china),
    _number("BR", r"[0-9][0-9]{2}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _brazil),
    _number("BR", "[0-9][0-9]{10}", _brazil, "cpf(?:/mf)?"),
    _number("IN", f"[2-9]{_FOURS}", _india, "aadhaar|aadhar|uid|uidai|आधार"),
    _number("PL", "[0-9][0-9]{10}", _poland, "pesel"),
    _number("JP", f"[0-9]{_FOURS}", _japan, "my ?number|マイナンバー|個人番号"),
    _number("KR", "[0-9][0-9]{5}-[0-9]{7}", _korea),
    _number("SE", "[0-9][0-9]{5}(?:[0-9]{2})?[-+]?[0-9]{4}", _sweden, "personnummer|personnr|pnr"),
)
