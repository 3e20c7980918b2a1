"""E-mail addresses.

Looked at: datatrove's pattern (the one of FineWeb). It tries every word as a local part; here the
`@` is searched first (2 GB/s where there is none). And it takes `git@github.com:x/y`, systemd's
`getty@tty1.service` and `icon@2x.png` for addresses; these stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from tasks.clean.pii.masking import PLACEHOLDER_SAYS, Passage, Placeholder, Span, apart
from tasks.config import Config, knob

# The domain has a dot, which leaves `user@host` and `a @ b`, and ends in letters, which leaves
# `package@1.2.3`. A colon and text right after it are a path (ssh) or a shell's prompt.
_AT_DOMAIN = re.compile(
    r"@(?:[^\W_][\w-]{0,62}+\.){1,8}([^\W\d_]{2,24}+)(?![\w@]|-\w|\.\w|:[\w~/.])"
)
_LOCAL_REVERSED = re.compile(r"[\w.+%'-]{1,64}+")
_USER_OF_URL = re.compile(r"//[^\s/@]*\Z")
_LONGEST_USER = 128

# RFC 2606 and 6761: nobody's; and the ends of file and unit names that hold an @.
_NOBODYS = re.compile(r"(?:^|\.)(?:example\.(?:com|net|org)|example|invalid|test)$", re.I)
_NO_DOMAINS = {
    *("local", "localhost", "localdomain", "lan", "internal", "intranet"),
    *("png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "css", "js", "html", "htm"),
    *("xml", "json", "yaml", "yml", "txt", "pdf", "zip", "gz", "conf", "cfg"),
    *("service", "socket", "timer", "target", "mount", "slice", "scope", "swap", "device"),
}


class Email(Config):
    """E-mail addresses, but those of `example.com` and its like."""

    kind: Literal["email"] = "email"
    placeholder: Placeholder = knob("<EMAIL>", PLACEHOLDER_SAYS)

    def spans(self, passage: Passage) -> Iterator[Span]:
        """Where addresses stand."""
        yield from apart(_addresses(passage.text))


def _addresses(text: str) -> Iterator[Span]:
    for match in _AT_DOMAIN.finditer(text):
        start = _start_of_local(text, match.start())
        if (
            start < match.start()
            and match[1].lower() not in _NO_DOMAINS
            and not _NOBODYS.search(match[0][1:])
            and not _USER_OF_URL.search(text[max(0, start - _LONGEST_USER) : start])
        ):
            yield start, match.end()


def _start_of_local(text: str, at: int) -> int:
    """Where the part before the `@` begins, without quotes and dots around it; `at` if nowhere."""
    found = _LOCAL_REVERSED.match(text[max(0, at - 64) : at][::-1])
    if found is None:
        return at
    local = found[0][::-1]
    return at - len(local.lstrip(".+%'-"))
