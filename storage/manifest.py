"""What a sealed artifact says of itself, and the two keys that everything else leans on.

The *fingerprint* names a recipe (stage, its version, configuration, inputs' content); the
*content digest* names a result. A stage is a hit when its fingerprint is known; it is downstream
of what it read by content, so a rebuilt input with the same content changes nothing (early
cut-off).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

SCHEMA = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Record):
    """One file of an artifact.

    `volatile` files (fetch times, WARC offsets) differ from run to run without meaning anything
    to later stages: they are kept and verified, and left out of the content digest.
    """

    path: str
    size: int = Field(ge=0, description="bytes")
    sha256: str
    rows: int | None = None
    volatile: bool = False


class InputRef(_Record):
    """The exact upstream artifact that was read."""

    name: str
    version: str
    digest: str


class CodeRef(_Record):
    """The code that ran. Recorded to warn of drift; not part of the fingerprint."""

    stage_version: int
    source_sha256: str
    git_commit: str | None = None


class RunRef(_Record):
    """The run that built the artifact."""

    recipe: str
    host: str
    flow_run_id: str | None = None


class Manifest(_Record):
    """The commit record of an artifact: written last, create-only."""

    schema_version: int = SCHEMA
    name: str
    version: str
    fingerprint: str
    digest: str
    config: dict[str, JsonValue]
    inputs: dict[str, InputRef]
    files: tuple[FileEntry, ...]
    rows_in: int
    rows_out: int
    stats: dict[str, JsonValue]
    code: CodeRef
    run: RunRef
    created: datetime
    seconds: float = Field(description="wall time of the build, all attempts together")

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def num_bytes(self) -> int:
        return sum(entry.size for entry in self.files)

    def to_json(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no white space: equal values give equal bytes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def fingerprint(
    stage: str, version: int, config: Mapping[str, Any], input_digests: Mapping[str, str]
) -> str:
    """Name a recipe: sha256 of its stage, code version, configuration and inputs' content.

    No device, path, time or worker count may enter `config`; `tasks.config.identity` drops the
    fields that are marked so.
    """
    recipe = {
        "schema": SCHEMA,
        "stage": stage,
        "version": version,
        "config": dict(config),
        "inputs": dict(input_digests),
    }
    return hashlib.sha256(canonical_json(recipe)).hexdigest()


def content_digest(files: Iterable[FileEntry]) -> str:
    """Name a result: sha256 over the sorted (path, size, sha256) of its non-volatile files."""
    rows = sorted((f.path, f.size, f.sha256) for f in files if not f.volatile)
    return hashlib.sha256(canonical_json(rows)).hexdigest()


def utc_now() -> datetime:
    return datetime.now(UTC)
