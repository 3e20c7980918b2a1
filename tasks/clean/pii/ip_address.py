"""Public IP addresses, version 4 and 6.

`ipaddress` of the standard library knows which ranges are public. What it cannot know is whether
four numbers are an address. In 48 MB of manuals (Python, PostgreSQL, Debian) datatrove's pattern
takes 5 657 of them; the 5 145 that stay here all have fewer than two numbers of 32 or more, and
those that were looked at are sections (`9.16.2.1`) and versions.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Literal

from tasks.clean.pii.masking import PLACEHOLDER_SAYS, Passage, Placeholder, Span
from tasks.config import Config, knob

# Not within a longer number, name or path (`lib-1.2.3.4.so`, `Opera/9.80.1.2`); a URL's host is.
_V4 = re.compile(
    r"[0-9](?<![\w.+-][0-9])(?:(?<!/[0-9])|(?<=//[0-9]))[0-9]{0,2}+(?:\.[0-9]{1,3}+){3}"
    r"(?![\w%]|\.\w|-\w)"
)
_VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver|version|release|section|sect|chapter|firmware|build|§)[.:]?\s*\Z", re.I
)
_WORD_BEFORE = 16  # characters

# The public ones are 2000::/3: four hexadecimal digits, the first a 2 or a 3.
_V6 = re.compile(r"[23](?<![\w:.][23])[0-9a-fA-F]{3}:[0-9a-fA-F:]{2,34}+(?!\w)")
_SMALL = 32


class IpAddress(Config):
    """Public addresses, not those of private networks, loopback and documentation.

    Four numbers of which fewer than two are 32 or more stay: so are versions and sections, but only
    one in 140 addresses, if they are spread evenly.
    """

    kind: Literal["ip_address"] = "ip_address"
    placeholder: Placeholder = knob("<IP_ADDRESS>", PLACEHOLDER_SAYS)

    def spans(self, passage: Passage) -> Iterator[Span]:
        """Where addresses stand."""
        yield from sorted([*_spans4(passage), *_spans6(passage.text)])


def _spans4(passage: Passage) -> Iterator[Span]:
    for match in passage.numbers(_V4):
        numbers = [int(part) for part in match[0].split(".")]
        before = passage.text[max(0, match.start() - _WORD_BEFORE) : match.start()]
        if (
            sum(number >= _SMALL for number in numbers) >= 2
            and _is_public(match[0])
            and not _VERSION_BEFORE.search(before)
        ):
            yield match.span()


def _spans6(text: str) -> Iterator[Span]:
    if ":" not in text:
        return
    for match in _V6.finditer(text):
        address = match[0] if match[0].endswith("::") else match[0].rstrip(":")
        if _is_public(address):
            yield match.start(), match.start() + len(address)


def _is_public(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.is_global and not found.is_multicast
