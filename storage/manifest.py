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
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from storage.errors import DamagedArtifact, Fault, RequestError

_M = TypeVar("_M", bound=BaseModel)

FINGERPRINT_SCHEMA = 1
MANIFEST_SCHEMA = 3
"""1 had neither checks nor takedowns, 2 neither stage nor type; both are still read."""


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

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"


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
    work_bytes: int | None = Field(
        None, description="disk that the build took, its result included"
    )
    memory_bytes: int | None = Field(None, description="memory that the build took at its peak")


class CheckResult(_Record):
    """What a check that its stage declares made of an artifact."""

    measure: str
    value: float | None
    last: float | None = Field(description="the same measure of the last version, if there is one")
    bounds: dict[str, float] = Field(
        description="those that were set: min, max, max_rise, max_fall"
    )
    severity: Literal["block", "warn"]
    passed: bool
    says: str = Field(description="one line for people: value, bound, remedy")


class Manifest(_Record):
    """The commit record of an artifact: written last, create-only."""

    schema_version: int = MANIFEST_SCHEMA
    name: str = Field(description="the instance of a recipe that it was made for")
    version: str
    stage: str = Field(description="the kind of work that made it")
    type: str = Field("", description="what it is; empty in manifests of schema 2")
    fingerprint: str
    digest: str
    config: dict[str, JsonValue]
    inputs: dict[str, InputRef]
    files: tuple[FileEntry, ...]
    rows_in: int
    rows_out: int
    stats: dict[str, JsonValue]
    checks: tuple[CheckResult, ...] = ()
    forgotten: tuple[str, ...] = Field(
        (), description="takedowns that its inputs hold content of, and that it left out"
    )
    code: CodeRef
    run: RunRef
    created: datetime
    seconds: float = Field(description="wall time of the build, all attempts together")

    @model_validator(mode="before")
    @classmethod
    def _named_as_its_stage(cls, raw: Any) -> Any:
        """Until schema 3 an artifact had the name of its stage."""
        if isinstance(raw, dict) and "stage" not in raw and "name" in raw:
            return {**raw, "stage": raw["name"]}
        return raw

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def reference(self) -> bytes:
        """What the reference of its fingerprint holds; of an instance with its stage's name, the
        version alone, as it always was."""
        return (self.version if self.name == self.stage else self.label).encode()

    @property
    def num_bytes(self) -> int:
        return sum(entry.size for entry in self.files)

    def to_json(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"

    @staticmethod
    def parse(data: bytes, label: str) -> Manifest | None:
        """The manifest in a file's bytes; None if gc withdrew the version before it was sealed.

        Raises RequestError if a newer phusa wrote it, DamagedArtifact if it cannot be read.
        """
        if is_withdrawn(data):
            return None
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            _check_schema(_schema_of(data), label)
            raise DamagedArtifact(
                f"the manifest of {label} cannot be read ({error.error_count()} faults, the "
                f"first: {error.errors()[0]['msg']}); expected a manifest of this phusa version. "
                "Restore it from a copy, or remove that version's folder and run the recipe again; "
                "`phusa verify` says what hangs on it."
            ) from error
        _check_schema(manifest.schema_version, label)
        return manifest


_WITHDRAWN = b'{"withdrawn":'


def withdrawn(why: str) -> bytes:
    """What gc writes in the place of a manifest, so that the version can never be sealed."""
    return _WITHDRAWN + b" " + json.dumps(f"{utc_now().isoformat()}: {why}").encode() + b"}\n"


def is_withdrawn(data: bytes) -> bool:
    """Whether the bytes of a manifest file say that the version can never be sealed."""
    return data.startswith(_WITHDRAWN)


def _schema_of(data: bytes) -> object:
    try:
        return json.loads(data)["schema_version"]
    except (ValueError, TypeError, KeyError):
        return None


def _check_schema(found: object, label: str) -> None:
    if isinstance(found, int) and found > MANIFEST_SCHEMA:
        raise RequestError(
            Fault(
                f"manifest of {label}",
                f"schema version {found}",
                f"at most {MANIFEST_SCHEMA}: a newer phusa wrote it",
                "Install that phusa, or a newer one, here too.",
            )
        )


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no white space: equal values give equal bytes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def fingerprint(
    stage: str,
    version: int,
    config: Mapping[str, Any],
    input_digests: Mapping[str, str],
    forgotten: Iterable[str] = (),
) -> str:
    """Name a recipe: sha256 of its stage, code version, configuration and inputs' content.

    `forgotten` are the takedowns that the inputs hold content of; without one the key is what it
    was before there were takedowns.

    No device, path, time or worker count may enter `config`; `tasks.config.identity` drops the
    fields that are marked so.
    """
    recipe: dict[str, Any] = {
        "schema": FINGERPRINT_SCHEMA,
        "stage": stage,
        "version": version,
        "config": dict(config),
        "inputs": dict(input_digests),
    }
    if left_out := sorted(forgotten):
        recipe["forgotten"] = left_out
    return hashlib.sha256(canonical_json(recipe)).hexdigest()


def content_digest(files: Iterable[FileEntry]) -> str:
    """Name a result: sha256 over the sorted (path, size, sha256) of its non-volatile files."""
    rows = sorted((f.path, f.size, f.sha256) for f in files if not f.volatile)
    return hashlib.sha256(canonical_json(rows)).hexdigest()


def utc_now() -> datetime:
    return datetime.now(UTC)


def parsed(model: type[_M], data: bytes, where: str, expected: str) -> _M:
    """Read a small record. Raises DamagedArtifact, saying what was `expected` and the remedy."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise DamagedArtifact(f"{where} cannot be read ({reason}); expected {expected}") from error
