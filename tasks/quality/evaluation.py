"""What is kept of a training until scores are there, and the evaluation that is sealed.

It says how well scores tell good from bad on examples that were held out, and what the corpus
scored. Good and bad are weighed the same, however many there are of each: rates and the calibration
are those of a corpus that is half good, as the scores themselves are.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.errors import Fault, RequestError
from storage.parquet import read_table
from storage.workspace import Workspace
from tasks.quality.classifiers import Classifier, Linear
from tasks.quality.classifiers.trained import MODEL_FILES
from tasks.quality.model import load_model
from tasks.quality.score import Decision, keeps
from tasks.quality.train import HeldOut, train

EVALUATION = "evaluation.json"
_TRAINING = "training.json"

HISTOGRAM_BINS = 20
BINS = 15
"""Of equal width, as in Guo et al., arXiv:1706.04599 §2."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def make_model(config: Classifier, documents: Sequence[Path], workspace: Workspace) -> Path:
    """Train the model, or take over a trained one; returns the folder that it lies in.

    What an evaluation needs besides is left in scratch, replaced as a whole.
    """
    target = workspace.scratch / _TRAINING
    if target.exists():
        return workspace.data
    if isinstance(config, Linear):
        trained = train(config, documents)
        trained.model.save(workspace)
        known = {
            "held_out": asdict(trained.held_out),
            "examples": trained.examples,
            "ngrams": trained.ngrams,
        }
    else:
        folder = config.folder()
        load_model(folder)
        known = {"sealed": _sealed(folder)}
        for name in MODEL_FILES[1:]:
            with workspace.writing(name) as stream, (folder / name).open("rb") as source:
                shutil.copyfileobj(source, stream)
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(known))
    temporary.replace(target)
    return workspace.data


