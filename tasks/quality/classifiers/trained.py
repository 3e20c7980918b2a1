"""A model that was trained before."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import xxhash
from pydantic import model_validator

from storage.errors import Fault, RequestError
from tasks.config import Config, knob
from tasks.quality.examples.files import digest_of

MODEL_FILES = ("evaluation.json", "model.json", "model.safetensors")


class Trained(Config):
    """Train once, score every night: the model of an earlier artifact, known by its content."""

    kind: Literal["trained"] = "trained"
    path: str = knob(
        ...,
        "a folder with evaluation.json, model.json and model.safetensors: what "
        "`phusa export quality@VERSION FOLDER` writes, or the artifact's own data folder",
        min_length=1,
    )
    digest: str = knob("", "xxh3-128 of these files, in hex. Empty: found when the recipe is read")

    @model_validator(mode="before")
    @classmethod
    def _find_digest(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("path") and not given.get("digest"):
            return {**given, "digest": _digest(str(given["path"]))}
        return given

    def folder(self) -> Path:
        """The folder; raises RequestError unless it holds the same model as when it was read."""
        try:
            found = _digest(self.path)
        except ValueError as error:
            raise RequestError(self._fault(str(error))) from error
        if found != self.digest:
            raise RequestError(self._fault(f"the digest {found}"))
        return Path(self.path).expanduser()

    def _fault(self, found: str) -> Fault:
        expected = f"the model whose digest is {self.digest}, as when the recipe was read"
        remedy = "Put it back, or start the run again (a deployment: deploy again)."
        return Fault(self.path, found, expected, remedy)


def _digest(path: str) -> str:
    folder = Path(path).expanduser()
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder} has no {', '.join(missing)}; expected the folder of a quality model, with "
            f"{', '.join(MODEL_FILES)}. `phusa export quality FOLDER` writes one."
        )
    digests = "\n".join(digest_of(folder / name) for name in MODEL_FILES)
    return xxhash.xxh3_128_hexdigest(digests.encode())
