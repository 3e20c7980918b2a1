"""What deduplication reads of documents that were scored."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import RequestError
from storage.records import DOCUMENT, REJECT, SCORE
from tasks.dedup.documents import DocumentShard, document_shards
from tests.tasks.dedup.conftest import document

ROWS = [document(f"http://a/{n}", f"text {n}", quality=-1.0) for n in range(3)]


def write(folder: Path, number: int, scores: list[float], rejected: list[int]) -> DocumentShard:
    name = f"part-{number}.parquet"
    told = [{**row, "score": score} for row, score in zip(ROWS, scores, strict=False)]
    blank = dict.fromkeys(REJECT.names, "")
    dropped = [{**blank, "id": ROWS[n]["document_id"]} for n in rejected]
    tables = {
        "documents": pa.Table.from_pylist(ROWS, DOCUMENT),
        "scores": pa.Table.from_pylist(
            [{key: row[key] for key in SCORE.names} for row in told], SCORE
        ),
        "rejects": pa.Table.from_pylist(dropped, REJECT),
    }
    for table, content in tables.items():
        (folder / table).mkdir(exist_ok=True)
        pq.write_table(content, folder / table / name)
    return DocumentShard(*(folder / table / name for table in tables))


def test_rejects_are_left_out_and_scores_filled_in(tmp_path: Path) -> None:
    shard, target = write(tmp_path, 0, [0.5, 0.25, 0.75], [1]), tmp_path / "scratch" / "part-0"
    shard.select(target)
    table = pq.read_table(target)
    assert table.schema.equals(DOCUMENT)
    assert table["url"].to_pylist() == ["http://a/0", "http://a/2"]
    assert table["quality"].to_pylist() == [0.5, 0.75]
    shard.documents.unlink()
    shard.select(target)  # it is there: nothing is read again


def test_files_of_one_number_belong_together(tmp_path: Path) -> None:
    whole = [write(tmp_path, number, [0.5, 0.25, 0.75], [1]) for number in range(2)]
    documents, scores = [s.documents for s in whole], [s.scores for s in whole if s.scores]
    rejects = [s.rejects for s in whole if s.rejects]
    assert document_shards(documents, scores, rejects) == whole
    first, second = document_shards(documents, scores, rejects[1:])  # none of the first dropped
    assert first.rejects is None and second == whole[1]


def test_scores_of_other_documents_are_refused(tmp_path: Path) -> None:
    shard = write(tmp_path, 0, [0.5, 0.25], [])
    with pytest.raises(RequestError, match="scores of other documents"):
        shard.select(tmp_path / "target")
    with pytest.raises(RequestError, match="from quality"):
        document_shards([shard.documents] * 2, [shard.documents], [])
