"""Train a byte-level BPE and lay it out as transformers' AutoTokenizer reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from storage.errors import CorpusTooSmall
from storage.parquet import read_tables
from tasks.lm.tokens import CHAT_TEMPLATE, END_OF_TEXT, PAD, SPECIAL_TOKENS, SPLIT_PATTERNS
from tasks.tokenizer.config import SMALLEST_VOCABULARY, TokenizerConfig


def train_tokenizer(texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    """Train on `texts`; the same texts in the same order give the same vocabulary.

    Raises CorpusTooSmall if the texts do not hold enough different pairs.
    """
    tokenizer = _untrained(config)
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    found = tokenizer.get_vocab_size()
    if found < config.vocab_size:
        raise CorpusTooSmall(
            f"the corpus gives a vocabulary of {found} entries; expected "
            f"tokenizer.vocab_size={config.vocab_size}. Crawl more text, or ask for less with "
            f"--set tokenizer.vocab_size={max(found, SMALLEST_VOCABULARY)}."
        )
    return tokenizer


def bytes_per_token(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """Bytes of `texts` for each token that they become; they must hold at least one."""
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
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
        "model_max_length": 1 << 30,
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def _untrained(config: TokenizerConfig) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERNS[config.split]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
