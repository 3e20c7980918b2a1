"""Bytes to text, once, and text to tidy text."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Sequence

from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

_SPACES = re.compile(r"[^\S\n]")  # every white space but the line feed
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\u200b\u2060\ufffe\uffff]")
_BLANK_LINES = re.compile(r"\n{3,}")
_ODD_BREAKS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")


def decode(body: bytes, charset: str) -> str:
    """Decode a page by its byte order mark, else the header's charset, else its meta tag or bytes.

    Never raises: a charset that no browser knows counts as none given.

    Source: https://encoding.spec.whatwg.org; HTML standard §13.2.3.2
    """
    marked = next((name for mark, name in _BOMS.items() if body.startswith(mark)), None)
    named = marked or _known_encoding(charset)
    encoding = named or detect_encoding(body, from_html_meta=True) or "utf-8"
    return str(bytes_to_str(body, encoding, fallback_encodings=("utf-8", "cp1252")))


def is_known_charset(charset: str) -> bool:
    """Whether browsers know it by this name."""
    return _known_encoding(charset) is not None


def _known_encoding(charset: str) -> str | None:
    label = charset.encode("ascii", "ignore").decode()
    found: str | None = map_encoding_to_html5(label, fallback_utf8=False)
    return found


def tidy(
    text: str,
    drop_lines: Sequence[re.Pattern[str]] = (),
    replace: Sequence[tuple[re.Pattern[str], str]] = (),
) -> str:
    """Unicode NFC, no control characters, plain spaces, no trailing space, no gaps of blank lines.

    Indentation stays: it carries meaning in code and lists.
    """
    # Controls go first: one between a letter and its accent would keep the two from composing.
    text = _CONTROLS.sub("", _SPACES.sub(" ", _ODD_BREAKS.sub("\n", text).expandtabs(4)))
    text = unicodedata.normalize("NFC", text)
    for pattern, replacement in replace:
        text = "\n".join(pattern.sub(replacement, line) for line in text.split("\n"))
    lines = (line.rstrip() for line in text.split("\n"))
    kept = (line for line in lines if not any(pattern.search(line) for pattern in drop_lines))
    return _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip("\n")
