"""An adapter without the pairs that quote what was taken down; its weights stay as they are."""

from __future__ import annotations

import shutil

import pyarrow.compute as pc

from storage.parquet import read_table, strings, write_table
from tasks.stage import Outcome, Rewriting


def rewrite(job: Rewriting) -> Outcome:
    """Copy all files; of tables only the rows of other documents."""
    old, workspace, gone = job.old, job.workspace, strings(job.held.ids)
    for entry in old.manifest.files:
        path = old.files(entry.path)[0]
        if entry.path.startswith("pairs/"):
            table = read_table([path])
            table = table.filter(pc.invert(pc.is_in(table["document_id"], value_set=gone)))
            write_table(workspace, entry.path, table, volatile=entry.volatile)
            continue
        writing = workspace.writing(entry.path, volatile=entry.volatile)
        with writing as target, path.open("rb") as source:
            shutil.copyfileobj(source, target, 1 << 20)
    return Outcome(old.manifest.rows_in, old.manifest.rows_out)
