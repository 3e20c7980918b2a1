"""The keep policy: in which order documents are looked at, so that the best of a cluster stays, and
which of its rules decided."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.dedup.config import DedupConfig, FirstSource, KeepRule, PlainRule
from tasks.dedup.keys import EarlierIndex

Column = Callable[[str], pa.ChunkedArray]
Order = npt.NDArray[np.float64]

Value = float | int | str | None

BY_ID = "id"
"""The rule where all rules of the policy find two documents equal: the lower id."""

_ID = "document_id"


def _floats(column: pa.ChunkedArray) -> Order:
    return np.asarray(column.to_numpy(), np.float64)


def _days(column: pa.ChunkedArray) -> Order:
    """Days as numbers, 20261124; NaN where there is none."""
    days = (day[:10].replace("-", "") for day in column.to_pylist())
    return np.array([float(day) if day.isdigit() else np.nan for day in days])


# The column that each rule looks at, and what it makes of it: the smallest is the best.
_RULES: Mapping[PlainRule, tuple[str, Callable[[pa.ChunkedArray], Order]]] = {
    "longest": ("num_words", lambda column: -_floats(column)),
    "least_repeated": ("repeated_share", _floats),
    "shortest_url": ("url", lambda column: _floats(pc.utf8_length(column))),
    "canonical": ("canonical", lambda column: _floats(pc.not_equal(column, ""))),
    "best_quality": ("quality", lambda column: -_floats(column)),
    "newest": ("date", lambda column: np.nan_to_num(-_days(column), nan=np.inf)),
    "oldest": ("date", lambda column: np.nan_to_num(_days(column), nan=np.inf)),
}


def rank_documents(documents: Sequence[Path], config: DedupConfig) -> npt.NDArray[np.int64]:
    """The rank of each document of all files, 0 for the one to be kept before all others.

    By the rules of the policy in their order, then by id. Of each file, only the columns that the
    rules ask for are read.
    """
    return _ranks([partial(_read, path) for path in documents], config.keep)


def rank_earlier(
    nodes: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    earlier: Sequence[EarlierIndex],
    config: DedupConfig,
) -> npt.NDArray[np.int64]:
    """Ranks of some documents of earlier corpora: those of the first corpus before all others, then
    by the policy.

    `nodes` are their numbers, which ascend; corpus c has those from `firsts[c]` on. By rank and not
    by number: which of two equally similar ones is named in the evidence must not depend on the
    shards that an earlier corpus was in.
    """
    ranks = np.empty(nodes.size, np.int64)
    bounds = np.searchsorted(nodes, firsts)
    for index, first, begin, end in zip(earlier, firsts[:-1], bounds[:-1], bounds[1:], strict=True):
        if begin < end:
            rows, names = nodes[begin:end] - first, sorted({*map(rule_column, config.keep), _ID})
            column = index.take(rows, names).column
            ranks[begin:end] = _ranks([column], config.keep) + begin
    return ranks


def _ranks(files: Sequence[Column], rules: Sequence[KeepRule]) -> npt.NDArray[np.int64]:
    orders = [
        np.concatenate([[], *(order_by(rule, column(rule_column(rule))) for column in files)])
        for rule in rules
    ]
    high, low = _ids(files)
    by_rank = np.lexsort((low, high, *reversed(orders)))
    ranks = np.empty(by_rank.size, np.int64)
    ranks[by_rank] = np.arange(by_rank.size)
    return ranks


def _read(path: Path, name: str) -> pa.ChunkedArray:
    return pq.read_table(path, columns=[name])[name]


def rule_column(rule: KeepRule) -> str:
    """The column of documents that the rule looks at."""
    return "url" if isinstance(rule, FirstSource) else _RULES[rule][0]


def order_by(rule: KeepRule, column: pa.ChunkedArray) -> Order:
    """A number for each value of the rule's column, the smallest for the best."""
    if isinstance(rule, FirstSource):
        patterns = [re.compile(pattern) for pattern in rule.urls]
        urls = column.to_pylist()
        found = (next((n for n, p in enumerate(patterns) if p.search(url)), np.inf) for url in urls)
        return np.fromiter(found, np.float64, len(urls))
    return _RULES[rule][1](column)


def _ids(files: Sequence[Column]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The ids of all documents, 32 hexadecimal digits each, as two numbers that sort as they do."""
    halves = []
    for column in files:
        ids = column(_ID).to_pylist()
        halves.append(np.frombuffer(bytes.fromhex("".join(ids)), ">u8").reshape(-1, 2))
    both = np.concatenate(halves or [np.empty((0, 2), ">u8")]).astype(np.uint64)
    return both[:, 0], both[:, 1]


@dataclass(frozen=True)
class Decision:
    """The first rule by which two documents differ, and what it saw in each.

    Words of `longest`, a share (0-1) of `least_repeated`, characters of `shortest_url`, the first
    pattern (or none) of `source`; else what stands in the column that the rule looks at.
    """

    rule: str
    kept: Value
    dropped: Value


def rule_columns(rules: Sequence[KeepRule]) -> list[str]:
    """The columns of documents that it takes to decide."""
    return list(dict.fromkeys(["document_id", *map(rule_column, rules)]))


def decide(rules: Sequence[KeepRule], documents: pa.Table) -> list[Decision]:
    """Why the first of the documents was kept before each of the others."""
    columns = [documents[rule_column(rule)] for rule in rules]
    orders = [order_by(rule, column) for rule, column in zip(rules, columns, strict=True)]
    ids = documents["document_id"].to_pylist()
    found = []
    for row in range(1, documents.num_rows):
        differs = [n for n, order in enumerate(orders) if order[row] != order[0]]
        if differs:
            rule, column = rules[differs[0]], columns[differs[0]]
            values = (_value(rule, column[at].as_py()) for at in (0, row))
            found.append(Decision(rule_name(rule), *values))
        else:
            found.append(Decision(BY_ID, ids[0], ids[row]))
    return found


def rule_name(rule: KeepRule) -> str:
    """As the recipe calls it."""
    return rule if isinstance(rule, str) else rule.kind


def _value(rule: KeepRule, held: Value) -> Value:
    if isinstance(rule, FirstSource):
        order = order_by(rule, pa.chunked_array([[held]]))[0]
        return None if np.isinf(order) else rule.urls[int(order)]
    return len(str(held)) if rule == "shortest_url" else held
