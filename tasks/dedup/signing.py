"""The keys of a shard's documents, by every method: one scratch file for each shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storage.tensors import map_tensors, write_tensors
from tasks.dedup.config import DedupConfig
from tasks.dedup.documents import Documents, Rows
from tasks.dedup.selection import DocumentShard
from tasks.dedup.shingles import Hashes


def sign_shard(shard: DocumentShard, config: DedupConfig, target: Path) -> None:
    """Write the keys of the documents of one shard (columns x documents), if they are not there,
    and which of them are to be looked at.

    The target lies in scratch; it is replaced as a whole, so a torn one cannot be read.
    """
    if target.exists():
        return
    documents = Documents.of_file(shard.documents, config.shingles)
    keys = [method.keys_of(documents, config.threshold) for method in config.methods]
    passes = shard.passes().astype(np.uint8)
    write_tensors(target, {"keys": np.concatenate(keys), "passes": passes}, {})


def read_keys(path: Path) -> Hashes:
    """The keys of a shard (columns x documents), mapped."""
    keys: Hashes = map_tensors(path)[0]["keys"]
    return keys


def read_passing(path: Path) -> Rows:
    """The rows of a shard that are to be looked at."""
    return np.flatnonzero(map_tensors(path)[0]["passes"])
