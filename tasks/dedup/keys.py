"""The keys of documents: those of a shard, by every method, in scratch; and of a corpus, sorted.

The index of a corpus has the keys of what was kept, so that later corpora can be held against it at
a cost that follows what is new. A file for each column, mapped and searched by blocks: of an index
of a hundred gigabytes only the pages that are asked for are read. Texts stay in the artifact's
documents, and are read again where a pair has to be measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import DamagedArtifact, Fault, RequestError
from storage.tensors import map_tensors, to_bytes, write_tensors
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.documents import Documents, take_rows
from tasks.similarity.shingles import Hashes

Places = npt.NDArray[np.int64]

_BASIS = "basis"


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


def index_file(column: int) -> str:
    """Where in the artifact the keys of a column lie."""
    return f"index/column-{column:04d}.safetensors"


def write_index_column(
    signatures: Sequence[Path],
    kept: Sequence[Path],
    column: int,
    config: DedupConfig,
    workspace: Workspace,
) -> None:
    """Write the sorted keys of a column, with the places of their documents among all kept ones.

    `kept` are files of the row numbers that stay of each shard.
    """
    from tasks.dedup.compiled.keys import BLOCK

    path = index_file(column)
    if workspace.entry(path):
        return
    of_shards = [
        np.asarray(read_keys(signature)[column])[map_tensors(rows)[0]["rows"]]
        for signature, rows in zip(signatures, kept, strict=True)
    ]
    keys = np.concatenate([np.empty(0, np.uint64), *of_shards])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    tensors = {"keys": keys, "documents": order.astype(np.uint32), "fences": keys[::BLOCK]}
    with workspace.writing(path) as stream:
        stream.write(to_bytes(tensors, {_BASIS: config.basis_text()}))


@dataclass(frozen=True)
class EarlierIndex:
    """A corpus that later ones are held against.

    `label` names it, such as dedup@3; `folder` holds its `index/`; `documents` are its files, in
    their order.
    """

    label: str
    folder: Path
    documents: tuple[Path, ...]

    def check(self, config: DedupConfig) -> None:
        """Raise RequestError if its keys are not comparable with those of this configuration.

        Raises DamagedArtifact where a file is torn, or does not hold a key for each document.
        """
        for column in range(config.num_columns):
            path = self.folder / index_file(column)
            if not path.exists():
                self._refuse(f"no {index_file(column)}", config)
            tensors, facts = map_tensors(path)
            if facts.get(_BASIS) != config.basis_text():
                self._refuse(facts.get(_BASIS, "none"), config)
            sizes = {name: tensors[name].size for name in ("keys", "documents") if name in tensors}
            if list(sizes.values()) != [self.num_documents] * 2 or "fences" not in tensors:
                raise DamagedArtifact(
                    f"{path} holds {sizes} and {sorted(tensors)}; expected keys and documents, "
                    f"{self.num_documents} each, and fences. Make {self.label} again with --force "
                    "dedup."
                )

    def _refuse(self, found: str, config: DedupConfig) -> None:
        raise RequestError(
            Fault(
                f"dedup.against: {self.label}",
                f"an index of {found}",
                f"one of {config.basis_text()}",
                "Give this recipe the threshold, shingles and methods of that one, or make that "
                "one again (--force dedup) with these and with this version of Python.",
            )
        )

    @cached_property
    def num_documents(self) -> int:
        return sum(int(pq.read_metadata(path).num_rows) for path in self.documents)

    def find(self, column: int, wanted: Hashes) -> tuple[Places, Places]:
        """Pairs of places: in the sorted `wanted` keys, and of documents that have the key.

        Raises DamagedArtifact where keys are found that do not ascend.
        """
        from tasks.dedup.compiled.keys import find_keys

        path = self.folder / index_file(column)
        tensors, _ = map_tensors(path)
        keys, documents, fences = tensors["keys"], tensors["documents"], tensors["fences"]
        room = max(2 * wanted.size, 1024)
        while True:
            own, there = np.empty(room, np.int64), np.empty(room, np.int64)
            num = int(find_keys(wanted, keys, fences, own, there))
            if num < 0:
                raise DamagedArtifact(
                    f"{path}: key {-num} of {self.label} is less than the one before it; expected "
                    f"sorted keys. Make {self.label} again with --force dedup."
                )
            if num <= room:
                return own[:num], documents[there[:num]].astype(np.int64)
            room = num

    def take(self, rows: Places, columns: Sequence[str]) -> pa.Table:
        """The rows of these documents, whose places ascend."""
        found: list[pa.Table] = []
        first = 0
        for path in self.documents:
            last = first + int(pq.read_metadata(path).num_rows)
            wanted = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)] - first
            if wanted.size or not found:  # the first gives the columns, of no rows too
                found.append(take_rows(path, wanted, columns))
            first = last
        return pa.concat_tables(found)
