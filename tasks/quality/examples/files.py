"""Example files of a recipe: where they lie, and the digest by which they are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import xxhash
from pydantic import model_validator

from storage.errors import Fault, RequestError
from storage.identities import file_digest
from tasks.config import Config, knob

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".txt", ".md")


class ExampleFiles(Config):
    """Texts of one side. Their content is part of the fingerprint: a changed file trains again."""

    paths: tuple[str, ...] = knob(
        ...,
        "files, folders of them and globs on this machine: JSON lines (.jsonl, .jsonl.gz, "
        ".jsonl.zst) and Parquet with a text in each row, .txt and .md as one text each; UTF-8. "
        "They stay in the manifest, so that a takedown can train again",
        min_length=1,
    )
    digest: str = knob("", "xxh3-128 over all files, in hex. Empty: found when the recipe is read")
    text_column: str = knob(
        "text",
        "the column with the text; columns `url` and `language` are read where there are any",
        min_length=1,
    )

    @model_validator(mode="before")
    @classmethod
    def _find_digest(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("paths") and not given.get("digest"):
            paths = given["paths"]
            listed = [paths] if isinstance(paths, str) else [str(path) for path in paths]
            return {**given, "paths": listed, "digest": _digest(find_files(listed))}
        return given

    def files(self) -> list[Path]:
        """The files, sorted by their content; raises RequestError unless they are as they were."""
        try:
            found = find_files(self.paths)
            digest = _digest(found)
        except ValueError as error:
            raise RequestError(self._fault(str(error))) from error
        if digest != self.digest:
            raise RequestError(self._fault(f"the digest {digest}"))
        return sorted(found, key=digest_of)

    def _fault(self, found: str) -> Fault:
        expected = f"the files whose digest is {self.digest}, as when the recipe was read"
        remedy = "Put the files back, or start the run again (a deployment: deploy again)."
        return Fault(", ".join(self.paths), found, expected, remedy)


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


def digest_of(path: Path) -> str:
    """`file_digest`, as a recipe is told of it: raises ValueError if the file cannot be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error}); expected a file") from error


def _digest(files: list[Path]) -> str:
    """Of all files, whatever they are called and in whatever order."""
    return xxhash.xxh3_128_hexdigest("\n".join(sorted(map(digest_of, files))).encode())
