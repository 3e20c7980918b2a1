"""What a quality classifier has learnt, and what it makes of the corpus, for people to judge it.

N-grams are from the web: they stand in fenced blocks alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.artifacts.artifact import Artifact
from tasks.page import Picture, Section, escape, fence, new_figure, number, png_of, table

EVALUATION = "evaluation.json"
_NGRAMS = 20
_LANGUAGES = 12


def sections(artifact: Artifact) -> Iterator[Section]:
    """Show the evaluation, the scores of the corpus and the n-grams that decide.

    Nothing for an artifact without a classifier.
    """
    if not artifact.has(EVALUATION):
        return
    (path,) = artifact.files(EVALUATION)
    told: dict[str, Any] = json.loads(path.read_bytes())
    corpus = told["corpus"]
    png = draw_scores(corpus["histogram"], corpus["threshold"])
    picture = Picture("scores", "documents by score, and the threshold", png)
    parts = (_held_out(told), _corpus(corpus), _ngrams(told["ngrams"]))
    yield Section("Quality", "\n\n".join(parts), (picture,))


def draw_scores(histogram: Sequence[int], threshold: float | None) -> bytes:
    """Draw a PNG of documents by score, in bins of equal width over 0-1."""
    width = 1 / len(histogram)
    figure = new_figure(7.2, 2.5)
    axes = figure.subplots()
    lefts = [number * width for number in range(len(histogram))]
    axes.bar(lefts, histogram, width, align="edge", color="#93c5fd", edgecolor="#1d4ed8")
    if threshold is not None:
        axes.axvline(threshold, color="#b45309", linewidth=2)
    axes.set_xlim(0, 1)
    axes.set_xlabel("score")
    axes.set_ylabel("documents")
    axes.grid(alpha=0.3)
    return png_of(figure)


def _held_out(told: Mapping[str, Any]) -> str:
    held, examples = told["held_out"], told["examples"]
    rows = [
        ("AUC", number(held["auc"])),
        (f"precision at {number(held['threshold'])}", number(held["precision"])),
        ("recall", number(held["recall"])),
        ("F1", number(held["f1"])),
        ("calibration error", number(held["calibration_error"])),
    ]
    rows += [
        (
            f"{side} examples",
            f"{of['used']:,}, of them {of['held_out']:,} held out by {of['held_out_by']}",
        )
        for side, of in examples.items()
    ]
    return f"On examples that were held out:\n\n{table(('', ''), rows)}"


def _corpus(corpus: Mapping[str, Any]) -> str:
    largest = sorted(corpus["languages"].items(), key=lambda of: (-of[1]["documents"], of[0]))
    rows = [
        (escape(name), f"{of['documents']:,}", f"{of['kept']:,}", number(of["mean_score"]))
        for name, of in largest[:_LANGUAGES]
    ]
    head = f"Of {corpus['documents']:,} documents {corpus['kept']:,} are kept:"
    return f"{head}\n\n{table(('language', 'documents', 'kept', 'mean score'), rows)}"


def _ngrams(sides: Mapping[str, Any]) -> str:
    """Show how many good and bad texts hold each: a menu or a name shows at once."""
    blocks = []
    for side, rows in sides.items():
        lines = ["  good    bad  weight  n-gram"]
        lines += [
            f"{row['in_good']:6.1%} {row['in_bad']:6.1%} {row['weight']:+7.2f}  {row['ngram']}"
            for row in rows[:_NGRAMS]
        ]
        blocks.append(f"What speaks for {side}:\n\n" + fence("\n".join(lines)))
    return "\n\n".join(blocks)
