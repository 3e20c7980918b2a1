"""A deduplication in several passes: each is on the documents that the one before left.

Every pass but the last has a workspace of its own in scratch; the last has the artifact's. What
was cut and dropped is listed in the artifact by the pass that did it; which documents are
duplicates is told by each pass of pairs, and put together at the end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.parquet import write_table
from storage.records import DUPLICATE
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.contamination import ScreenWork
from tasks.dedup.editing import TextWork
from tasks.dedup.evaluation import Decontamination
from tasks.dedup.keys import EarlierIndex
from tasks.dedup.work import DUPLICATES, DedupWork, deduplicate

Pass = DedupWork | TextWork | ScreenWork


@dataclass(frozen=True)
class Passes:
    """What is deduplicated, against what, how, and where: as for one pass of pairs, `DedupWork`."""

    documents: tuple[Path, ...]
    earlier: tuple[EarlierIndex, ...]
    config: DedupConfig
    root: Path

    @cached_property
    def all(self) -> tuple[Pass, ...]:
        """The passes in their order. Earlier corpora are looked at by the last one."""
        found: list[Pass] = []
        told: list[Path] = []
        documents, asked = self.documents, self.config.passes()
        for number, one in enumerate(asked, 1):
            is_last = number == len(asked)
            root = self.root if is_last else self.root / f"scratch/pass-{number}"
            if isinstance(one, DedupConfig):
                earlier, before = (self.earlier, tuple(told)) if is_last else ((), ())
                work: Pass = DedupWork(documents, earlier, one, root, before)
                told.append(root / "data" / DUPLICATES)
            elif isinstance(one, Decontamination):
                work = ScreenWork(documents, root, self.root, one)
            else:
                work = TextWork(documents, root, self.root, one, self.config)
            found.append(work)
            documents = work.outputs
        return tuple(found)

    def gather(self) -> Path:
        """The evidence of all passes of pairs as a file of the artifact; returns it."""
        workspace = Workspace(self.root)
        if not isinstance(self.all[-1], DedupWork) and not workspace.entry(DUPLICATES):
            pairs = [work for work in self.all if isinstance(work, DedupWork)]
            files = [work.root / "data" / DUPLICATES for work in pairs]
            table = pa.concat_tables([DUPLICATE.empty_table(), *map(pq.read_table, files)])
            write_table(workspace, DUPLICATES, table.sort_by("document_id").combine_chunks())
        return workspace.data / DUPLICATES

    def describe(self) -> dict[str, Any]:
        """What was cut and dropped by the passes that edit texts, for the manifest."""
        data = self.root / "data"
        cuts, dropped = Counter[str](), Counter[str]()
        for path in sorted(data.glob("cuts/*/*.parquet")):
            table = pq.read_table(path, columns=["start", "end"])
            num = pc.sum(pc.subtract(table["end"], table["start"])).as_py()
            cuts[path.parent.name] += num or 0
        for path in sorted(data.glob("rejects/*/*.parquet")):
            dropped.update(pq.read_table(path, columns=["reason"])["reason"].to_pylist())
        found = {"cut_characters": dict(sorted(cuts.items()))} if cuts else {}
        return found | ({"dropped": dict(sorted(dropped.items()))} if dropped else {})


def carry_out(passes: Passes) -> None:
    """All passes, one after the other, in this process."""
    for work in passes.all:
        if isinstance(work, DedupWork):
            deduplicate(work, with_index=work is passes.all[-1])
        elif isinstance(work, TextWork):
            edit_texts(work)
        else:
            for shard in range(work.num_shards):
                work.screen(shard)
    passes.gather()


def edit_texts(work: TextWork) -> None:
    """All steps of one pass that edits texts."""
    work.rank()
    for shard in range(work.num_shards):
        work.survey(shard)
    for part in range(work.num_parts):
        work.find(part)
    for shard in range(work.num_shards):
        work.edit(shard)
