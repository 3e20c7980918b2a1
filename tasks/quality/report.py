"""What is kept of a training until scores are there, and the evaluation that is sealed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import Fault, RequestError
from storage.parquet import read_table
from storage.workspace import Workspace
from tasks.quality.classifiers import Classifier, Linear
from tasks.quality.classifiers.trained import MODEL_FILES
from tasks.quality.evaluation import evaluate
from tasks.quality.model import load_model
from tasks.quality.score import Decision, keeps
from tasks.quality.train import HeldOut, train

EVALUATION = "evaluation.json"
BINS = 20
_TRAINING = "training.json"


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
    histogram, total = np.zeros(BINS, np.int64), 0.0
    languages: dict[str, dict[str, float]] = {}
    for path in scores:
        table = read_table([path])
        found, kept = table["score"].to_numpy().astype(np.float64), keeps(table, decision)
        histogram += np.histogram(found, BINS, (0, 1))[0]
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
