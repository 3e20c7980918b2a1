"""Training tokenizers, and SuperBPE beside BPE: tokens of held-out text, bits per byte.

`python -m benchmarks.tokenizers FOLDER...`, each a folder of one language's HTML manual, such as
`usr/share/libreoffice/help/vi` of Debian's `libreoffice-help-vi` and `.../en-US` of
`libreoffice-help-en-us` (the same book; a good part of the Vietnamese one stands in English).
Every tenth page is held out. `--entries` and `--flops` make it smaller.

Bits per byte: Llamas of 3 layers of 128 and 4 heads, three seeds, as many steps of 16 x 256
tokens as cost the same multiplications with either tokenizer.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dedup_documents import _plain
from benchmarks.ledger import record
from tasks.lm.tokens import SPECIAL_TOKENS, TextEncoder
from tasks.tokenizer.config import Kind, TokenizerConfig
from tasks.tokenizer.kinds import ALPHABET
from tasks.tokenizer.train import train_tokenizer

COMMAND = "python -m benchmarks.tokenizers"
_LENGTH, _BATCH, _SEEDS = 256, 16, 3


def manual(folder: Path) -> tuple[list[str], list[str]]:
    """Give the texts of a manual: what is trained on, and every tenth page."""
    pages = [p.read_text("utf-8", "replace") for p in sorted(folder.rglob("*.html"))]
    texts = [text for text in map(_plain, pages) if text]
    return [text for at, text in enumerate(texts) if at % 10], texts[::10]


def training(name: str, texts: list[str], entries: int) -> None:
    """Record BPE's training by us and by `tokenizers`, whose vocabulary must be the same."""
    from tokenizers import Tokenizer, models, trainers

    config = TokenizerConfig(vocab_size=entries, split="qwen2")
    train_tokenizer(texts[:50], config.model_copy(update={"vocab_size": 300}))  # compiled, loaded
    ours, theirs = [], []
    for _ in range(3):
        began = time.process_time()
        made = train_tokenizer(texts, config)
        ours.append(time.process_time() - began)
        peer = Tokenizer(models.BPE())
        peer.normalizer, peer.pre_tokenizer = made.normalizer, made.pre_tokenizer
        trainer = trainers.BpeTrainer(
            vocab_size=entries,
            min_frequency=2,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=list(ALPHABET),
            show_progress=False,
        )
        began = time.process_time()
        peer.train_from_iterator(texts, trainer)
        theirs.append(time.process_time() - began)
    assert made.get_vocab() == peer.get_vocab()
    mine, other = statistics.median(ours), statistics.median(theirs)
    size = sum(len(text.encode()) for text in texts) / 1e6
    what = f"{size:.1f} MB, {entries} entries, CPU s; peer: tokenizers, the same vocabulary"
    row = (f"{mine:.2f}", f"{other:.2f}", f"{other / mine:.1f}x", COMMAND)
    record(f"training BPE, {name}", what, *row)


def bits_per_byte(
    encoder: TextEncoder, train: list[str], held: list[str], flops: float, seed: int
) -> float:
    """Train a small Llama for so many multiplications; gives what a held-out byte costs it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = LlamaConfig(
        vocab_size=encoder.tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        tie_word_embeddings=True,
        max_position_embeddings=_LENGTH,
    )
    model: Any = LlamaForCausalLM(shape)
    weights = sum(p.numel() for p in model.parameters())
    attention = 2 * 3 * _LENGTH * 128
    steps = int(flops / (6 * (weights + attention) * _LENGTH * _BATCH))
    ids = torch.tensor(np.concatenate([encoder.begin(text) for text in train]))
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, max(2, steps), pct_start=0.1)
    for _ in range(steps):
        starts = torch.randint(len(ids) - _LENGTH - 1, (_BATCH, 1), generator=draw)
        rows = ids[starts + torch.arange(_LENGTH)]
        model(rows, labels=rows).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay.step()
        optimizer.zero_grad()
    nats = 0.0
    with torch.no_grad():
        for text in held[::5]:  # a fifth of it is enough
            for piece in torch.tensor(encoder.begin(text)).split(_LENGTH):
                if len(piece) > 1:
                    row = piece[None]
                    nats += float(model(row, labels=row).loss) * (len(piece) - 1)
    return nats / math.log(2) / sum(len(text.encode()) for text in held[::5])


def compare(name: str, train: list[str], held: list[str], entries: int, flops: float) -> None:
    """Record SuperBPE beside BPE."""
    size = sum(len(text.encode()) for text in held)
    tokens, bits = {}, {}
    kinds: tuple[Kind, ...] = ("superbpe", "bpe")
    for kind in kinds:
        config = TokenizerConfig(kind=kind, vocab_size=entries, split="qwen2")
        encoder = TextEncoder(train_tokenizer(train, config))
        tokens[kind] = sum(map(len, encoder.encode_batch(held))) / size
        runs = [bits_per_byte(encoder, train, held, flops, seed) for seed in range(_SEEDS)]
        bits[kind] = statistics.mean(runs), max(runs) - min(runs)
        print(name, kind, tokens[kind], runs, flush=True)
    ours, peer = tokens["superbpe"], tokens["bpe"]
    what = f"{size / 1e6:.1f} MB held out, {entries} entries; peer: bpe"
    row = (f"{ours:.4f}", f"{peer:.4f}", f"{1 - ours / peer:.1%} fewer", COMMAND)
    record(f"tokens a byte, superbpe, {name}", what, *row)
    (mine, spread), (other, its) = bits["superbpe"], bits["bpe"]
    what = f"3 layers of 128, {flops:.0e} FLOPs each, mean of three seeds (spread); peer: bpe"
    shown = (f"{mine:.3f} ({spread:.3f})", f"{other:.3f} ({its:.3f})", f"{mine / other:.3f}")
    record(f"bits per byte, superbpe, {name}", what, *shown, COMMAND)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--entries", type=int, default=32_000)
    parser.add_argument("--flops", type=float, default=8e12)
    asked = parser.parse_args()
    for folder in asked.folders:
        train, held = manual(folder)
        training(folder.name, train, asked.entries)
        compare(folder.name, train, held, asked.entries, asked.flops)


if __name__ == "__main__":
    main()
