"""Texts without some of their passages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.words import count_words

HEAD_CHARACTERS = 300
"""How much of a passage is kept as evidence."""


@dataclass(frozen=True)
class Passage:
    """A part of a text, in characters from `start` to before `end`."""

    start: int
    end: int
    text: str


def find_passages(body: bytes, spans: Iterable[tuple[int, int]]) -> list[Passage]:
    """The parts of a text that lie between these bytes of it, which ascend."""
    found, at, characters = [], 0, 0
    for begin, end in spans:
        characters += len(body[at:begin].decode())
        text = body[begin:end].decode()
        found.append(Passage(characters, characters + len(text), text))
        characters += len(text)
        at = end
    return found


def without(text: str, passages: Iterable[Passage]) -> str:
    """The text without these passages, which ascend.

    Where two ends meet stays as much white space as the greater of the two had: a blank line, a
    new line with what the following one is indented by, a space, or none.
    """
    left, at = "", 0
    for passage in passages:
        left = _joined(left, text[at : passage.start])
        at = passage.end
    return _joined(left, text[at:]).rstrip()


def _joined(left: str, right: str) -> str:
    before, behind = left.rstrip(), right.lstrip()
    if not before:
        return behind
    gaps = left[len(before) :], right[: len(right) - len(behind)]
    breaks = max(min(gap.count("\n"), 2) for gap in gaps)
    if breaks:
        return before + "\n" * breaks + gaps[1].rpartition("\n")[2] + behind
    return before + (" " if any(gaps) else "") + behind


@dataclass(frozen=True)
class Edited:
    """Documents after an edit: those that stay, and (row, words left) of those that do not."""

    table: pa.Table
    dropped: list[tuple[int, int]]


def edit(table: pa.Table, passages: dict[int, list[Passage]], min_words_left: int) -> Edited:
    """Cut passages out of the documents of these rows, and count their words anew; a document that
    is left with fewer goes."""
    texts: list[Any] = table["text"].to_pylist()
    languages, words = table["language"], table["num_words"].to_pylist()
    stays, dropped = np.ones(table.num_rows, bool), []
    for row in sorted(passages):
        texts[row] = without(texts[row], passages[row])
        words[row] = count_words(texts[row], languages[row].as_py())
        if words[row] < min_words_left or not texts[row]:
            stays[row] = False
            dropped.append((row, words[row]))
    if not passages:
        return Edited(table, [])
    for name, values in (("text", texts), ("num_words", words)):
        at = table.schema.get_field_index(name)
        field = table.schema.field(at)
        table = table.set_column(at, field, pa.array(values, field.type))
    return Edited(table.filter(pa.array(stays)), dropped)
