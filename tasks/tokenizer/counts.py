"""How often each word of a corpus occurs: exact, in bounded memory, whatever the order of texts."""

from __future__ import annotations

import heapq
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import regex

LONGEST = 1024
"""Characters of a word at most; a longer one, which no language has, is counted in pieces."""

# A counted word takes some 150 bytes. What trains merges takes 40 bytes and more a byte of a word.
_IN_MEMORY, _MOST_WORDS, _MOST_CHARACTERS = 1 << 20, 1 << 21, 1 << 24


def count_words(
    texts: Iterable[str], pattern: str, scratch: Path | None = None, longest: int = LONGEST
) -> dict[str, int]:
    """Count what the pattern finds in the NFC of texts: the commonest 2 million words, and no more
    than 16 million characters of them. Counts lie sorted in `scratch` where words are many."""
    find, words = regex.compile(pattern).findall, Counter[str]()
    with TemporaryDirectory(dir=scratch) as folder:
        runs: list[Path] = []
        for text in texts:
            words.update(_cut(find(unicodedata.normalize("NFC", text)), longest))
            if len(words) > _IN_MEMORY:
                runs.append(_spill(words, Path(folder) / f"{len(runs)}.parquet"))
                words.clear()
        counted = heapq.merge(sorted(words.items()), *map(_spilt, runs))
        sums = ((sum(n for _, n in same), w) for w, same in groupby(counted, itemgetter(0)))
        return dict(_commonest(heapq.nlargest(_MOST_WORDS, sums)))


def _cut(words: list[str], longest: int) -> Iterator[str]:
    for word in words:
        if len(word) <= longest:
            yield word
        else:
            yield from (word[at : at + longest] for at in range(0, len(word), longest))


def _spill(words: Counter[str], path: Path) -> Path:
    names, counts = zip(*sorted(words.items()), strict=True)
    pq.write_table(pa.table({"word": names, "count": counts}), path)
    return path


def _spilt(path: Path) -> Iterator[tuple[str, int]]:
    for batch in pq.ParquetFile(path).iter_batches():
        yield from zip(batch["word"].to_pylist(), batch["count"].to_pylist(), strict=True)


def _commonest(words: Iterable[tuple[int, str]]) -> Iterator[tuple[str, int]]:
    left = _MOST_CHARACTERS
    for count, word in words:
        left -= len(word)
        if left < 0:
            return
        yield word, count
