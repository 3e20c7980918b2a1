"""Sequences: token ids, packed, each with the documents that they come from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tasks.artifacts.artifact import (
    Artifact,
    ArtifactType,
    ExportForm,
    Files,
    Held,
    Table,
    TakedownSearch,
    Walk,
)
from tasks.artifacts.excerpts import Draw, Excerpt, Excerpts, Row, Wanted
from tasks.artifacts.prose import FEW, count, first
from tasks.artifacts.tokenizer import TOKENIZER

_TOKENS = 96


if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_DOCUMENT_ID = "spans.list.element.document_id"


@dataclass(frozen=True)
class RowSpan:
    """The part of one row that holds a document's tokens.

    `row` counts within `file`, `index` over all files of the split; `start` to `end` are positions
    in the row. `tokens` are those predicted here: the first of a row is not, but in the row where
    the token before it is.
    """

    file: str
    row: int
    index: int
    start: int
    end: int
    tokens: int


@dataclass(frozen=True)
class ShardedDocument:
    """A document in one split; its tokens and the rows that hold them."""

    document_id: str
    split: Split
    tokens: int
    spans: tuple[RowSpan, ...]


@dataclass(frozen=True)
class SequencesFinding:
    """Where some documents lie; `train_rows` are all rows of the train split."""

    train_rows: int
    documents: tuple[ShardedDocument, ...]

    def lines(self) -> Iterator[str]:
        """Tell in which rows, and where in these, the tokens are."""
        for document in self.documents:
            one, last = document.spans[0], document.spans[-1]  # one document lies in one file
            num, within = len({span.row for span in document.spans}), last.row - one.row + 1
            rows = f"row {one.row:,}" if num == 1 else f"rows {one.row:,} to {last.row:,}"
            rows = rows if num == within else f"{num:,} of {rows}"
            yield f"{document.split}: {count(document.tokens, 'token')} in {rows} of {one.file}"
            yield from first(
                document.spans, FEW, lambda s: f"row {s.row:,}: input_ids[{s.start}:{s.end}]"
            )


_STREAM = "All documents of a split, one after the other, each with an end of text after it"
_READ_BIN = """\
import numpy as np

ids = np.memmap(f"{folder}/train.bin", dtype=np.%s, mode="r")
print(len(ids), ids[:16])"""


class Sequences(ArtifactType):
    """Rows of token ids in a train and a validation split, and a test split where one is wanted."""

    forms: ClassVar[Mapping[str, ExportForm]] = {
        "megatron": ExportForm(
            f"{_STREAM}: `train.bin` and `validation.bin`. What begins where is in `train.idx` and "
            "`validation.idx`, as Megatron's IndexedDataset reads them.",
            """\
from megatron.core.datasets.indexed_dataset import IndexedDataset

documents = IndexedDataset(f"{folder}/train")
print(len(documents), documents[0][:16])""",
        ),
        "nanogpt": ExportForm(
            f"{_STREAM}: `train.bin` and `val.bin`, two bytes an id, as nanoGPT reads them.",
            _READ_BIN % "uint16",
        ),
        "nanogpt-uint32": ExportForm(
            f"{_STREAM}: `train.bin` and `val.bin` as for nanoGPT, but four bytes an id.",
            _READ_BIN % "uint32",
        ),
        "litdata": ExportForm(
            f"{_STREAM}: `train/` and `validation/`, as litdata's TokensLoader reads them in "
            "blocks of any length.",
            """\
from litdata import StreamingDataset, TokensLoader

blocks = StreamingDataset(f"{folder}/train", item_loader=TokensLoader(block_size=1025))
print(len(blocks), blocks[0][:16])""",
        ),
    }

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give the beginning of the first sequence, decoded."""
        from tasks.lm.tokens import load_tokenizer

        tokenizer = load_tokenizer(artifact.input(TOKENIZER).folder())
        rows = artifact.first_rows("train/", ["input_ids"], 1)
        ids = rows[0]["input_ids"][:_TOKENS] if rows else []
        text = tokenizer.decode(ids, skip_special_tokens=False)
        yield f"The first {len(ids)} tokens of the first sequence:\n\n{text}"

    def excerpts(self, artifact: Artifact, wanted: Wanted) -> Excerpts:
        """Draw sequences, decoded."""
        if wanted.dropped or wanted.language:
            raise self.cannot_show(artifact, wanted)
        from tasks.lm.tokens import load_tokenizer

        tokenizer, draw = load_tokenizer(artifact.input(TOKENIZER).folder()), Draw(wanted)
        for split in SPLITS:
            draw.offer(artifact, f"{split}/")
        rows = draw.rows()
        texts = (tokenizer.decode(row["input_ids"], skip_special_tokens=False) for row in rows)
        notes = (f"{count(len(r['input_ids']), 'token')}, of {_documents(r)}" for r in rows)
        found = (Excerpt(text=text, note=note) for text, note in zip(texts, notes, strict=True))
        return Excerpts(draw.total, tuple(found))

    def write_form(self, artifact: Artifact, form: str, folder: Path) -> None:
        """Write the ids of the documents, without the rows that they were packed into."""
        from tasks.artifacts.token_files import write

        write(artifact, form, folder)

    def trace(self, artifact: Artifact, walk: Walk) -> SequencesFinding | None:
        """Tell where the documents lie."""
        found = find_sequences(artifact.files, walk.ids)
        return found if found.documents else None

    def held(self, artifact: Artifact, search: TakedownSearch) -> Held:
        """Find the documents, and count the rows that have some of them; `found` is where."""
        found = find_sequences(artifact.files, search.documents)
        rows = {(span.file, span.row) for document in found.documents for span in document.spans}
        return Held(frozenset(d.document_id for d in found.documents), len(rows), found=found)

    def named(self, artifact: Artifact) -> Iterable[str]:
        """Name all documents."""
        return documents_in([path for split in SPLITS for path in artifact.files(f"{split}/")])


