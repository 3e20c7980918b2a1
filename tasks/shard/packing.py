"""Documents to rows of token ids, by one of two packings.

The ids of a shard are one stream, `<end of text> document <end of text> document … <end of text>`,
of which every token but the first is predicted exactly once. A row is made of pieces of it, and has
one token more than it predicts: the one before its first piece.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.parquet import ROW_GROUP_ROWS
from storage.records import SPAN
from tasks.shard.config import Packing, ShardConfig
from tasks.shard.encoding import Ids

Positions = npt.NDArray[np.int64]


class Packer:
    """Takes documents one by one, and gives rows of `sequence_schema`."""

    def __init__(self, config: ShardConfig, end_of_text: int) -> None:
        self._length, self._choose = config.sequence_length, _PACKINGS[config.packing]
        self._end_of_text = np.array([end_of_text], dtype=np.uint32)
        self._ids = [self._end_of_text]
        self._documents: list[str] = []

    def add(self, document_id: str, ids: npt.ArrayLike) -> None:
        """Put a document's ids at the end of the stream."""
        self._ids += [np.asarray(ids, dtype=np.uint32), self._end_of_text]
        self._documents.append(document_id)

    def tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Pack the stream, a row group at a time."""
        stream = np.concatenate(self._ids)
        lengths = np.array([len(ids) for ids in self._ids[1::2]], dtype=np.int64)
        borders = np.cumsum([0, *(lengths + 1)], dtype=np.int64)
        pieces = self._choose(borders, self._length)
        spans, kind = _find_spans(pieces, borders), schema.field("input_ids").type
        for at in range(0, pieces.num_rows, ROW_GROUP_ROWS):
            rows = slice(at, min(at + ROW_GROUP_ROWS, pieces.num_rows))
            columns = [pieces.cut(stream, rows, kind), spans.lists(rows, self._documents)]
            yield pa.table(columns, schema=schema)


@dataclass(frozen=True)
class _Pieces:
    """What is predicted: the stream from `start` up to `stop`, in the order of `row`."""

    start: Positions
    stop: Positions
    row: Positions

    @cached_property
    def num_rows(self) -> int:
        return int(self.row[-1]) + 1 if len(self.row) else 0

    @cached_property
    def begin(self) -> Positions:
        """Where each piece begins in the stream as its row has it: a row's first one earlier."""
        return self.start - (np.diff(self.row, prepend=-1) > 0)

    @cached_property
    def place(self) -> Positions:
        """Where each piece begins in its row."""
        sizes = self.stop - self.begin
        before: Positions = np.cumsum(sizes) - sizes
        return before - before[np.searchsorted(self.row, self.row)]

    def cut(self, stream: Ids, rows: slice, kind: pa.DataType) -> pa.ListArray:
        """Give the ids of some rows, a list for each."""
        first = np.searchsorted(self.row, np.arange(rows.start, rows.stop + 1))
        here = slice(first[0], first[-1])
        begin, sizes = self.begin[here], self.stop[here] - self.begin[here]
        ends = np.cumsum(sizes, dtype=np.int64)
        at = np.arange(sizes.sum()) + np.repeat(begin - ends + sizes, sizes)
        ids = pa.array(stream[at].astype(kind.value_type.to_pandas_dtype()))
        offsets = np.append(0, ends)[first - first[0]]
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), ids)


def _concatenate(borders: Positions, length: int) -> _Pieces:
    """Cut the stream every `length` tokens. `borders` are its ends of text."""
    start = np.arange(1, borders[-1] + 1, length)
    stop = np.minimum(start + length, borders[-1] + 1)
    return _Pieces(start, stop, np.arange(len(start)))


def _best_fit(borders: Positions, length: int) -> _Pieces:
    """Cut longer documents into whole rows and a rest; fit rests and short documents into rows.

    A row begins with one of its rests, if it has any, after the token before it in its document.
    Further rests follow an end of text, as documents do. Source: arXiv:2404.10830.
    """
    begin, end = borders[:-1] + 1, borders[1:] + 1
    num_whole, rest = np.divmod(end - begin, length)
    document = np.repeat(np.arange(len(begin)), num_whole)
    nth = np.arange(len(document)) - np.repeat(np.cumsum(num_whole) - num_whole, num_whole)
    whole = begin[document] + nth * length
    left = np.flatnonzero(rest)
    row = fit(rest[left], length)
    order = np.lexsort((num_whole[left] == 0, row))
    left = left[order]
    return _Pieces(
        np.append(whole, (end - rest)[left]),
        np.append(whole + length, end[left]),
        np.append(np.arange(len(whole)), row[order] + len(whole)),
    )


