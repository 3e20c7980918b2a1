"""A model that was trained before."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import xxhash

from tasks.config import knob
from tasks.pinned import Pinned, digest_of

MODEL_FILES = ("evaluation.json", "model.json", "model.safetensors")


class Trained(Pinned):
    """Train once, score every night: the model of an earlier artifact, known by its content."""

    kind: Literal["trained"] = "trained"
    path: str = knob(
        ...,
        "a folder with evaluation.json, model.json and model.safetensors: what "
        "`phusa export quality@VERSION FOLDER` writes, or the artifact's own data folder",
        min_length=1,
    )

    what: ClassVar[str] = "model"

    @classmethod
    def content_digest(cls, where: Any) -> str:
        folder = Path(str(where)).expanduser()
        missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
        if missing:
            raise ValueError(
                f"{folder} has no {', '.join(missing)}; expected the folder of a quality model, "
                f"with {', '.join(MODEL_FILES)}. `phusa export quality FOLDER` writes one."
            )
        digests = "\n".join(digest_of(folder / name) for name in MODEL_FILES)
        return xxhash.xxh3_128_hexdigest(digests.encode())

    def folder(self) -> Path:
        """The folder; raises RequestError unless it holds the same model as when it was read."""
        self.require_unchanged()
        return Path(self.path).expanduser()
