"""A linear model as two files: its weights as safetensors, and what they are weights of as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from storage.errors import Fault, RequestError
from storage.workspace import Workspace
from tasks.quality.features import Floats, score
from tasks.quality.scheme import SCHEME, Features

WEIGHTS, ABOUT = "model.safetensors", "model.json"
_KIND = "linear"


@dataclass(frozen=True)
class LinearModel:
    """Weights (float32, one for each bucket) and a bias, in logits."""

    features: Features
    weights: Floats
    bias: float

    def score(self, texts: pa.ChunkedArray) -> Floats:
        """The probability of "good", 0-1, of each text."""
        return score(texts, self.features, self.weights, self.bias)

    def save(self, workspace: Workspace) -> None:
        """Write both files of the model; equal models are equal bytes."""
        from safetensors.numpy import save

        tensors = {"weights": self.weights, "bias": np.array([self.bias], np.float32)}
        with workspace.writing(WEIGHTS) as stream:
            stream.write(save(tensors))
        about: dict[str, Any] = {"kind": _KIND, "scheme": SCHEME, "features": asdict(self.features)}
        workspace.write_json(ABOUT, about)


def load_model(folder: Path) -> LinearModel:
    """Read a model. Raises RequestError for one that cannot be scored with as it was trained."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        about = json.loads((folder / ABOUT).read_bytes())
        if (about["kind"], about["scheme"]) != (_KIND, SCHEME):
            found = f"a model of kind {about['kind']} with scheme {about['scheme']}"
            raise RequestError(_fault(folder, found))
        features = Features(**about["features"])
        tensors = load((folder / WEIGHTS).read_bytes())
        weights, bias = tensors["weights"], float(tensors["bias"][0])
    except (OSError, ValueError, TypeError, KeyError, IndexError, SafetensorError) as error:
        raise RequestError(_fault(folder, f"{type(error).__name__}: {error}")) from error
    if weights.dtype != np.float32 or weights.shape != (features.num_buckets,):
        found = f"weights of type {weights.dtype} and shape {weights.shape}"
        raise RequestError(_fault(folder, found))
    if not (np.isfinite(weights).all() and np.isfinite(bias)):
        raise RequestError(_fault(folder, "weights that are not finite"))
    return LinearModel(features, weights, bias)


def _fault(folder: Path, found: str) -> Fault:
    expected = f"a quality model of kind {_KIND} with scheme {SCHEME}"
    remedy = "Train it again with this phusa: classifier: {kind: linear, …}."
    return Fault(str(folder), found, expected, remedy)
