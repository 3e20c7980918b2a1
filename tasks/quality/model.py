"""A linear model over hashed n-grams of words: what it sees of a text, its scores, its two files.

A word is a run of letters, digits and marks, in lower case, every digit taken for 0; any other
visible character is a word by itself, and so is every character of a script that is written without
spaces. So the same n-grams serve all scripts, and no language has to be known.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.errors import Fault, RequestError
from storage.workspace import Workspace

SCHEME = 1
"""How texts are split and hashed (here and in `kernels.py`). A model of another is refused."""


@dataclass(frozen=True)
class Features:
    """Which n-grams are taken of a text.

    `character_ngrams` is the length of n-grams of characters within words, 0 for none.
    """

    ngrams: int
    character_ngrams: int
    bucket_bits: int
    max_words: int

    @property
    def num_buckets(self) -> int:
        """How many weights a model has."""
        return 1 << self.bucket_bits


Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]

# Thai, Lao, Myanmar, Khmer; the ideographs, kana and their extensions in the basic plane.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x2FDF),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
)
_HIDDEN = ("C", "Z")  # controls, unassigned, separators
_JOINERS = (0x200C, 0x200D)  # within Persian and Hindi words
_LETTER, _ALONE = 1 << 24, 2 << 24


@dataclass(frozen=True)
class Bags:
    """Texts as rows of a sparse matrix: the different buckets of each, with their shares.

    Row i is `ends[i - 1]:ends[i]`; the shares of a text that has words add up to 1.
    """

    buckets: npt.NDArray[np.uint32]
    shares: Floats
    ends: npt.NDArray[np.int64]


@cache
def characters() -> npt.NDArray[np.uint32]:
    """What each character of the basic plane is: its kind, and what it is taken for."""
    table = np.zeros(0x10000, np.uint32)
    for code in range(0x10000):
        table[code] = _entry(code)
    return table


def _entry(code: int) -> int:
    character = chr(code)
    category = unicodedata.category(character)
    if any(first <= code <= last for first, last in _UNSPACED) and category[0] not in _HIDDEN:
        return _ALONE | code
    if category == "Nd":
        return _LETTER | ord("0")
    if category[0] in ("L", "N", "M") or code in _JOINERS:
        lowered = character.lower()
        return _LETTER | (ord(lowered) if len(lowered) == 1 else code)
    return 0 if category[0] in _HIDDEN or character.isspace() else _ALONE | code


def _scheme(features: Features) -> tuple[npt.NDArray[np.uint32], int, int, int, np.uint64]:
    """As the kernels take it."""
    mask = np.uint64(features.num_buckets - 1)
    return characters(), features.max_words, features.ngrams, features.character_ngrams, mask


def bag(texts: pa.ChunkedArray, features: Features) -> Bags:
    """The n-grams of each text, counted.

    Takes 8 bytes for each different n-gram of a text: of 1 000 words and pairs of words 12 kB.
    """
    from tasks.quality import kernels

    slots = np.full(features.num_buckets, -1, np.int64)
    buckets, shares = np.empty(1 << 16, np.uint32), np.empty(1 << 16, np.float32)
    ends: list[int] = []
    filled = 0
    for data, offsets in _buffers(texts):
        for text in range(len(offsets) - 1):
            of_one = data, offsets[text], offsets[text + 1], _scheme(features), slots
            while (now := kernels.bag_text(*of_one, buckets, shares, filled)) < 0:
                buckets = np.resize(buckets, 2 * len(buckets))
                shares = np.resize(shares, 2 * len(shares))
            filled = now
            ends.append(filled)
    return Bags(buckets[:filled].copy(), shares[:filled].copy(), np.array(ends, np.int64))


def strings_of(
    texts: pa.ChunkedArray, features: Features, buckets: Integers, most: int = 64
) -> Iterator[tuple[int, str]]:
    """(place in `buckets`, n-gram) where these stand in the texts, up to `most` times for each."""
    from tasks.quality import kernels

    wanted = np.full(features.num_buckets, -1, np.int64)
    wanted[buckets] = np.arange(len(buckets))
    for data, offsets in _buffers(texts):
        rows = np.empty((len(buckets) * most, 3), np.int64)
        found = kernels.locate(data, offsets, _scheme(features), wanted, most, rows)
        for number, begin, end in rows[:found].tolist():
            yield number, " ".join(data[begin:end].tobytes().decode().lower().split())


def _buffers(texts: pa.ChunkedArray) -> Iterator[tuple[Bytes, npt.NDArray[np.int64]]]:
    """The UTF-8 bytes of each chunk and where its texts begin in them, nothing copied but offsets.

    One byte always stands there: numba's arrays must have an address.
    """
    for chunk in texts.chunks:
        if not len(chunk):
            continue
        large = pa.types.is_large_string(chunk.type)
        _, offsets, data = chunk.buffers()
        starts = np.frombuffer(offsets, np.int64 if large else np.int32)
        here = slice(chunk.offset, chunk.offset + len(chunk) + 1)
        filled = data is not None and data.size > 0
        plain = np.frombuffer(data, np.uint8) if filled else np.zeros(1, np.uint8)
        yield plain, np.array(starts[here], np.int64)


WEIGHTS, ABOUT = "model.safetensors", "model.json"
_KIND = "linear"


@dataclass(frozen=True)
class LinearModel:
    """Weights (float32, one for each bucket) and a bias, in logits."""

    features: Features
    weights: Floats
    bias: float

    def score(self, texts: pa.ChunkedArray) -> Floats:
        """The probability of "good", 0-1, of each text."""
        from tasks.quality import kernels

        scheme = _scheme(self.features)
        parts = [
            kernels.score_texts(data, offsets, scheme, self.weights, self.bias)
            for data, offsets in _buffers(texts)
        ]
        return np.concatenate([np.empty(0, np.float32), *parts])

    def save(self, workspace: Workspace) -> None:
        """Write both files of the model; equal models are equal bytes."""
        from safetensors.numpy import save

        tensors = {"weights": self.weights, "bias": np.array([self.bias], np.float32)}
        with workspace.writing(WEIGHTS) as stream:
            stream.write(save(tensors))
        about: dict[str, Any] = {"kind": _KIND, "scheme": SCHEME, "features": asdict(self.features)}
        workspace.write_json(ABOUT, about)


def load_model(folder: Path) -> LinearModel:
    """Read a model. Raises RequestError for one that cannot be scored with as it was trained."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        about = json.loads((folder / ABOUT).read_bytes())
        if (about["kind"], about["scheme"]) != (_KIND, SCHEME):
            found = f"a model of kind {about['kind']} with scheme {about['scheme']}"
            raise RequestError(_fault(folder, found))
        features = Features(**about["features"])
        tensors = load((folder / WEIGHTS).read_bytes())
        weights, bias = tensors["weights"], float(tensors["bias"][0])
    except (OSError, ValueError, TypeError, KeyError, IndexError, SafetensorError) as error:
        raise RequestError(_fault(folder, f"{type(error).__name__}: {error}")) from error
    if weights.dtype != np.float32 or weights.shape != (features.num_buckets,):
        found = f"weights of type {weights.dtype} and shape {weights.shape}"
        raise RequestError(_fault(folder, found))
    if not (np.isfinite(weights).all() and np.isfinite(bias)):
        raise RequestError(_fault(folder, "weights that are not finite"))
    return LinearModel(features, weights, bias)


def _fault(folder: Path, found: str) -> Fault:
    expected = f"a quality model of kind {_KIND} with scheme {SCHEME}"
    remedy = "Train it again with this phusa: classifier: {kind: linear, …}."
    return Fault(str(folder), found, expected, remedy)
