"""Text from outside, as a terminal, a log or a page may show it.

Each character stays as it is but those that whoever shows them obeys: terminal escapes and other
control characters, marks that turn the direction of text round, and invisible tags.
"""

from __future__ import annotations

_OBEYED = (
    *(code for code in range(0x20) if chr(code) not in "\n\t"),
    *range(0x7F, 0xA0),  # delete, and C1: \x9b is an escape of one byte
    *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # direction
    *(0x2028, 0x2029, 0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080)),
)
_TO_NOTHING: dict[int, str | None] = dict.fromkeys(_OBEYED)
_TO_NOTHING |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # halves, which no encoding takes
_TO_ESCAPES = {code: f"\\u{code:04x}" for code in _TO_NOTHING if 0x7F <= code <= 0xFFFF}
_TAGS = range(0xE0000, 0xE0080)  # in JSON, as in UTF-16, each is two halves
_TO_ESCAPES |= {code: f"\\udb40\\u{0xDC00 + code - _TAGS[0]:04x}" for code in _TAGS}


def printable(text: str) -> str:
    """Take out what a terminal obeys: nothing that is left moves, hides or colours text.

    All of it has no width, so what was laid out before stays in line.
    """
    return text if text.isprintable() else text.translate(_TO_NOTHING)


def printable_json(document: str) -> str:
    """Write in a JSON document as escapes what a terminal obeys: it reads back as it was."""
    return document if document.isprintable() else document.translate(_TO_ESCAPES)
