"""Payment card numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from tasks.clean.pii.masking import PLACEHOLDER_SAYS, Passage, Placeholder, Span
from tasks.config import Config, knob

# In one piece, or in the groups that are printed on cards; not within a longer number, nor the
# digits behind a point. Source of the issuers' prefixes and lengths: ISO/IEC 7812, card networks'
# published ranges.
_NUMBER = re.compile(
    r"[2-6](?<![\w.,+-][2-6])"
    r"(?:[0-9]{12,18}+|[0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?(?!\1[0-9])"
    r"|[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}(?!\2[0-9]))"
    r"(?!\w|[.,-][0-9])"
)
_ISSUED = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Master
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}"  # Diners Club
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # JCB
    r"|62[0-9]{14,17}"  # UnionPay
    r"|220[0-4][0-9]{12}"  # Mir
)


class PaymentCard(Config):
    """Card numbers of the big networks with the right check digit."""

    kind: Literal["payment_card"] = "payment_card"
    placeholder: Placeholder = knob("<PAYMENT_CARD>", PLACEHOLDER_SAYS)

    def spans(self, passage: Passage) -> Iterator[Span]:
        """Where card numbers stand."""
        for match in passage.numbers(_NUMBER):
            digits = re.sub("[ -]", "", match[0])
            if _ISSUED.fullmatch(digits) and luhn(digits) and len(set(digits)) > 1:
                yield match.span()


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(n - 9 * (n > 9) for n in doubled)) % 10 == 0
