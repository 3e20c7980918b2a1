"""Example files of a recipe: where they lie, and the digest by which they are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import xxhash
from pydantic import model_validator

from tasks.config import Config, knob
from tasks.pinned import Pinned, digest_of

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".txt", ".md")


class ExampleFiles(Pinned):
    """Texts of one side. Their content is part of the fingerprint: a changed file trains again."""

    paths: tuple[str, ...] = knob(
        ...,
        "files, folders of them and globs on this machine: JSON lines (.jsonl, .jsonl.gz, "
        ".jsonl.zst) and Parquet with a text in each row, .txt and .md as one text each; UTF-8. "
        "They stay in the manifest, so that a takedown can train again",
        min_length=1,
    )
    text_column: str = knob(
        "text",
        "the column with the text; columns `url` and `language` are read where there are any",
        min_length=1,
    )

    where: ClassVar[str] = "paths"
    what: ClassVar[str] = "set of examples"

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        """One path alone is a list of one."""
        if isinstance(given, dict) and isinstance(given.get("paths"), str):
            return {**given, "paths": [given["paths"]]}
        return given

    @classmethod
    def content_digest(cls, where: Any) -> str:
        """Of all files, whatever they are called and in whatever order."""
        digests = sorted(map(digest_of, find_files([str(path) for path in where])))
        return xxhash.xxh3_128_hexdigest("\n".join(digests).encode())

    def files(self) -> list[Path]:
        """The files, sorted by their content; raises RequestError unless they are as they were."""
        self.require_unchanged()
        return sorted(find_files(self.paths), key=digest_of)


class FileExamples(Config):
    """Good and bad examples, both from files."""

    kind: Literal["files"] = "files"
    good: ExampleFiles = knob(..., "texts as you want them")
    bad: ExampleFiles = knob(..., "texts as you do not want them")


def find_files(paths: tuple[str, ...] | list[str]) -> list[Path]:
    """The files that these paths mean, each once. Raises ValueError for one that means none."""
    found: dict[Path, None] = {}
    for path in paths:
        place = Path(path).expanduser()
        if place.is_dir():
            hits = [p for p in sorted(place.rglob("*")) if p.name.lower().endswith(SUFFIXES)]
        else:
            pattern = place.relative_to(place.anchor).as_posix()
            hits = [place] if place.exists() else sorted(Path(place.anchor).glob(pattern))
        if not hits:
            raise ValueError(
                f"no example file at {path!r}; expected files, a folder with "
                f"{', '.join(SUFFIXES)} in it, or a glob that matches some"
            )
        odd = [hit for hit in hits if not hit.name.lower().endswith(SUFFIXES)]
        if odd:
            raise ValueError(f"{odd[0]} is of no known kind; expected {', '.join(SUFFIXES)}")
        found |= dict.fromkeys(hit.resolve() for hit in hits)
    return list(found)