def documents_in(paths: Sequence[Path]) -> list[str]:
    """Name the documents that files of sequences hold some of."""
    import pyarrow.compute as pc

    from storage.parquet import read_columns

    return list(
        pc.unique(_flat(read_columns(paths, ["spans"]))[1].field("document_id")).to_pylist()
    )


def _documents(row: Row) -> str:
    return count(len({span["document_id"] for span in row["spans"]}), "document")


def find_sequences(files: Files, ids: Collection[str]) -> SequencesFinding:
    """Find the rows of all splits that hold tokens of these documents."""
    documents = []
    train_rows = 0
    for split in SPLITS:
        spans, num_rows = _find_spans(files(f"{split}/"), ids)
        train_rows += num_rows if split == "train" else 0
        for document_id, found in sorted(spans.items()):
            tokens = sum(span.tokens for span in found)
            documents.append(ShardedDocument(document_id, split, tokens, tuple(found)))
    return SequencesFinding(train_rows, tuple(documents))


def _find_spans(
    paths: Sequence[Path], ids: Collection[str]
) -> tuple[dict[str, list[RowSpan]], int]:
    """Find the spans of each document, and count the rows of all files."""
    import pyarrow.parquet as pq

    from storage.parquet import groups_with

    found: dict[str, list[RowSpan]] = {}
    earlier = 0  # rows of the files before
    for path in paths:
        name = f"{path.parent.name}/{path.name}"
        with pq.ParquetFile(path) as file:
            for group in groups_with(file, _DOCUMENT_ID, ids):
                before = sum(file.metadata.row_group(g).num_rows for g in range(group))
                for row, span in _spans_in(file.read_row_group(group, ["spans"]), ids):
                    place = RowSpan(
                        file=name,
                        row=before + row,
                        index=earlier + before + row,
                        start=span["start"],
                        end=span["end"],
                        tokens=span["end"] - max(span["start"], 1),
                    )
                    found.setdefault(span["document_id"], []).append(place)
            earlier += file.metadata.num_rows
    return found, earlier


def _spans_in(table: pa.Table, ids: Collection[str]) -> list[tuple[int, dict[str, Any]]]:
    """Give (row, span) of each span of these documents."""
    import pyarrow.compute as pc

    from storage.parquet import strings

    rows, spans = _flat(table)
    mask = pc.is_in(spans.field("document_id"), value_set=strings(ids))
    hits = zip(rows.filter(mask).to_pylist(), spans.filter(mask).to_pylist(), strict=True)
    return list(hits)


def _flat(table: pa.Table) -> tuple[pa.Array, pa.StructArray]:
    """Give the row of each span, and all spans."""
    import pyarrow.compute as pc

    column = table["spans"].combine_chunks()
    return pc.list_parent_indices(column), pc.list_flatten(column)


def count_tokens(paths: Sequence[Path], times: npt.NDArray[np.int64]) -> dict[str, int]:
    """Count tokens of each document that are predicted if row `i` is read `times[i]` times.

    The marks between documents belong to none and are not counted.
    """
    import numpy as np
    import pyarrow.parquet as pq

    totals: dict[str, int] = {}
    earlier = 0
    for path in paths:
        with pq.ParquetFile(path) as file:
            table = file.read(["spans"])
        rows, spans = _flat(table)
        names = spans.field("document_id").dictionary_encode()
        start, end = (spans.field(side).to_numpy() for side in ("start", "end"))
        tokens = (end - np.maximum(start, 1)) * times[earlier + rows.to_numpy()]
        sums = np.zeros(len(names.dictionary), dtype=np.int64)
        np.add.at(sums, names.indices.to_numpy(), tokens)
        for name, total in zip(names.dictionary.to_pylist(), sums.tolist(), strict=True):
            totals[name] = totals.get(name, 0) + total
        earlier += table.num_rows
    return totals


SEQUENCES = Sequences(
    "sequences",
    "sequences",
    (
        Table(
            "sequences",
            {split: f"{split}/" for split in SPLITS},
            "token ids, and which positions come from which document",
        ),
    ),
)
