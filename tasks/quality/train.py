"""From examples to a model, and what it says of those that were held out.

Sampling, split and the order of every pass follow hashes of the examples' texts; the passes are one
thread's. So the same examples give the same weights, in whatever files and order they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.errors import CorpusTooSmall, Fault, RequestError
from tasks.quality.classifiers import Linear
from tasks.quality.evidence import telling_ngrams
from tasks.quality.examples import ReferenceExamples
from tasks.quality.examples.corpus import draw_documents
from tasks.quality.examples.reading import Example, rank, read_examples
from tasks.quality.features import Bags, bag
from tasks.quality.model import LinearModel
from tasks.quality.split import Split, split

MIN_EXAMPLES = 50
"""Of each side: of fewer, what is held out says nothing."""


@dataclass(frozen=True)
class HeldOut:
    """What the model says of examples that it did not see: label (1 is good), score, language."""

    labels: tuple[int, ...]
    scores: tuple[float, ...]
    languages: tuple[str, ...]


@dataclass(frozen=True)
class Training:
    """A model, with what is needed to judge it."""

    model: LinearModel
    held_out: HeldOut
    examples: dict[str, Any]
    ngrams: dict[str, Any]


def train(config: Linear, documents: Sequence[Path]) -> Training:
    """Train a model from the configured examples; `documents` are the corpus.

    Raises RequestError for examples that cannot be read or are too few, CorpusTooSmall where the
    corpus has too few to draw from.
    """
    most, seed = config.max_examples, config.seed
    good_draw = read_examples(config.examples.good, most, seed)
    if isinstance(config.examples, ReferenceExamples):
        bad_draw = draw_documents(documents, most, seed)
    else:
        bad_draw = read_examples(config.examples.bad, most, seed)
    good = good_draw.examples()
    known = {example.id for example in good}
    bad = [example for example in bad_draw.examples() if example.id not in known]
    _require_enough(config, good, bad)
    sides = [split(side, config.held_out_share, seed) for side in (good, bad)]
    model, bags, labels = fit(config, sides)
    told = {
        name: {
            "given": draw.num_given,
            "used": len(side.train) + len(side.held_out),
            "held_out": len(side.held_out),
            "held_out_by": side.rule,
        }
        for name, draw, side in zip(("good", "bad"), (good_draw, bad_draw), sides, strict=True)
    }
    told["bad"]["also_good"] = len(bad_draw.examples()) - len(bad)
    texts = _texts([*sides[0].train, *sides[1].train])
    return Training(
        model, _hold_out(model, sides), told, telling_ngrams(model, texts, bags, labels)
    )


def _require_enough(config: Linear, good: Sequence[Example], bad: Sequence[Example]) -> None:
    """Also of one side alone: nothing can be told apart then."""
    few = {name: len(of) for name, of in (("good", good), ("bad", bad)) if len(of) < MIN_EXAMPLES}
    if "bad" in few and isinstance(config.examples, ReferenceExamples):
        raise CorpusTooSmall(
            f"the corpus gives {few['bad']} documents that are no good examples; expected at "
            f"least {MIN_EXAMPLES}. Crawl more, or give bad examples: examples: {{kind: files, …}}."
        )
    faults = [
        Fault(
            f"quality.classifier.examples.{name}",
            f"{number} different texts"
            + (" that are not among the good ones" if name == "bad" else ""),
            f"at least {MIN_EXAMPLES}",
            "Give more examples; texts that differ in case, numbers and white space are one.",
        )
        for name, number in few.items()
    ]
    if faults:
        raise RequestError(faults)


def fit(config: Linear, sides: Sequence[Split]) -> tuple[LinearModel, Bags, npt.NDArray[np.uint8]]:
    """Train from the training side of good and of bad examples, in this order.

    Returns the model, the n-grams of all of them, good before bad, and their labels (1 is good).
    """
    from tasks.quality.kernels import learn

    good, bad = (side.train for side in sides)
    examples = [*good, *bad]
    bags = bag(_texts(examples), config.features)
    labels = np.array([1] * len(good) + [0] * len(bad), np.uint8)
    class_weights = np.array([len(examples) / (2 * len(of)) for of in (bad, good)])
    weights, squares = (np.zeros(config.features.num_buckets) for _ in range(2))
    bias = np.zeros(2)
    for epoch in range(config.epochs):
        ranks = [rank(config.seed, f"{epoch} {example.id}") for example in examples]
        order = np.argsort(np.array(ranks, np.uint64), kind="stable")
        learn(
            order, bags.buckets, bags.shares, bags.ends, labels, class_weights, weights, squares,
            bias, config.learning_rate, config.l2,
        )  # fmt: skip
    model = LinearModel(config.features, weights.astype(np.float32), float(np.float32(bias[0])))
    return model, bags, labels


def _hold_out(model: LinearModel, sides: Sequence[Split]) -> HeldOut:
    held = [
        (example, label)
        for label, side in ((1, sides[0]), (0, sides[1]))
        for example in side.held_out
    ]
    scores = model.score(_texts([example for example, _ in held]))
    return HeldOut(
        tuple(label for _, label in held),
        tuple(scores.tolist()),
        tuple(example.language for example, _ in held),
    )


def _texts(examples: Sequence[Example]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([e.text for e in examples], pa.large_string())])
