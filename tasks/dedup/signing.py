"""The keys of a shard's documents, by every method: one scratch file for each shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storage.tensors import map_tensors, write_tensors
from tasks.dedup.config import DedupConfig
from tasks.dedup.documents import Documents
from tasks.dedup.shingles import Hashes


def sign_shard(documents: Path, config: DedupConfig, target: Path) -> None:
    """Write the keys of the documents of one file (columns x documents), if they are not there.

    The target lies in scratch; it is replaced as a whole, so a torn one cannot be read.
    """
    if target.exists():
        return
    shard = Documents.of_file(documents, config.shingles)
    keys = [method.keys_of(shard, config.threshold) for method in config.pair_methods]
    write_tensors(target, {"keys": np.concatenate(keys)}, {})


def read_keys(path: Path) -> Hashes:
    """The keys of a shard (columns x documents), mapped."""
    keys: Hashes = map_tensors(path)[0]["keys"]
    return keys
