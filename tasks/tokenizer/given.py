"""A tokenizer that was made elsewhere: taken as it is, or extended by entries for other texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from storage.errors import CorpusTooSmall, Fault, RequestError
from tasks.lm.gguf import read_tokenizer
from tasks.lm.tokens import TextEncoder, load_tokenizer, merges_of, tokenizer_config

Merge = tuple[str, str]

# Ids as characters, of which none is a space or half a pair: a million of them.
_FIRST, _SURROGATES, _NUM_SURROGATES = 0x100, 0xD800, 0x800
_SPARE = 64  # merges learnt beyond what is asked for: some give an entry that is there already


def take_tokenizer(place: Path) -> TextEncoder:
    """Open the tokenizer of a folder or of a GGUF file.

    Raises RunError if nothing ends a text or its chat template takes no user and assistant, and
    RequestError if its ids have gaps: a model has a row for each.
    """
    if place.suffix == ".gguf":
        encoder = TextEncoder(*read_tokenizer(place))
    else:
        encoder = TextEncoder(load_tokenizer(place), tokenizer_config(place))
    size, last = encoder.tokenizer.get_vocab_size(), max(encoder.tokenizer.get_vocab().values())
    if size != last + 1:
        expected = f"every id from 0 to {last}"
        remedy = "Add tokens for the missing ids to its tokenizer.json."
        fault = Fault(str(place), f"{size} entries up to id {last}", expected, remedy, "id_gaps")
        raise RequestError(fault)
    encoder.stops  # noqa: B018  (raises what a training would end with)
    return encoder


def save_given(encoder: TextEncoder, folder: Path) -> None:
    """Write a tokenizer as the two files that all of phusa and AutoTokenizer read.

    `tokenizer_class` is the one that does what tokenizer.json says: others build their own splits.
    Code that a configuration names is not taken along.
    """
    (folder / "tokenizer.json").write_text(encoder.tokenizer.to_str(pretty=True), encoding="utf-8")
    said = {key: value for key, value in encoder.config.items() if key != "auto_map"}
    said["tokenizer_class"] = "PreTrainedTokenizerFast"
    text = json.dumps(said, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def extend_tokenizer(
    encoder: TextEncoder, texts: Iterable[str], num_entries: int, min_frequency: int
) -> TextEncoder:
    """Learn entries for `texts` on top of a BPE: all ids, and all merges before, stay.

    New merges join what the old ones leave, so that other texts become the tokens that they were,
    unless they have such neighbours, too. Raises CorpusTooSmall if the texts do not give so many,
    RequestError for a model that is no BPE.
    """
    described = json.loads(encoder.tokenizer.to_str())
    model = described["model"]
    if model["type"] != "BPE":
        remedy = "Leave tokenizer.extend_by out, or take another tokenizer."
        fault = Fault("tokenizer.base", model["type"], "a BPE, to extend it", remedy, "not_a_bpe")
        raise RequestError(fault)
    entries = dict(encoder.tokenizer.get_vocab())
    added, size = [], len(entries)
    for a, b in _learn_merges(encoder, texts, num_entries, min_frequency):
        if len(entries) == size + num_entries:
            break
        entries.setdefault(a + b, len(entries))
        added.append((a, b))
    found = len(entries) - size
    if found < num_entries:
        raise CorpusTooSmall(
            f"the corpus gives {found} new entries; expected tokenizer.extend_by={num_entries}. "
            f"Crawl more text, or ask for less with --set tokenizer.extend_by={found}."
        )
    model["vocab"] |= {text: at for text, at in entries.items() if at >= size}
    model["merges"] = [*merges_of(model), *map(list, added)]
    return TextEncoder(Tokenizer.from_str(json.dumps(described)), encoder.config)


def _learn_merges(
    encoder: TextEncoder, texts: Iterable[str], count: int, min_frequency: int
) -> Iterator[Merge]:
    """Find the pairs of pieces that are merged next, in order.

    Each piece is a character to `tokenizers`' own trainer, each word a word: it merges characters.
    """
    pieces = {chr(_character(at)): text for text, at in encoder.tokenizer.get_vocab().items()}
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    wanted = len(pieces) + count + count // 8 + _SPARE
    trainer = trainers.BpeTrainer(
        vocab_size=wanted,
        min_frequency=min_frequency,
        initial_alphabet=sorted(pieces),
        show_progress=False,
    )
    learner.train_from_iterator(_as_characters(encoder, texts), trainer)
    for a, b in json.loads(learner.to_str())["model"]["merges"]:
        yield "".join(map(pieces.__getitem__, a)), "".join(map(pieces.__getitem__, b))


def _character(at: int) -> int:
    code = at + _FIRST
    return code + _NUM_SURROGATES if code >= _SURROGATES else code


def _as_characters(encoder: TextEncoder, texts: Iterable[str]) -> Iterator[str]:
    """Write each text's words with a character for a piece."""
    for text in texts:
        found = encoder.text_tokenizer.encode(text, add_special_tokens=False)
        words: list[str] = []
        last = None
        for at, token, word in zip(found.ids, found.tokens, found.word_ids, strict=True):
            # Where nothing splits text before merging, a word begins with its space.
            if word != last or token.startswith("▁"):
                words.append(" ")
            words.append(chr(_character(at)))
            last = word
        yield "".join(words)