_PACKINGS: dict[Packing, Callable[[Positions, int], _Pieces]] = {
    "concatenate": _concatenate,
    "best_fit": _best_fit,
}


def fit(sizes: Positions, capacity: int) -> Positions:
    """Give the row of each size by best-fit decreasing: the largest first, each into the row where
    it leaves the least room, or into a new one.

    Equal sizes go into rows of equal room at once: the time goes with the number of different
    sizes, not with that of documents.
    """
    order, row_of = np.argsort(-sizes, kind="stable"), np.empty(len(sizes), dtype=np.int64)
    rows, done = _OpenRows(capacity), 0
    distinct, counts = np.unique(sizes, return_counts=True)
    for size, count in zip(distinct[::-1].tolist(), counts[::-1].tolist(), strict=True):
        last = done + count
        while done < last:
            room, taken = rows.take(size, last - done)
            each = room // size
            num = min(last - done, each * len(taken))
            row_of[order[done : done + num]] = np.repeat(taken, each)[:num]
            rows.put(room - each * size, taken[:-1])
            rows.put(room - (num - each * (len(taken) - 1)) * size, taken[-1:])
            done += num
    return row_of


class _OpenRows:
    """Numbers of rows by the room that is left in them."""

    def __init__(self, capacity: int) -> None:
        self._capacity, self._opened = capacity, 0
        self._by_room: dict[int, list[int]] = {}
        self._rooms: list[int] = []  # sorted

    def put(self, room: int, rows: Sequence[int]) -> None:
        """Keep rows that have so much room."""
        if not room or not rows:
            return
        if room not in self._by_room:
            self._by_room[room] = []
            insort(self._rooms, room)
        self._by_room[room] += rows

    def take(self, size: int, count: int) -> tuple[int, list[int]]:
        """Take rows of the least room that `size` fits in, as many as `count` such sizes fill,
        new ones where there are none; returns that room and the rows."""
        at = bisect_left(self._rooms, size)
        room = self._rooms[at] if at < len(self._rooms) else self._capacity
        wanted = -(-count // (room // size))
        if at == len(self._rooms):
            new = range(self._opened, self._opened + wanted)
            self._opened += wanted
            return room, list(new)
        kept = self._by_room[room]
        taken, kept[-wanted:] = kept[-wanted:], []
        if not kept:
            del self._by_room[room], self._rooms[at]
        return room, taken


def _find_spans(pieces: _Pieces, borders: Positions) -> _Spans:
    """Find which positions of each row come from which document; one without tokens is in none."""
    begin, end = borders[:-1] + 1, borders[1:]
    first = np.searchsorted(end, pieces.begin, side="right")
    count = np.maximum(np.searchsorted(begin, pieces.stop) - first, 0)
    piece = np.repeat(np.arange(len(first)), count)
    document = np.arange(len(piece)) - np.repeat(np.cumsum(count) - count - first, count)
    lower, upper = pieces.begin[piece], pieces.stop[piece]
    offset = pieces.place[piece] - lower
    start = np.maximum(begin[document], lower) + offset
    stop = np.minimum(end[document], upper) + offset
    held = start < stop
    return _Spans(document[held], pieces.row[piece][held], start[held], stop[held])


@dataclass(frozen=True)
class _Spans:
    """Spans of all rows, in order; `document` is a number, `end` one past the last position."""

    document: Positions
    row: Positions
    start: Positions
    end: Positions

    def lists(self, rows: slice, names: Sequence[str]) -> pa.ListArray:
        """Give those of some rows, a list for each."""
        here = slice(*np.searchsorted(self.row, (rows.start, rows.stop)))
        of = pa.array([names[number] for number in self.document[here]], pa.string())
        columns = (of, pa.array(self.start[here], pa.int32()), pa.array(self.end[here], pa.int32()))
        spans = pa.StructArray.from_arrays(columns, fields=list(SPAN))
        ends = np.searchsorted(self.row[here], np.arange(rows.start, rows.stop + 1))
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), spans)
