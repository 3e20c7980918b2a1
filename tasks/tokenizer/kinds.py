"""What each kind of tokenizer learns, as a tokenizer that gives the text back byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from tokenizers import Tokenizer, decoders, models, normalizers

from tasks.lm.tokens import (
    SPECIAL_TOKENS,
    SPLIT_PATTERNS,
    Split,
    TextEncoder,
    cut_by,
    pre_tokenizer_of,
)
from tasks.lm.vocabulary import BYTE_OF
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.counts import count_words

# llama.cpp's `superbpe`, as the published ones have it: numbers in threes from their ends.
SUPERBPE_SPLITS = (r"\p{N}+", r"(?=(\d{3})+(?!\d))")
# What merges across spaces are learnt of: lines, without what stands between these splits.
_LINES = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))|[^\p{N}\n]+\n*|\n+"
_LINE, _LINES_BYTES = 512, 64 << 20  # characters of a line; bytes of text, 500 MB to train on
_MOST_WORDS = 4  # of one token; longer ones are phrases of one site

CONTINUES = "…"
"""Begins a WordPiece within a word: no byte is written so, while BERT's ## is also text."""
_LONGEST_PIECE = 64  # characters: WordPiece costs the square of a word's length

BYTE_PIECES = tuple(f"<0x{byte:02X}>" for byte in range(256))


ALPHABET = tuple(sorted(BYTE_OF))


def train_bpe(
    texts: Iterable[str], config: TokenizerConfig, split: Split, scratch: Path | None
) -> Tokenizer:
    """Learn byte-level BPE: the merges of `tokenizers`' own trainer."""
    words = count_words(texts, SPLIT_PATTERNS[split], scratch)
    names, merges, _ = _learn(_bytes_of(words), words, _byte_names(), config, config.vocab_size)
    return _tokenizer(_model(names, merges), pre_tokenizer_of(split))


def train_superbpe(
    texts: Iterable[str], config: TokenizerConfig, split: Split, scratch: Path | None
) -> Tokenizer:
    """Learn merges within words, then merges of up to four words (arXiv 2503.13423).

    The second phase learns of 64 MB of the texts at most, drawn by their content.
    """
    first = max(len(SPECIAL_TOKENS) + 256, int(config.transition * config.vocab_size))
    words = count_words(texts, SPLIT_PATTERNS[split], scratch)
    names, merges, tokens = _learn(_bytes_of(words), words, _byte_names(), config, first)
    within = TextEncoder(_tokenizer(_model(names, merges), pre_tokenizer_of(split)))
    share = _LINES_BYTES / max(1, sum(len(text.encode()) for text in texts))
    digest = xxhash.xxh3_64_intdigest
    drawn = (text for text in texts if digest(text.encode()) < share * 2**64)
    lines = count_words(drawn, _LINES, scratch, _LINE)
    spaces = np.array([name.count("Ġ") for name in names], np.int64)
    ids = within.encode_batch(list(lines))
    across = _learn(
        ids, lines, names, config, config.vocab_size, tokens._replace(words=spaces), _MOST_WORDS
    )
    return _byte_level(_model(across[0], merges + across[1]), SUPERBPE_SPLITS)


def train_wordpiece(
    texts: Iterable[str], config: TokenizerConfig, split: Split, scratch: Path | None
) -> Tokenizer:
    """Learn WordPiece over bytes: the longest piece that fits is taken, and none is unknown."""
    words = count_words(texts, SPLIT_PATTERNS[split], scratch, _LONGEST_PIECE)
    names = [*_byte_names(), *(CONTINUES + character for character in ALPHABET)]
    symbols = _bytes_of(words)
    for one in symbols:
        one[1:] += 256
    names, _, _ = _learn(symbols, words, names, config, config.vocab_size)
    model = models.WordPiece(
        {name: at for at, name in enumerate(names)},
        unk_token=SPECIAL_TOKENS[1],  # never given: every byte has its two pieces
        max_input_chars_per_word=4 * _LONGEST_PIECE,
        continuing_subword_prefix=CONTINUES,
    )
    bound = rf"[\s\S]{{1,{_LONGEST_PIECE}}}"
    tokenizer = _byte_level(model, [SPLIT_PATTERNS[split], bound])
    joined = decoders.Replace(CONTINUES, "")
    tokenizer.decoder = decoders.Sequence([joined, decoders.ByteLevel()])
    return tokenizer


def train_characters(
    texts: Iterable[str], config: TokenizerConfig, split: Split, scratch: Path | None
) -> Tokenizer:
    """Take the commonest characters; another is written as its bytes."""
    characters = count_words(texts, r"[\s\S]", scratch)
    room = config.vocab_size - len(SPECIAL_TOKENS) - len(BYTE_PIECES)
    names = [*SPECIAL_TOKENS, *BYTE_PIECES, *sorted(list(characters)[:room])]
    tokenizer = Tokenizer(_model(names, [], byte_fallback=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def train_bytes(
    texts: Iterable[str], config: TokenizerConfig, split: Split, scratch: Path | None
) -> Tokenizer:
    """Take the 256 bytes; nothing is learnt, and the texts are only read."""
    for _ in texts:
        pass
    return _byte_level(_model(_byte_names(), []), [])


def _byte_level(model: Any, patterns: Sequence[str]) -> Tokenizer:
    return _tokenizer(model, cut_by(*patterns))


def _tokenizer(model: Any, pre_tokenizer: Any) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()  # what cleaning promises of a corpus
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _model(names: Sequence[str], merges: list[tuple[str, str]], **kept: Any) -> models.BPE:
    return models.BPE({name: at for at, name in enumerate(names)}, merges, **kept)


def _byte_names() -> list[str]:
    return [*SPECIAL_TOKENS, *ALPHABET]


def _bytes_of(words: Iterable[str]) -> list[Any]:
    """Give the ids of each word's bytes."""
    ids = np.empty(256, np.int32)
    ids[[BYTE_OF[one] for one in ALPHABET]] = np.arange(256) + len(SPECIAL_TOKENS)
    return [ids[np.frombuffer(word.encode(), np.uint8)] for word in words]


def _learn(
    sequences: Sequence[Any],
    words: Mapping[str, int],
    names: Sequence[str],
    config: TokenizerConfig,
    most: int,
    tokens: Any = None,
    most_words: int = 0,
) -> tuple[list[str], list[tuple[str, str]], Any]:
    """Merge until there are `most` tokens; returns names, merges by name, and `merges.Tokens`."""
    from tasks.tokenizer.merges import first_tokens, merge_pairs

    ends = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
    symbols = np.concatenate([np.empty(0, np.int32), *sequences]).astype(np.int32)
    counts = np.fromiter(words.values(), np.int64, len(words))
    known = tokens or first_tokens(len(names))
    found, tokens = merge_pairs(
        symbols, ends, counts, known, most, config.min_frequency, most_words
    )
    names, merges = list(names), []
    for left, right, made in found:
        if made == len(names):
            names.append(names[left] + names[right].removeprefix(CONTINUES))
        merges.append((names[left], names[right]))
    return names, merges, tokens
