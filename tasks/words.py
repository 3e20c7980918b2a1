"""Words, in scripts with spaces and without.

Between spaces stands a word. Chinese, Japanese, Thai, Lao, Khmer and Burmese put none between
theirs; there each character with its marks and the punctuation behind it counts as a word, and what
is written in other scripts stays whole. A segmenter was not taken: jieba and PyThaiNLP know one
language each, by a dictionary to load in every process, and n-grams of characters find repetition
without their mistakes. So `min_words` means characters in these languages, and the mean length of
words means nothing.
"""

from __future__ import annotations

import re
from itertools import filterfalse

UNSPACED = frozenset({"zh", "yue", "wuu", "ja", "th", "lo", "km", "my"})
"""ISO 639 codes, as the language detector gives them."""

UNSPACED_RANGES = (
    *("\u0e00-\u0eff", "\u1000-\u109f", "\u1780-\u17ff"),  # Thai, Lao, Burmese, Khmer
    *("\u3005-\u3007", "\u3040-\u30ff", "\u31f0-\u31ff", "\uff66-\uff9f"),  # kana
    *("\u3400-\u4dbf", "\u4e00-\u9fff", "\uf900-\ufaff", "\U00020000-\U000323af"),  # Han
)
"""The characters of scripts without spaces, from one to another."""

_CHARACTER = "".join(UNSPACED_RANGES)
_UNIT = re.compile(rf"[{_CHARACTER}][^\w\s]*|[^\s{_CHARACTER}]+")

_ANY = re.compile(f"[{_CHARACTER}]")


def split_words(text: str, language: str) -> list[str]:
    """The words of a text; together they are the text without its white space."""
    return _UNIT.findall(text) if language in UNSPACED else text.split()


def count_words(text: str, language: str) -> int:
    """Words but symbols, which have neither letter nor digit: a document's `num_words`."""
    words = split_words(text, language)
    odd = filterfalse(str.isalnum, words)  # of the others, no letter need be asked
    return len(words) - sum(not any(map(str.isalnum, word)) for word in odd)


def is_unspaced(text: str) -> bool:
    """Whether a text has a character of a script without spaces."""
    return _ANY.search(text) is not None