def _sealed(folder: Path) -> dict[str, Any]:
    """The evaluation that came with a trained model."""
    try:
        found = json.loads((folder / EVALUATION).read_bytes())
        return {name: found[name] for name in ("examples", "held_out", "ngrams")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        place, found = str(folder / EVALUATION), f"{type(error).__name__}: {error}"
        expected = "the evaluation that was sealed with the model"
        remedy = "Export the model again: phusa export quality FOLDER."
        raise RequestError(Fault(place, found, expected, remedy)) from error


def write_evaluation(
    scores: Sequence[Path], decision: Decision, workspace: Workspace
) -> dict[str, Any]:
    """Write the evaluation, with what the corpus scored, and return it.

    That of a trained model stays as it was sealed, at the threshold that it was sealed with.
    """
    known = json.loads((workspace.scratch / _TRAINING).read_text())
    if "sealed" in known:
        told = known["sealed"]
    else:
        held_out = HeldOut(**{name: tuple(of) for name, of in known["held_out"].items()})
        told = {
            "held_out": evaluate(held_out, decision.bound_of),
            "examples": known["examples"],
            "ngrams": known["ngrams"],
        }
    told = {**told, "corpus": _corpus(scores, decision)}
    workspace.write_json(EVALUATION, told)
    return told


def _corpus(scores: Sequence[Path], decision: Decision) -> dict[str, Any]:
    """Counts and scores of all documents; `histogram` has bins of equal width over 0-1."""
    histogram, total = np.zeros(HISTOGRAM_BINS, np.int64), 0.0
    languages: dict[str, dict[str, float]] = {}
    for path in scores:
        table = read_table([path])
        found, kept = table["score"].to_numpy().astype(np.float64), keeps(table, decision)
        histogram += np.histogram(found, HISTOGRAM_BINS, (0, 1))[0]
        total += float(found.sum())
        names, places = np.unique(table["language"].to_numpy(), return_inverse=True)
        for number, name in enumerate(names):
            own = places == number
            row = languages.setdefault(str(name), {"documents": 0, "kept": 0, "score": 0.0})
            row["documents"] += int(own.sum())
            row["kept"] += int(kept[own].sum())
            row["score"] += float(found[own].sum())
    num = int(histogram.sum())
    return {
        "documents": num,
        "kept": int(sum(row["kept"] for row in languages.values())),
        "threshold": decision.threshold,
        "thresholds": decision.thresholds,
        "mean_score": round(total / max(num, 1), 6),
        "histogram": histogram.tolist(),
        "languages": {
            name: {
                "documents": int(row["documents"]),
                "kept": int(row["kept"]),
                "mean_score": round(row["score"] / row["documents"], 6),
            }
            for name, row in sorted(languages.items())
        },
    }


def facts(kind: str, action: str, told: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of an evaluation: what gates and pages are made of."""
    corpus, held_out = told["corpus"], told["held_out"]
    dropped = corpus["documents"] - corpus["kept"]
    return {
        "classifier": kind,
        "action": action,
        "dropped": {"low_quality": dropped} if dropped else {},
        "threshold": corpus["threshold"],
        "mean_score": corpus["mean_score"],
        "held_out_auc": held_out["auc"],
        "held_out_f1": held_out["f1"],
        "calibration_error": held_out["calibration_error"],
        "good_examples": told["examples"]["good"]["used"],
        "bad_examples": told["examples"]["bad"]["used"],
    }


def area_under_curve(scores: Floats, good: Bools) -> float:
    """How often a good one scores above a bad one (0-1), ties counted half; NaN without both."""
    num_good, num_bad = int(good.sum()), int((~good).sum())
    if not num_good or not num_bad:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    above = ranks[places][good].sum() - num_good * (num_good + 1) / 2
    return float(above / (num_good * num_bad))


def calibration_error(scores: Floats, good: Bools) -> float:
    """Mean distance of score and share of good ones (0-1), over bins, each weighed by its size."""
    return sum(
        row["weight"] * abs(row["mean_score"] - row["good"]) for row in reliability(scores, good)
    )


def reliability(scores: Floats, good: Bools) -> list[dict[str, float]]:
    """For each bin that has any: its share of the examples, their mean score, how many are good."""
    weights = np.where(good, 0.5 / max(good.sum(), 1), 0.5 / max((~good).sum(), 1))
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows = []
    for number in np.unique(bins):
        own = bins == number
        whole = weights[own].sum()
        rows.append(
            {
                "weight": round(float(whole), 6),
                "mean_score": round(float((scores[own] * weights[own]).sum() / whole), 6),
                "good": round(float(weights[own & good].sum() / whole), 6),
            }
        )
    return rows


def rates(kept: Bools, good: Bools) -> dict[str, float]:
    """Precision, recall and F1 (0-1) of what is kept, good and bad weighed the same."""
    recall = float(kept[good].mean()) if good.any() else 0.0
    passed = float(kept[~good].mean()) if (~good).any() else 0.0
    precision = recall / (recall + passed) if recall + passed else 0.0
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    names = ("precision", "recall", "f1", "bad_kept")
    return {n: round(v, 4) for n, v in zip(names, (precision, recall, f1, passed), strict=True)}


def evaluate(held_out: HeldOut, bound_of: Callable[[str], float]) -> dict[str, Any]:
    """The whole evaluation; `bound_of` gives the threshold for a language."""
    scores, good = np.array(held_out.scores), np.array(held_out.labels) == 1
    languages = np.array([language or "unknown" for language in held_out.languages])
    bounds = np.array([bound_of(language) for language in held_out.languages])
    kept = scores >= bounds
    return {
        "auc": round(area_under_curve(scores, good), 6),
        "calibration_error": round(calibration_error(scores, good), 6),
        "threshold": bound_of(""),
        **rates(kept, good),
        "confusion": {
            str(language): {
                "good_kept": int((kept & good & (languages == language)).sum()),
                "good_dropped": int((~kept & good & (languages == language)).sum()),
                "bad_kept": int((kept & ~good & (languages == language)).sum()),
                "bad_dropped": int((~kept & ~good & (languages == language)).sum()),
            }
            for language in np.unique(languages)
        },
        "reliability": reliability(scores, good),
        "by_threshold": [
            {"threshold": round(step / 20, 2), **rates(scores >= step / 20, good)}
            for step in range(1, 20)
        ],
    }
