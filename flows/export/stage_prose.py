"""One sentence of a card for each stage: what it did with the knobs that it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flows.export.provenance import public
from storage.manifest import Manifest

Config = dict[str, Any]


def sentence(manifest: Manifest) -> str:
    """What a stage did, from its manifest; a general sentence where a knob is not as expected."""
    try:
        return _SENTENCES[manifest.name](manifest, public(manifest.config))
    except (KeyError, TypeError, ValueError):  # made by another version, with other knobs
        return f"The stage `{manifest.name}` ran with the configuration below."


def listed(words: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def counted(number: Any, noun: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _first(words: list[str]) -> str:
    more = [f"{len(words) - 5:,} more"] if len(words) > 5 else []
    return listed([*words[:5], *more])


def _crawl(manifest: Manifest, config: Config) -> str:
    source = config["source"]
    if source["kind"] != "web":
        return f"Pages came from a source of kind `{source['kind']}`."
    return (
        f"{manifest.rows_out:,} HTML pages were fetched by following links from "
        f"{_first(source['seeds'])}, up to {source['max_depth']} links deep and "
        f"{source['max_pages']:,} pages at most. robots.txt was obeyed."
    )


def _clean(manifest: Manifest, config: Config) -> str:
    filters = listed(f"`{rule['kind']}`" for rule in config["filters"] or [{"kind": "none"}])
    kept = f" Kept were documents in {listed(config['languages'])}." if config["languages"] else ""
    return (
        f"Text was taken from the HTML with {config['extractor']['kind']}, and its language "
        f"detected with fastText lid.176.{kept} Quality filters: {filters}."
    )


def _quality(manifest: Manifest, config: Config) -> str:
    if config["classifier"] is None:
        return "No quality classifier was on: every document passed."
    bound = config["threshold"] if config["keep_share"] is None else config["keep_share"]
    asked = "scored at least" if config["keep_share"] is None else "were the best share of"
    kept = f"Kept were those that {asked} {bound}"
    if config["action"] == "score":
        kept = "All were kept"
    return (
        f"Every document was scored by a `{config['classifier']['kind']}` quality classifier, "
        f"whose AUC on held-out examples was {manifest.stats['held_out_auc']:.3f}. {kept}."
    )


def _dedup(manifest: Manifest, config: Config) -> str:
    methods = listed(f"`{method['kind']}`" for method in config["methods"])
    by = config.get("shingles") or {
        "size": config["shingle_words"],
        "unit": "words",
    }  # of version 1
    return (
        f"Of documents that resemble each other one was kept: the others reach an exact Jaccard "
        f"similarity of {config['threshold']:g} with it, over shingles of "
        f"{by['size']} {by['unit']}. Pairs to measure came from {methods}."
    )


def _tokenizer(manifest: Manifest, config: Config) -> str:
    return (
        f"A byte-level BPE of {manifest.rows_out:,} entries was trained on these documents, with "
        f"the pre-tokenizer split of `{config['split']}`."
    )


def _shard(manifest: Manifest, config: Config) -> str:
    return (
        f"Documents were tokenized and packed into sequences of {config['sequence_length']:,} "
        f"tokens. {config['validation_share']:.1%} of the URLs, drawn by their hash, were held out."
    )


def _pretrain(manifest: Manifest, config: Config) -> str:
    stats = manifest.stats
    return (
        f"A `{config['model']['kind']}` decoder of {stats['parameters']:,} parameters was trained "
        f"from scratch on {stats['tokens']:,} tokens ({stats['epochs']:g} epochs; "
        f"{stats['compute']})."
    )


def _finetune(manifest: Manifest, config: Config) -> str:
    stats = manifest.stats
    pairs = counted(stats["pairs"], "instruction pair")
    epochs = counted(config["epochs"], "epoch")
    return (
        f"A `{config['adapter']['kind']}` adapter of {stats['trainable_parameters']:,} parameters "
        f"was trained on {pairs}, whose answers are quoted from the documents, in {epochs} "
        f"({stats['compute']}), and merged into the base model. {stats['held_out_pairs']:,} pairs "
        "were held out."
    )


_SENTENCES: dict[str, Callable[[Manifest, Config], str]] = {
    "crawl": _crawl,
    "clean": _clean,
    "quality": _quality,
    "dedup": _dedup,
    "tokenizer": _tokenizer,
    "shard": _shard,
    "pretrain": _pretrain,
    "finetune": _finetune,
}
