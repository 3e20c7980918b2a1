"""From matches to what the artifact holds: evidence of each drop, and the documents that stay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import write_table
from storage.records import DUPLICATE
from storage.tensors import map_tensors
from storage.workspace import Workspace
from tasks.dedup.candidates import Nodes
from tasks.dedup.config import DedupConfig
from tasks.dedup.documents import take_rows
from tasks.dedup.earlier import EarlierIndex
from tasks.dedup.matching import Matches


def number_documents(documents: Sequence[Path], earlier: Sequence[EarlierIndex]) -> Nodes:
    """The number of the first document of each file, then of each earlier corpus, and one past the
    last."""
    sizes = [pq.read_metadata(path).num_rows for path in documents]
    sizes += [index.num_documents for index in earlier]
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)


def rows_within(nodes: Nodes, firsts: Nodes, number: int) -> Nodes:
    """Which rows of the file or corpus of this number the documents are, of those that are its.

    `nodes` ascend: of many, only the places that are searched are read.
    """
    first, last = np.searchsorted(nodes, firsts[number : number + 2])
    return np.asarray(nodes[first:last] - firsts[number], np.int64)


def write_evidence(
    matches: Matches,
    firsts: Nodes,
    documents: Sequence[Path],
    earlier: Sequence[EarlierIndex],
    config: DedupConfig,
    before: Sequence[Path],
    workspace: Workspace,
    path: str,
) -> None:
    """Write each document that goes with the one that is kept, as records.DUPLICATE, and what is in
    the files of `before`. `firsts` are those of `number_documents`."""
    if workspace.entry(path):
        return
    nodes = np.unique(np.concatenate([matches.dropped, matches.kept]))
    named = _name(nodes, firsts, documents, earlier)
    dropped = named.take(np.searchsorted(nodes, matches.dropped))
    kept = named.take(np.searchsorted(nodes, matches.kept))
    kinds = pa.array([method.kind for method in config.pair_methods], pa.string())
    columns = {
        "document_id": dropped["document_id"],
        "url": dropped["url"],
        "kept_id": kept["document_id"],
        "kept_url": kept["url"],
        "kept_in": kept["kept_in"],
        "similarity": pa.array(matches.similarities, pa.float64()),
        "method": kinds.take(pa.array(matches.methods)),
    }
    table = pa.concat_tables([pa.table(columns).cast(DUPLICATE), *map(pq.read_table, before)])
    table = table.sort_by("document_id").combine_chunks()
    write_table(workspace, path, table)


def _name(
    nodes: Nodes, firsts: Nodes, documents: Sequence[Path], earlier: Sequence[EarlierIndex]
) -> pa.Table:
    """Id and URL of each of these documents, and the earlier corpus that holds it, or nothing."""
    names = ["document_id", "url"]
    found = [take_rows(p, rows_within(nodes, firsts, n), names) for n, p in enumerate(documents)]
    labels = [""] * sum(map(len, found))
    for number, index in enumerate(earlier, len(documents)):
        rows = rows_within(nodes, firsts, number)
        if rows.size:
            found.append(index.take(rows, names))
            labels += [index.label] * rows.size
    plain = [table.cast(pa.schema([(n, pa.string()) for n in names])) for table in found]
    return pa.concat_tables(plain).append_column("kept_in", pa.array(labels, pa.string()))


def filter_shard(documents: Path, kept: Path, workspace: Workspace, path: str) -> None:
    """Write the rows of one shard that stay; `kept` is a file of their numbers."""
    if workspace.entry(path):
        return
    table = pq.read_table(documents)
    stays = np.zeros(table.num_rows, bool)
    stays[map_tensors(kept)[0]["rows"]] = True
    write_table(workspace, path, table.filter(pa.array(stays)))


def count_duplicates(duplicates: Path) -> dict[str, int]:
    """How many documents were dropped for one of this corpus, how many for one and the same at
    most, and how many because an earlier corpus holds them.
    """
    table = pq.read_table(duplicates, columns=["kept_id", "kept_in"])
    own = table.filter(pc.equal(table["kept_in"], ""))["kept_id"]
    most = int(pc.max(pc.value_counts(own).field("counts")).as_py() or 0)
    counts = {"duplicates": len(own), "most_copies": most}
    return counts | ({"already_there": len(table) - len(own)} if len(own) < len(table) else {})
