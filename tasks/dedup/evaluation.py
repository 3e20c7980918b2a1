"""Evaluation sets, as files: what a model is measured by must not be in what it learns from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from tasks.config import Config, knob
from tasks.pinned import PinnedFile


@dataclass(frozen=True)
class Item:
    """One text of an evaluation set; `place` is its row (from 1) and column, or its line."""

    set_name: str
    place: str
    text: str


class EvalSet(PinnedFile):
    """A file of evaluation items: JSONL, Parquet, or plain text with an item a line (UTF-8).

    Its path alone is short for all of it: `sets: [quiz.txt]`.
    """

    name: str = knob(
        ...,
        "what it is called in the evidence; left out: as the file is, without suffix",
        min_length=1,
    )
    columns: tuple[str, ...] = knob(
        ("text",),
        "columns (keys) whose texts are items, each by itself: texts, or lists of texts. Of no "
        "meaning for plain text",
        min_length=1,
    )

    what: ClassVar[str] = "set"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".parquet", ".txt")

    @model_validator(mode="before")
    @classmethod
    def _named_as_its_file(cls, given: Any) -> Any:
        given = {"path": given} if isinstance(given, str) else given
        if isinstance(given, dict) and given.get("path"):
            return {"name": Path(str(given["path"])).stem, **given}
        return given

    def items(self) -> Iterator[Item]:
        """All of them, in the file's order. Raises RequestError if it is not that file any more, or
        has no such columns."""
        if self.place.suffix == ".txt":
            self.require_unchanged()
            with self.place.open(encoding="utf-8-sig", errors="replace") as lines:
                for number, line in enumerate(lines, 1):
                    yield Item(self.name, f"line {number}", line)
            return
        from tasks.dedup.documents import read_rows  # pyarrow: no recipe that is read pays for it

        for number, row in read_rows(self, self.columns):
            for column in self.columns:
                for text in self._texts(row, column, number):
                    yield Item(self.name, f"row {number}, {column}", text)

    def _texts(self, row: dict[str, Any], column: str, number: int) -> list[str]:
        if column not in row:
            raise self.fault(f"row {number} without {column!r}", f"some of {', '.join(row)}")
        value = row[column]
        texts = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(text, str) for text in texts):
            kind = f"row {number}: {column!r} is of {type(value).__name__}"
            raise self.fault(kind, "a text, or a list of texts")
        return texts


class Decontamination(Config):
    """Drop documents, or cut passages, that stand in an evaluation set."""

    sets: tuple[EvalSet, ...] = knob((), "evaluation sets; none: nothing is looked for")
    size: int = knob(
        12,
        "words that a document has to share with an item, one after the other; letter case and "
        "punctuation aside, and single letters in scripts without spaces",
        ge=4,
        le=100,
        source="datatrove 0.10: 12; Marin: 8",
    )
    min_words: int = knob(
        8,
        "words of an item that is shorter than `size` and is looked for as a whole; shorter ones "
        "are not looked for: they stand everywhere",
        ge=1,
        le=100,
    )
    action: Literal["drop", "cut"] = knob(
        "drop", "what goes: the document, or the passages that it shares with an item"
    )
    min_words_left: int = knob(
        10,
        "words that are left of a document from which something was cut; one with fewer is dropped",
        ge=0,
    )

    @model_validator(mode="after")
    def _names_tell_apart(self) -> Self:
        names = [one.name for one in self.sets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sets {twice} stand there more than once; expected a name for each")
        return self
