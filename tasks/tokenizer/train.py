"""Train a tokenizer and lay it out as transformers' AutoTokenizer reads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unicodedata import category

from tokenizers import AddedToken, Tokenizer, processors

from storage.errors import CorpusTooSmall
from storage.parquet import read_tables
from tasks.lm.tokens import (
    ASSISTANT,
    CHAT_TEMPLATE,
    END_OF_TEXT,
    END_OF_TURN,
    PAD,
    SPECIAL_TOKENS,
    SYSTEM,
    TOOL,
    USER,
    Split,
    TextEncoder,
)
from tasks.tokenizer.config import SMALLEST_VOCABULARY, Kind, TokenizerConfig
from tasks.tokenizer.kinds import (
    train_bpe,
    train_bytes,
    train_characters,
    train_superbpe,
    train_wordpiece,
)

# Of all characters. English, Vietnamese in NFC and the like have next to none; Hindi a third, Thai
# a fifth, so that one document in fifty of them is enough.
_MARKS_SHARE = 0.004

_TRAINERS: dict[Kind, Callable[[Iterable[str], TokenizerConfig, Split, Path | None], Tokenizer]] = {
    "bpe": train_bpe,
    "superbpe": train_superbpe,
    "wordpiece": train_wordpiece,
    "characters": train_characters,
    "bytes": train_bytes,
}


def train_tokenizer(
    texts: Iterable[str],
    config: TokenizerConfig,
    sample: Sequence[str] = (),
    scratch: Path | None = None,
) -> Tokenizer:
    """Train on `texts`; the same texts in any order give the same vocabulary.

    `texts` is gone through more than once by some kinds. What does not fit in memory lies in
    `scratch`. `sample` is some of them, for which a split is chosen if the configuration leaves it
    open.
    Raises CorpusTooSmall if the texts do not hold enough different pairs.
    """
    split = choose_split(sample) if config.split == "auto" else config.split
    tokenizer = _TRAINERS[config.kind](texts, config, split, scratch)
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    tokenizer.add_special_tokens(special)
    found = tokenizer.get_vocab_size()
    if found < config.vocab_size:
        raise CorpusTooSmall(
            f"the corpus gives a vocabulary of {found} entries; expected "
            f"tokenizer.vocab_size={config.vocab_size}. Crawl more text, or ask for less with "
            f"--set tokenizer.vocab_size={max(found, SMALLEST_VOCABULARY)}."
        )
    tokenizer.post_processor = processors.TemplateProcessing(  # as documents begin in training
        single=f"{END_OF_TEXT} $A",
        special_tokens=[(END_OF_TEXT, tokenizer.token_to_id(END_OF_TEXT))],
    )
    return tokenizer


def bytes_per_token(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """Bytes of `texts` for each token that they become; they must hold at least one."""
    encodings = TextEncoder(tokenizer).encode_batch(texts)
    return sum(len(text.encode()) for text in texts) / sum(map(len, encodings))


def document_texts(documents: Sequence[Path]) -> Iterator[str]:
    """The texts of all documents, shard by shard."""
    for table in read_tables(documents):
        yield from table["text"].to_pylist()


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json for `AutoTokenizer.from_pretrained`."""
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": PAD,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1 << 30,  # until there is a model, which has a context
        "additional_special_tokens": [SYSTEM, USER, ASSISTANT, TOOL, END_OF_TURN],
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def choose_split(texts: Iterable[str]) -> Split:
    """Choose the split for texts: one that keeps combining marks in their words where there are
    more than a few."""
    counts = Counter[str]()
    for text in texts:
        counts.update(text)
    marks = sum(n for character, n in counts.items() if category(character).startswith("M"))
    return "qwen35" if marks > _MARKS_SHARE * counts.total() else "qwen2"
