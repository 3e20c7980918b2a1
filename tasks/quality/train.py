"""From examples to a model, and what it says of those that were held out.

Sampling, split and the order of every pass follow hashes of the examples' texts; the passes are one
thread's. So the same examples give the same weights, in whatever files and order they lie.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.errors import CorpusTooSmall, Fault, RequestError
from tasks.quality.classifiers import Linear
from tasks.quality.examples import ReferenceExamples
from tasks.quality.examples.reading import Example, draw_documents, rank, read_examples
from tasks.quality.model import Bags, LinearModel, bag, strings_of

MIN_EXAMPLES = 50
"""Of each side: of fewer, what is held out says nothing."""

MIN_HOSTS = 20
_TOP = 40
_MIN_TEXTS = 3
"""An n-gram of fewer texts is not told: it would quote them, and decides little."""


@dataclass(frozen=True)
class Split:
    """The two sides, in the order of the examples, and what kept them apart."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    rule: Literal["host", "text"]


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
    good, bad = (side.held_out for side in sides)
    labels = (1,) * len(good) + (0,) * len(bad)
    scores = model.score(_texts([*good, *bad])).tolist()
    return HeldOut(labels, tuple(scores), tuple(e.language for e in (*good, *bad)))


def _texts(examples: Sequence[Example]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([e.text for e in examples], pa.large_string())])


def split(examples: Sequence[Example], share: float, seed: int) -> Split:
    """Hold `share` of the examples (0-1) out, by the hashes of their hosts or texts.

    Pages of one host share a frame, an author and often their text: a model that has seen one knows
    the others. So a host's examples are all on one side; hosts with more pages than still fit are
    trained from. Where there are too few hosts for that, or no URLs, texts are told apart by their
    normalised form, of which each is one example.
    """
    hosts = {example.id: _host(example.url) for example in examples}
    if len(set(hosts.values())) >= MIN_HOSTS:
        apart = _split_by(hosts, examples, share, seed, "host")
        if len(apart.held_out) >= share * len(examples) / 2:
            return apart
    return _split_by({name: name for name in hosts}, examples, share, seed, "text")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _split_by(
    group_of: dict[str, str],
    examples: Sequence[Example],
    share: float,
    seed: int,
    rule: Literal["host", "text"],
) -> Split:
    groups = defaultdict[str, list[str]](list)
    for example in examples:
        groups[group_of[example.id]].append(example.id)
    room, held = max(1, math.floor(share * len(examples) + 0.5)), set[str]()
    for name in sorted(groups, key=lambda name: (rank(seed, f"held out {name}"), name)):
        if len(held) + len(groups[name]) <= room:
            held.update(groups[name])
    train, held_out = (tuple(e for e in examples if (e.id in held) is out) for out in (False, True))
    return Split(train, held_out, rule)


def telling_ngrams(
    model: LinearModel, texts: pa.ChunkedArray, bags: Bags, labels: npt.NDArray[np.uint8]
) -> dict[str, Any]:
    """The n-grams that set the examples apart most, for good and for bad.

    They show whether a model has learnt style or boilerplate. They are ordered by weight times the
    difference between their mean shares of a good and of a bad text's n-grams. Each comes with its
    weight (in logits) and the shares of good and of bad texts (0-1) that it stands in; `also` are
    other n-grams that fall into the same bucket.
    """
    num = model.features.num_buckets
    is_good = np.repeat(labels == 1, np.diff(bags.ends, prepend=0))
    num_good, num_bad = (max(int((labels == label).sum()), 1) for label in (1, 0))
    good, bad = (np.bincount(bags.buckets[of], minlength=num) for of in (is_good, ~is_good))
    shares = [np.bincount(bags.buckets[of], bags.shares[of], num) for of in (is_good, ~is_good)]
    apart = model.weights * (shares[0] / num_good - shares[1] / num_bad)
    apart = np.where((good + bad >= _MIN_TEXTS) & (apart > 0), apart, 0.0)
    wanted = {
        side: _first(np.where(sign * model.weights > 0, apart, 0.0))
        for side, sign in (("good", 1), ("bad", -1))
    }
    names = _names(model, texts, np.concatenate(list(wanted.values())))
    return {
        side: [
            {
                "ngram": names[bucket][0],
                "also": names[bucket][1:],
                "weight": round(float(model.weights[bucket]), 4),
                "in_good": round(int(good[bucket]) / num_good, 4),
                "in_bad": round(int(bad[bucket]) / num_bad, 4),
            }
            for bucket in buckets.tolist()
        ]
        for side, buckets in wanted.items()
    }


def _first(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The buckets of the greatest positive values, in order."""
    ordered = np.argsort(-values, kind="stable")[:_TOP]
    return ordered[values[ordered] > 0]


def _names(
    model: LinearModel, texts: pa.ChunkedArray, buckets: npt.NDArray[np.int64]
) -> dict[int, list[str]]:
    """The n-grams in each bucket, the most frequent first, three at most."""
    counts = defaultdict[int, Counter[str]](Counter)
    for place, ngram in strings_of(texts, model.features, buckets):
        counts[int(buckets[place])][ngram] += 1
    return {
        bucket: [ngram for ngram, _ in sorted(of.items(), key=lambda item: (-item[1], item[0]))[:3]]
        for bucket, of in counts.items()
    }
