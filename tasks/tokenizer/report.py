"""What a tokenizer makes of text, measured when it is made, beside plainer ones.

The measured text is a draw of the documents. The tokenizer has been trained on it, as on all
documents: holding some back would change every vocabulary for the sake of a report. So two more are
trained on other documents of the draw alone, with its own knobs and with GPT-2's split: they are
compared on text that neither has seen, and the first tells what the tokenizer's own figures owe to
having seen it. GPT-2's published vocabulary is of English and of one size; docs/tokens.md measures
it.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer

from storage.errors import CorpusTooSmall
from tasks.lm.tokens import TextEncoder
from tasks.lm.vocabulary import Sample, entry_bytes, shown
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.train import train_tokenizer
from tasks.words import count_words

OWN, HELD_OUT, GPT2 = "own", "held_out", "gpt2"
_SHOWN = 12  # entries of a list
_RANKS = 64  # points of the curve of use


def make_report(tokenizer: Tokenizer, config: TokenizerConfig, sample: Sample) -> dict[str, Any]:
    """Measure a tokenizer on a sample of what it was trained on; the same for the same text."""
    entries = entry_bytes(tokenizer)
    encoded = TextEncoder(tokenizer).encode_batch(sample.texts)
    counts = Counter(token for ids in encoded for token in ids)
    size, peers = _trained_beside(config, sample.beside)
    tokens = {OWN: [len(ids) for ids in encoded]} | {
        name: list(map(len, TextEncoder(peer).encode_batch(sample.texts)))
        for name, peer in peers.items()
    }
    return {
        "documents": len(sample.texts),
        "bytes": sample.num_bytes,
        "entries": tokenizer.get_vocab_size(),
        "peers": {"entries": size, "trained_on_bytes": _num_bytes(sample.beside)},
        "languages": _by_language(sample, tokens),
        "coverage": _coverage(tokenizer, sample.texts, encoded),
        "used": sum(1 for index in entries if counts[index]),
        "usable": len(entries),
        "ranks": list(_ranks(sorted(counts.values(), reverse=True))),
        "lengths": sorted(Counter(map(len, entries.values())).items()),
        "longest": [
            shown(e) for e in sorted(entries.values(), key=lambda e: (-len(e), e))[:_SHOWN]
        ],
        "strangest": list(_strangest(entries)),
        "not_utf8": _not_utf8(entries.values()),
    }


def stats_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Give what gates are set on: the share of the vocabulary that is used, and bytes a token of
    each language that has a hundredth of the text."""
    rows, whole = report["languages"], max(report["bytes"], 1)
    return {
        "used_share": report["used"] / max(report["usable"], 1),
        "language_bytes_per_token": {
            language: row["bytes_per_token"][OWN]
            for language, row in rows.items()
            if language and row["bytes"] >= _LEAST * whole and OWN in row["bytes_per_token"]
        },
    }


_LEAST = 0.01


