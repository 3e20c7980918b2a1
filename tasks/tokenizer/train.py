"""Train a byte-level BPE and lay it out as transformers' AutoTokenizer reads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unicodedata import category

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

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
    pre_tokenizer_of,
)
from tasks.tokenizer.config import SMALLEST_VOCABULARY, TokenizerConfig

# Of all characters. English, Vietnamese in NFC and the like have next to none; Hindi a third, Thai
# a fifth, so that one document in fifty of them is enough.
_MARKS_SHARE = 0.004


def train_tokenizer(
    texts: Iterable[str], config: TokenizerConfig, sample: Sequence[str] = ()
) -> Tokenizer:
    """Train on `texts`; the same texts in the same order give the same vocabulary.

    `sample` is some of them, for which a split is chosen if the configuration leaves it open.
    Raises CorpusTooSmall if the texts do not hold enough different pairs.
    """
    split = choose_split(sample) if config.split == "auto" else config.split
    tokenizer = _untrained(split)
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


def _untrained(split: Split) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()  # what cleaning promises of a corpus
    tokenizer.pre_tokenizer = pre_tokenizer_of(split)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
