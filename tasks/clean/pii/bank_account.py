"""International bank account numbers.

schwifty knows each country's inner check digits too, and brings pycountry and rstr (5 MB and more);
of what has the right length for its country, the remainder by 97 leaves one in 97 already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from tasks.clean.pii.masking import PLACEHOLDER_SAYS, Passage, Placeholder, Span, apart
from tasks.config import Config, knob

# Source: SWIFT's IBAN registry, release 101
_REGISTRY = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 "
    "IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
    "MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
    "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _REGISTRY.split()}
_REST = {
    length: re.compile(rf"(?:[ -]?[A-Z0-9]){{{length - 4}}}(?!\w)")
    for length in set(_LENGTHS.values())
}
_HEAD = re.compile(r"[A-Z](?<!\w[A-Z])[A-Z][0-9]{2}(?=[ -]?[A-Z0-9])")


class BankAccount(Config):
    """IBANs of the right length for their country and with the right check digits."""

    kind: Literal["bank_account"] = "bank_account"
    placeholder: Placeholder = knob("<IBAN>", PLACEHOLDER_SAYS)

    def spans(self, passage: Passage) -> Iterator[Span]:
        """Where IBANs stand."""
        yield from apart(_accounts(passage))


def _accounts(passage: Passage) -> Iterator[Span]:
    for head in passage.numbers(_HEAD):
        length = _LENGTHS.get(head[0][:2])
        rest = length and _REST[length].match(passage.text, head.end())
        if rest and _is_valid(re.sub("[ -]", "", head[0] + rest[0])):
            yield head.start(), rest.end()


def _is_valid(account: str) -> bool:
    """ISO 7064 MOD 97-10: letters count from 10, the first four go last."""
    turned = account[4:] + account[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1
