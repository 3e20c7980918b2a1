"""Bytes to text, once, and text to tidy text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from resiliparse.parse.encoding import bytes_to_str, detect_encoding

_SPACES = re.compile(r"[^\S\n]")  # every white space but the line feed
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\u200b\u2060\ufffe\uffff]")
_BLANK_LINES = re.compile(r"\n{3,}")
_ODD_BREAKS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")


def decode(body: bytes, charset: str) -> str:
    """Decode a page: the header's charset if it is known, else the detected one; never raises."""
    detected = detect_encoding(body) or "utf-8"
    try:
        return bytes_to_str(body, charset or detected, fallback_encodings=("utf-8", "cp1252"))
    except LookupError:  # the header names a charset that does not exist
        return bytes_to_str(body, detected)


def tidy(
    text: str,
    drop_lines: Sequence[re.Pattern[str]] = (),
    replace: Sequence[tuple[re.Pattern[str], str]] = (),
) -> str:
    """Unicode NFC, no control characters, plain spaces, no trailing space, no gaps of blank lines.

    Indentation stays: it carries meaning in code and lists.
    """
    text = unicodedata.normalize("NFC", _ODD_BREAKS.sub("\n", text).expandtabs(4))
    text = _CONTROLS.sub("", _SPACES.sub(" ", text))
    for pattern, replacement in replace:
        text = "\n".join(pattern.sub(replacement, line) for line in text.split("\n"))
    lines = (line.rstrip() for line in text.split("\n"))
    kept = (line for line in lines if not any(pattern.search(line) for pattern in drop_lines))
    return _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip("\n")
