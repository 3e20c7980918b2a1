"""Ids of many documents: by gigatoken where it is there and gives the same ids, else by tokenizers.

gigatoken 0.10 encodes 80 to 280 MB a CPU second where tokenizers does 2, with the four splits that
phusa has (benchmarks/tokens.py). It is young, so it is used only after it was compared with
tokenizers on the documents in hand and on texts that are hard to cut.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import psutil

from tasks.lm.tokens import SPECIAL_TOKENS, TextEncoder

Ids = npt.NDArray[np.uint32]
Engine = Literal["tokenizers", "gigatoken"]

COMPARED_DOCUMENTS = 10_000
"""So many documents are compared; a corpus of no more is encoded by tokenizers right away."""

# gigatoken keeps what it made of every word: 100 MB for a million different ones.
_CACHE_BYTES = 256 << 20

# ruff: noqa: RUF001  (letters of every script)
HARD_TEXTS = (
    *SPECIAL_TOKENS,
    "".join(SPECIAL_TOKENS),
    "",
    " ",
    " \n \r\n\t\n  x",
    "don't DON'T we'll 12345 ١٢٣ ½ a_b 3.14e-10",
    "a" * 50_000,
    " " * 50_000,
    "\n" * 5_000,
    "ab" * 25_000,
    "=" * 20_000,
    "हिन्दी विकिपीडिया தமிழ் ไทยเป็นภาษา ພາສາລາວ မြန်မာ ខ្មែរ বাংলা తెలుగు",
    "العربيّة עִבְרִית فارسی‌ها ܣܘܪܝܝܐ ትግርኛ ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ ქართული հայերեն ελληνικά русский",
    "日本語のテキスト 中文，标点。 한국어 문장 𠮷野家 ㍿ ﷽",
    "Phù sa là đất mịn mà dòng sông để lại; tiếng Việt có dấu.",
    "e\u0301\u0323 a\u0308 n\u0303 \u1100\u1161\u11a8 \u0958 x\u0327\u0301" * 50,
    "👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 🇻🇳 👍🏽 ©️ ☃",
    "\x00\x01\x7f\x85\xa0\u2028\u2029\u202e\u200b\ufeff\ufffd\ufdd0\U0010ffff",
    "def f(x):\n\treturn {x!r: [1, 2]}  # ok\r\n\r\n\tif not x: ...",
    "https://example.org/a?b=c&d=%20#e <p class='x'>&amp;</p>",
)


@dataclass(frozen=True)
class Encoded:
    """Ids of documents, one after the other; those of document d end at `ends[d + 1]`."""

    ids: Ids
    ends: npt.NDArray[np.int64]

    def __iter__(self) -> Iterator[Ids]:
        return (self.ids[a:b] for a, b in zip(self.ends[:-1], self.ends[1:], strict=True))


class DocumentEncoder:
    """Encodes documents by an engine; for one thread."""

    def __init__(self, encoder: TextEncoder, engine: Engine) -> None:
        self._encoder = encoder
        self._fast = _kept(encoder) if engine == "gigatoken" else None

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Give the ids of texts, as `TextEncoder.encode` gives them."""
        if self._fast is not None:
            return self._fast.encode(texts)
        found = self._encoder.encode_batch(texts)
        ends = np.cumsum([0, *map(len, found)], dtype=np.int64)
        flat = (np.asarray(ids, dtype=np.uint32) for ids in found)
        return Encoded(np.concatenate([np.empty(0, np.uint32), *flat]), ends)


class _Gigatoken:
    """gigatoken's encoder of the same vocabulary, begun afresh when its cache may have grown too
    large: on text of all distinct words every 20 MB.

    It is known by the process's memory alone, so ids that are kept count too, and what other
    threads take; beginning costs 0.1 s.
    """

    def __init__(self, vocabulary: str) -> None:
        described: dict[str, Any] = json.loads(vocabulary)
        self._described = json.dumps(described | {"added_tokens": []})  # it would find any in texts
        self._process = psutil.Process()
        self._begin()

    def _begin(self) -> None:
        from gigatoken import Tokenizer

        self._engine: Any = None  # the one before goes first
        self._engine = Tokenizer.from_json(self._described)
        self._begun_with = self._process.memory_info().rss

    def encode(self, texts: Sequence[str]) -> Encoded:
        if self._process.memory_info().rss > self._begun_with + _CACHE_BYTES:
            self._begin()
        found = self._engine.encode_batch(list(texts), parallel=False).layout
        return Encoded(np.asarray(found.content.data), np.asarray(found.offsets))


_thread = threading.local()


def _kept(encoder: TextEncoder) -> _Gigatoken:
    """Give this thread's encoder, which is kept from shard to shard: it takes 0.4 s to begin, and
    gets from 130 to 240 MB a CPU second in its first 20 MB, when it has met most words."""
    vocabulary = encoder.tokenizer.to_str()
    if getattr(_thread, "vocabulary", None) != vocabulary:
        _thread.gigatoken = _Gigatoken(encoder.text_tokenizer.to_str())
        _thread.vocabulary = vocabulary
    kept: _Gigatoken = _thread.gigatoken
    return kept


def choose_engine(
    encoder: TextEncoder, documents: Iterable[str], num_documents: int
) -> tuple[Engine, str]:
    """Choose what encodes a corpus, and say why; `documents` are compared, at least if they are
    asked for."""
    if num_documents <= COMPARED_DOCUMENTS:
        return "tokenizers", f"{num_documents:,} documents are too few to gain from another engine"
    try:
        fast = DocumentEncoder(encoder, "gigatoken")
    except ImportError:
        return "tokenizers", "gigatoken is not installed (pip install 'phusa[fast]')"
    except Exception as error:  # it refuses what it does not know
        return "tokenizers", f"gigatoken does not take this tokenizer: {error}"
    slow = DocumentEncoder(encoder, "tokenizers")
    compared = 0
    for batch in (HARD_TEXTS, *_batches(documents)):
        try:
            found, expected = fast.encode(batch), slow.encode(batch)
        except Exception as error:
            return "tokenizers", f"gigatoken failed on a text: {error}"
        pairs = ((found.ids, expected.ids), (found.ends, expected.ends))
        if not all(np.array_equal(one, other) for one, other in pairs):
            return "tokenizers", "gigatoken gives other ids for one of the documents"
        compared += len(batch)
    return "gigatoken", f"gigatoken gives the ids of tokenizers on {compared:,} texts"


def _batches(texts: Iterable[str], count: int = 256) -> Iterator[list[str]]:
    left = iter(texts)
    return iter(lambda: list(islice(left, count)), [])
