"""Sequences: token ids, packed, each with the documents that they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.artifacts.artifact import TRAIN, Artifact, ArtifactType, Table
from tasks.artifacts.tokenizer import TOKENIZER

_TOKENS = 96


class Sequences(ArtifactType):
    """Rows of token ids in a train and a validation split."""

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give the beginning of the first sequence, decoded."""
        from tasks.lm.tokens import load_tokenizer

        tokenizer = load_tokenizer(artifact.input(TOKENIZER).folder())
        rows = artifact.first_rows("train/", ["input_ids"], 1)
        ids = rows[0]["input_ids"][:_TOKENS] if rows else []
        text = tokenizer.decode(ids, skip_special_tokens=False)
        yield f"The first {len(ids)} tokens of the first sequence:\n\n{text}"


SEQUENCES = Sequences(
    "sequences",
    "sequences",
    (
        Table(
            "sequences",
            {TRAIN: "train/", "validation": "validation/"},
            "token ids, and which positions come from which document",
        ),
    ),
)
