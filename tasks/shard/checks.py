"""What token shards are measured by."""

from __future__ import annotations

from typing import ClassVar

from tasks.checks import Check, Made, Measure, growth, share, stat


def _tokens_per_byte(made: Made) -> float:
    tokens = stat(made, "train_tokens") + stat(made, "validation_tokens")
    return share(tokens, stat(made, "text_bytes"))


def _overlapping(made: Made) -> float | None:
    if "overlap_documents" not in made.stats:
        return None
    return share(stat(made, "overlap_documents"), stat(made, "overlap_measured"))


class ShardCheck(Check):
    """Bounds on one measure of token shards."""

    stage = "shard"
    about: ClassVar = {
        "growth": Measure(
            "sequences, relative to the last version's: -0.5 is half of them",
            "See which stage before this one lost text",
            growth,
            compares=True,
        ),
        "tokens_per_byte": Measure(
            "tokens for each byte of text, the end of each document included",
            "Train the tokenizer on these documents, with a larger tokenizer.vocab_size",
            lambda made, _: _tokens_per_byte(made),
        ),
        "validation_share": Measure(
            "share of the documents (0-1) that were held out",
            "Change shard.validation_share, or draw again with another shard.split_seed",
            lambda made, _: share(stat(made, "validation_documents"), made.rows_in),
        ),
        "validation_tokens": Measure(
            "tokens held out",
            "Raise shard.validation_share or crawl more pages",
            lambda made, _: stat(made, "validation_tokens"),
        ),
        "filled": Measure(
            "share of the positions of all sequences (0-1) that hold a token to predict",
            "Lower shard.sequence_length, or set shard.packing=concatenate",
            lambda made, _: stat(made, "filled"),
        ),
        "overlap_share": Measure(
            "share (0-1) of the 5-grams of held-out documents that occur in training",
            "Let what repeats stay together: shard.split, by default by cluster",
            lambda made, _: made.stats.get("overlap_share"),
            may_lack="not measured before version 2 of the stage",
        ),
        "overlap_documents": Measure(
            "share of the held-out documents (0-1) of whose 5-grams over half occur in training",
            "Lower shard.split.threshold, or keep whole hosts or directories together",
            lambda made, _: _overlapping(made),
            may_lack="not measured before version 2 of the stage",
        ),
        "xz_bits_per_byte": Measure(
            "what `xz -9` needs for a byte of the held-out text, in bits: little for text that "
            "repeats itself, much for what is no text",
            "Read some documents; sharpen clean.filters or lower dedup.threshold",
            lambda made, _: stat(made, "xz_bits_per_byte"),
        ),
    }


DEFAULTS = (
    # A token is at least a byte of text or the end of a document, and in no language 50 bytes:
    # outside of these bounds tokens or texts were lost, or documents are a few bytes long.
    ShardCheck(measure="tokens_per_byte", min=0.02, max=1.25),
    # 0.25-0.4 in most languages; a jump means that the tokenizer no longer fits the text.
    ShardCheck(measure="tokens_per_byte", max=0.7, max_rise=0.05, severity="warn"),
    # The score of a model is measured on these documents: on others it is another score.
    ShardCheck(measure="validation_share", max_rise=0.05, max_fall=0.05, severity="warn"),
    # Bits of a token scatter by about 3: on 1 000 of them the mean is uncertain by 0.1.
    ShardCheck(measure="validation_tokens", min=1000, severity="warn"),
    # By cluster 0.13 in the demo; by URL 0.42 there, and 0.95 of two versions of one manual.
    ShardCheck(measure="overlap_documents", max=0.25, severity="warn"),
    # Prose and documentation: 1.3-2.5. Under 0.5 it is packed 16:1, over 5 it is noise.
    ShardCheck(measure="xz_bits_per_byte", min=0.5, max=5.0, severity="warn"),
)


measures = ShardCheck.measures
