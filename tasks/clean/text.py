"""Bytes to text, once; text to tidy text; where its sentences end, in every script."""

from __future__ import annotations

import codecs
import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

_SPACES = re.compile(r"[^\S\n]")  # every white space but the line feed
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\u200b\u2060\ufffe\uffff]")
_BLANK_LINES = re.compile(r"\n{3,}")
_MOST_MARKS = 30
_PLANES = 1 << 17  # of Unicode's, those that have scripts with marks
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


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text, as kernels read them."""
    import numpy as np  # 0.1 s: filters are part of every recipe, and most commands need none

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def compose(text: str) -> str:
    """Unicode NFC, of each run of combining marks the first 30.

    Normalization sorts a run by insertion: 50 000 marks took 2.4 s, twice as many 9.7. No language
    has more than a few on a letter.
    Source: the Stream-Safe Text Format, https://www.unicode.org/reports/tr15 §13
    """
    if text.isascii():
        return text
    return _cut(unicodedata.normalize("NFC", _cut(text)))  # again: a mark may become two


def _cut(text: str) -> str:
    import numpy as np

    # numpy: 3 ms for a million characters, where a set of 900 characters takes `re` 600.
    codes = code_points(text)
    starters = np.flatnonzero(~_is_mark()[codes])
    if len(starters) + _MOST_MARKS >= len(text):
        return text
    edges = np.concatenate(([-1], starters, [len(text)]))
    long = np.flatnonzero(np.diff(edges) > _MOST_MARKS + 1)
    pieces, start = [], 0
    for before, behind in zip(edges[long].tolist(), edges[long + 1].tolist(), strict=True):
        pieces.append(text[start : before + 1 + _MOST_MARKS])
        start = behind
    return "".join([*pieces, text[start:]])


@cache
def _is_mark() -> npt.NDArray[np.bool_]:
    """Of every code point, whether Unicode orders it among those behind a letter."""
    import numpy as np

    classes = map(unicodedata.combining, map(chr, range(_PLANES)))
    found = np.zeros(sys.maxunicode + 1, np.bool_)
    found[:_PLANES] = np.fromiter(classes, np.uint8, _PLANES) > 0
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
    text = compose(text)
    for pattern, replacement in replace:
        text = "\n".join(pattern.sub(replacement, line) for line in text.split("\n"))
    lines = (line.rstrip() for line in text.split("\n"))
    kept = (line for line in lines if not any(pattern.search(line) for pattern in drop_lines))
    return _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip("\n")


# Source: Unicode 17, PropList.txt, Sentence_Terminal. (`regex` knows the property, but its version
# would then decide what is kept.)
_SENTENCE_ENDS = """
    0021 002E 003F 0589 061D-061F 06D4 0700-0702 07F9 0837 0839 083D-083E 0964-0965 104A-104B
    1362 1367-1368 166E 1735-1736 17D4-17D5 1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B
    1B5E-1B5F 1B7D-1B7F 1C3B-1C3C 1C7E-1C7F 2024 203C-203D 2047-2049 2CF9-2CFB 2E2E 2E3C
    2E53-2E54 2E60-2E61 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9
    AA5D-AA5F AAF0-AAF1 ABEB FE12 FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57
    10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF
    11238-11239 1123B-1123C 112A9 113D4-113D5 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642
    1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44
    16A6E-16A6F 16AF5 16B37-16B38 16B44 16D6E-16D6F 16E98 1BC9F 1DA88
"""


def _characters(ranges: str) -> frozenset[str]:
    ends = [[int(end, 16) for end in item.split("-")] for item in ranges.split()]
    return frozenset(chr(code) for end in ends for code in range(end[0], end[-1] + 1))


TERMINAL = _characters(_SENTENCE_ENDS)
"""Full stops, question and exclamation marks: 172 characters."""

C4_ENDS = frozenset(".?!\"'")
ENDS_OF_ANY_SCRIPT = C4_ENDS | TERMINAL | frozenset("”’»」』")  # noqa: RUF001
"""What a line may end with, to C4 (arXiv:1910.10683 §2.2), and the same with the marks and closing
quotes of all scripts."""
