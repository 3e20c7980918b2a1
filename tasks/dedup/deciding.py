"""Why the kept document of a cluster came before another: the rule of the policy that decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.dedup.config import FirstSource, KeepRule
from tasks.dedup.ranking import order_by, rule_column

BY_ID = "id"
"""The rule where all rules of the policy find two documents equal: the lower id."""

Value = float | int | str | None


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
