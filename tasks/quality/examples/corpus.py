"""Documents of the corpus as examples of what is not chosen."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.lookup import read_columns, strings
from tasks.quality.examples.reading import Draw, Example, rank


def draw_documents(documents: Sequence[Path], most: int, seed: int) -> Draw:
    """`most` documents whose ids' hashes are lowest; their texts alone are read."""
    ids = [read_columns([path], ["document_id"])["document_id"].to_pylist() for path in documents]
    ranked = ((rank(seed, one), one) for of_shard in ids for one in of_shard)
    chosen = {one for _, one in heapq.nsmallest(most, ranked)}
    draw = Draw(most, seed)
    for path, of_shard in zip(documents, ids, strict=True):
        wanted = strings(chosen.intersection(of_shard))
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups if len(wanted) else 0):
                table = file.read_row_group(group, ["document_id", "text", "url", "language"])
                table = table.filter(pc.is_in(table["document_id"], value_set=wanted))
                for row in table.drop_columns(["document_id"]).to_pylist():
                    draw.add(Example.of(**row))
    return draw