def _trained_beside(
    config: TokenizerConfig, texts: Sequence[str]
) -> tuple[int, dict[str, Tokenizer]]:
    """Train the two peers, with half as many entries each time that the texts hold too few."""
    size = config.vocab_size
    while True:
        own = config.model_copy(update={"vocab_size": size})
        gpt2 = TokenizerConfig(vocab_size=size, split="gpt2", min_frequency=config.min_frequency)
        try:
            return size, {
                HELD_OUT: train_tokenizer(texts, own, texts),
                GPT2: train_tokenizer(texts, gpt2),
            }
        except CorpusTooSmall:
            if size == config.smallest_vocabulary:
                return 0, {}
            size = max(size // 2, config.smallest_vocabulary)


def _by_language(sample: Sample, tokens: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Add up each language, the one with most text first, and all as the empty one."""
    found: dict[str, Counter[str]] = {"": Counter()}
    for at, (text, language) in enumerate(zip(sample.texts, sample.languages, strict=True)):
        row = Counter(documents=1, bytes=len(text.encode()), words=count_words(text, language))
        row.update({name: of[at] for name, of in tokens.items()})
        found[""].update(row)
        found.setdefault(language, Counter()).update(row)
    ordered = sorted(found.items(), key=lambda item: (-item[1]["bytes"], item[0]))
    return {language: _rates(row, tokens) for language, row in ordered}


def _rates(row: Counter[str], names: Iterable[str]) -> dict[str, Any]:
    rates = {name: row["bytes"] / row[name] for name in names if row[name]}
    words = {"tokens_per_word": row[OWN] / row["words"]} if row["words"] else {}
    return {name: row[name] for name in ("documents", "bytes", "words")} | {
        "bytes_per_token": rates, **words
    }  # fmt: skip


def _coverage(
    tokenizer: Tokenizer, texts: Sequence[str], encoded: Sequence[Sequence[int]]
) -> dict[str, float | None]:
    """Give the share of tokens that stand for known text, and of texts that read back the same."""
    model = json.loads(tokenizer.to_str())["model"]
    named = model.get("unk_token")
    unknown = model.get("unk_id") if named is None else tokenizer.token_to_id(named)
    total = sum(map(len, encoded))
    lost = 0 if unknown is None else sum(list(ids).count(unknown) for ids in encoded)
    back = tokenizer.decode_batch([list(ids) for ids in encoded], skip_special_tokens=False)
    normal = tokenizer.normalizer
    same = sum(
        a == (normal.normalize_str(b) if normal else b) for a, b in zip(back, texts, strict=True)
    )
    return {
        "known_tokens": (total - lost) / total if total else None,
        "same_texts": same / len(texts) if texts else None,
    }


def _ranks(uses: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give (rank, uses) from the most used entry to the least, as close as a curve needs."""
    last = 0
    for step in range(_RANKS):
        rank = round(len(uses) ** (step / (_RANKS - 1))) if uses else 0
        if rank > last:
            yield rank, uses[rank - 1]
        last = max(last, rank)


def _not_utf8(entries: Iterable[bytes]) -> dict[str, Any]:
    broken = [entry for entry in entries if not _is_text(entry)]
    longer = sorted((e for e in broken if len(e) > 1), key=lambda e: (-len(e), e))
    return {
        "entries": len(broken),
        "longer": len(longer),
        "longest": [shown(e) for e in longer[:_SHOWN]],
    }


def _is_text(entry: bytes) -> bool:
    try:
        entry.decode()
    except UnicodeDecodeError:
        return False
    return True


def _strangest(entries: Mapping[int, bytes]) -> Iterator[tuple[str, str]]:
    """Give entries that no word of one language has, the latest first, with what is strange."""
    texts = (entry.decode() for entry in reversed(list(entries.values())) if _is_text(entry))
    found = ((text, why) for text in texts if len(text) > 1 and (why := _strangeness(text)))
    for _, (text, why) in zip(range(_SHOWN), found, strict=False):
        yield shown(text.encode()), why


def _strangeness(text: str) -> str:
    if any(unicodedata.category(c) in _ODD and c not in "\n\r\t" for c in text):
        return "a control, private or unassigned character"
    scripts = {script for c in text if c.isalpha() and (script := _script(c))}
    if len(scripts) > 1 and not scripts <= _JAPANESE:
        return f"{' and '.join(sorted(scripts))} in one"
    if len(text) >= 16 and len(set(text)) == 1 and not text.isspace():
        return "one character again and again"
    return ""


_ODD = {"Cc", "Cf", "Co", "Cn"}
_JAPANESE = {"cjk", "hiragana", "katakana", "katakana-hiragana"}


@lru_cache(1 << 16)
def _script(character: str) -> str:
    """Name the script of a letter: the first word of its Unicode name."""
    name = unicodedata.name(character, "").partition(" ")[0].lower()
    return "" if name in _OF_NO_SCRIPT else name


_OF_NO_SCRIPT = {"modifier", "feminine", "masculine", "micro", "fullwidth", "halfwidth"}


def _num_bytes(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)
