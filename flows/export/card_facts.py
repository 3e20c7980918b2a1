"""What a model scored, as the cards and the Hub's `model-index` say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flows.export.provenance import Provenance
from storage.manifest import Manifest

_HELD_OUT = "held-out documents"
_ANSWERS = "answers for held-out names"


@dataclass(frozen=True)
class Score:
    """Bits per byte of a text by one model; `own` is the one that the card is about."""

    dataset: str
    subject: str
    value: float
    own: bool


def base_model(facts: Provenance) -> Manifest | None:
    """The pretrained model in a lineage."""
    return facts.find("pretrain")


def evaluation(facts: Provenance) -> list[Score]:
    """What was measured of a model, beside what simple models and the base model reach."""
    name = facts.manifest.name
    found = [
        _score(facts.find("shard"), "unigram_bits_per_byte", _HELD_OUT, "unigram tokens"),
        _score(facts.find("shard"), "xz_bits_per_byte", _HELD_OUT, "`xz -9`"),
        _score(
            facts.find("pretrain"),
            "validation_bits_per_byte",
            _HELD_OUT,
            "this model" if name == "pretrain" else "its base model",
            own=name == "pretrain",
        ),
        _score(facts.find("finetune"), "held_out_bits_per_byte_before", _ANSWERS, "its base model"),
        _score(facts.find("finetune"), "held_out_bits_per_byte", _ANSWERS, "this model", own=True),
    ]
    return (
        [score for score in found if score is not None] if name in ("pretrain", "finetune") else []
    )


def model_index(facts: Provenance, title: str) -> list[dict[str, Any]]:
    """The model's own scores in the Hub's format.

    Source: https://github.com/huggingface/hub-docs/blob/main/modelcard.md
    """
    results = [
        {
            "task": {"type": "text-generation", "name": "Language modelling"},
            "dataset": {"type": "phusa", "name": score.dataset},
            "metrics": [{"type": "bits_per_byte", "name": "Bits per byte", "value": score.value}],
        }
        for score in evaluation(facts)
        if score.own
    ]
    return [{"name": title, "results": results}]


def _score(
    manifest: Manifest | None, key: str, dataset: str, subject: str, *, own: bool = False
) -> Score | None:
    value = None if manifest is None else manifest.stats.get(key)
    if not isinstance(value, int | float):
        return None
    return Score(dataset, subject, float(value), own)
