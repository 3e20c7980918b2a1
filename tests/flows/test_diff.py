"""What two versions do not share: against a plain-Python model, and as the command says it."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from flows.diff.artifacts import Diff, diff
from flows.diff.render import show_diff
from flows.diff.rows import diff_rows, hash_rows, read_rows, unmatched
from storage.errors import DamagedArtifact, RequestError
from storage.manifest import CheckResult, CodeRef, InputRef, Manifest
from storage.records import DOCUMENT, DUPLICATE, FETCH, ORIGIN, PAIR, REJECT, STEP, sequence_schema
from storage.store import Store
from tests.flows.conftest import Phusa
from tests.flows.sealed import seal

Row = dict[str, Any]
quick = settings(deadline=None, max_examples=60)

ROW = pa.schema(
    [
        pa.field("document_id", pa.string()),
        pa.field("url", pa.string()),
        pa.field("num_words", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("text", pa.string()),
    ]
)
words = st.text(alphabet=" -01ab", max_size=3)
rows = st.fixed_dictionaries(
    {
        "document_id": st.sampled_from("abcd"),
        "url": st.sampled_from(["u", "v", "w"]),
        "num_words": st.one_of(st.none(), st.integers(0, 2)),
        "score": st.sampled_from([0.0, 0.1, None]),
        "tags": st.lists(words, max_size=2),
        "text": st.just("never read"),
    }
)
tables = st.lists(rows, max_size=8)


def write(folder: Path, name: str, table: list[Row], schema: pa.Schema, parts: int) -> list[Path]:
    """The rows in their order, in that many files (none if there is no row and no part)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for part in range(parts):
        start, stop = (len(table) * index // parts for index in (part, part + 1))
        paths.append(folder / f"{name}-{part}.parquet")
        pq.write_table(pa.Table.from_pylist(table[start:stop], schema), paths[-1], row_group_size=3)
    return paths


def in_order(these: list[Any], others: list[Any]) -> list[int]:
    """`unmatched` as anyone would write it."""
    partners = Counter(others)
    left = []
    for position, value in enumerate(these):
        if partners[value]:
            partners[value] -= 1
        else:
            left.append(position)
    return left


# --- rows -------------------------------------------------------------------------------------


@quick
@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_unmatched_is_a_difference_of_multisets(these: list[int], others: list[int]) -> None:
    found = unmatched(np.array(these, np.uint64), np.array(others, np.uint64))
    assert found.tolist() == in_order(these, others)


@quick
@given(tables, tables, st.integers(1, 3), st.integers(1, 3))
def test_rows_against_a_plain_model(
    tmp_path_factory: pytest.TempPathFactory,
    old: list[Row],
    new: list[Row],
    old_parts: int,
    new_parts: int,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    before = write(folder, "old", old, ROW, old_parts)
    after = write(folder, "new", new, ROW, new_parts)
    found = diff_rows(before, after)

    frozen = [[json.dumps(row, sort_keys=True) for row in table] for table in (old, new)]
    gone, added = in_order(*frozen), in_order(*frozen[::-1])
    keys = [[old[i]["document_id"] for i in gone], [new[i]["document_id"] for i in added]]
    only_gone = [gone[i] for i in in_order(*keys)]
    only_added = [added[i] for i in in_order(*keys[::-1])]
    assert found.gone.tolist() == only_gone and found.added.tolist() == only_added
    assert found.key == ("document_id",)
    pairs = list(zip(*(side.tolist() for side in found.changed), strict=True))
    assert sorted(pairs)[: len(pairs)] == pairs  # in the old order
    assert sorted(i for i, _ in pairs) == sorted(set(gone) - set(only_gone))
    assert sorted(j for _, j in pairs) == sorted(set(added) - set(only_added))
    assert all(old[i]["document_id"] == new[j]["document_id"] for i, j in pairs)
    urls = [[old[i]["url"] for i in only_gone], [new[i]["url"] for i in only_added]]
    assert found.same_url == len(only_gone) - len(in_order(*urls))
    shown = read_rows(after, only_added)
    wide = ("text",)
    expected = pa.Table.from_pylist([new[i] for i in only_added], ROW).drop_columns(wide)
    assert shown == expected.to_pylist()


VALUES = {
    "text": (pa.string(), words),
    "bytes": (pa.binary(), st.binary(max_size=2)),
    "ids": (
        pa.list_(pa.uint16()),
        st.lists(st.one_of(st.none(), st.integers(0, 300)), max_size=3),
    ),
    "words": (pa.list_(pa.string()), st.lists(words, max_size=3)),
    "nested": (
        pa.list_(pa.struct([("d", pa.string()), ("n", pa.int32())])),
        st.lists(st.fixed_dictionaries({"d": words, "n": st.integers(0, 11)}), max_size=2),
    ),
    "flags": (pa.list_(pa.bool_()), st.lists(st.booleans(), max_size=3)),
    "number": (pa.float64(), st.floats(allow_nan=False).map(lambda x: x + 0.0)),
    "when": (pa.timestamp("ms", tz="UTC"), st.datetimes(timezones=st.just(UTC))),
}


@quick
@given(st.data(), st.sampled_from(sorted(VALUES)), st.sampled_from(sorted(VALUES)))
def test_hashes_agree_where_rows_do(data: st.DataObject, first: str, second: str) -> None:
    """Two columns side by side: where one ends and the next begins is told apart too."""
    columns = []
    for name in (first, second):
        kind, values = VALUES[name]
        drawn = data.draw(st.lists(st.one_of(st.none(), values), min_size=12, max_size=12))
        columns.append(pa.array(drawn + drawn[:4], kind))
    plain = list(zip(*(map(repr, column.to_pylist()) for column in columns), strict=True))
    hashes = hash_rows(columns).tolist()
    for one, other in ((i, j) for i in range(16) for j in range(16)):
        assert (hashes[one] == hashes[other]) == (plain[one] == plain[other]), (one, other)
    sliced = hash_rows([column.slice(3, 7) for column in columns])
    assert sliced.tolist() == hashes[3:10]


def test_lists_over_a_slice_of_their_numbers() -> None:
    numbers = pa.array([9, 9, 1, 2, 3], pa.uint16())
    sliced = pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), numbers.slice(2))
    plain = pa.array([[1, 2], [3]], pa.list_(pa.uint16()))
    assert sliced == plain and hash_rows([sliced]).tolist() == hash_rows([plain]).tolist()


def test_no_number_is_not_nought() -> None:
    first, second = hash_rows([pa.array([[None], [0]], pa.list_(pa.uint16()))]).tolist()
    assert first != second


@pytest.mark.parametrize(
    ("schema", "key"),
    [
        (DOCUMENT, ("document_id",)),
        (ORIGIN, ("document_id",)),
        (REJECT, ("id",)),
        (FETCH, ("page_id",)),
        (PAIR, ("name",)),
        (STEP, ("step", "name")),
        (sequence_schema(400), ()),
    ],
)
def test_each_record_is_told_apart_by_its_own_key(
    tmp_path: Path, schema: pa.Schema, key: tuple[str, ...]
) -> None:
    paths = write(tmp_path, "one", [], schema, 1)
    assert diff_rows(paths, paths).key == key


def test_text_is_told_by_the_document_id_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    of = pq.ParquetFile.iter_batches

    def spy(self: Any, *args: Any, columns: list[str], **rest: Any) -> Any:
        read.extend(columns)
        return of(self, *args, columns=columns, **rest)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    row = dict.fromkeys(ROW.names) | {"document_id": "a", "text": "x"}
    paths = write(tmp_path, "one", [row], ROW, 1)
    assert len(diff_rows(paths, []).gone) == 1
    assert "url" in read and "text" not in read


def test_a_column_more_is_no_change_of_every_row(tmp_path: Path) -> None:
    row = dict.fromkeys(ROW.names) | {"document_id": "a"}
    old = write(tmp_path, "old", [row], ROW, 1)
    less = pa.schema([field for field in ROW if field.name != "score"])
    new = write(tmp_path, "new", [row], less.append(pa.field("more", pa.int8())), 1)
    found = diff_rows(old, new)
    assert (found.columns_gone, found.columns_added) == (("score",), ("more",))
    assert len(found.gone) == len(found.added) == len(found.changed[0]) == 0
    assert len(diff_rows(old, []).gone) == len(diff_rows([], old).added) == 1


# --- versions ---------------------------------------------------------------------------------


def document(identity: str, url: str, **says: Any) -> Row:
    plain = {"title": "", "text": identity, "extractor": "x", "language": "en"}
    plain |= {"date": "", "author": "", "licence": "", "canonical": ""}
    numbers = {
        "language_score": 1.0,
        "num_words": 1,
        "repeated_share": 0.0,
        "pii": [],
        "quality": 0.5,
    }
    return {"document_id": identity, "url": url, **plain, **numbers, **says}


def part(rows: list[Row], schema: pa.Schema = DOCUMENT) -> pa.Table:
    return pa.Table.from_pylist(rows, schema)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


def two_versions(place: Path) -> tuple[Manifest, Manifest]:
    crawl = seal(place, "crawl", "20261121-01", {"rejects.parquet": part([], REJECT)})
    again = seal(place, "crawl", "20261121-02", {"rejects.parquet": part([], REJECT)})
    same = part([document(f"s{i}", f"http://x/s{i}") for i in range(3)])
    old = seal(
        place,
        "clean",
        "20261121-03",
        {
            "documents/part-00000-of-00002.parquet": same,
            "documents/part-00001-of-00002.parquet": part(
                [
                    document("a", "http://x/a"),
                    document("b", "http://x/b", language="vi"),
                    document("c", "http://x/c"),
                ]
            ),
            "origins/part-00000-of-00001.parquet": part(
                [{"document_id": "b", "page_id": "p1"}], ORIGIN
            ),
            "model.bin": b"old",
        },
        inputs=(crawl,),
        config={"filters": [{"kind": "length", "min_words": 20}], "languages": []},
        stats={"dropped": {"too_few_words": 1}, "compute": "cpu"},
        rows_in=7,
        volatile=("origins/part-00000-of-00001.parquet",),
    )
    check = CheckResult(
        measure="share_kept",
        value=0.5,
        last=None,
        bounds={},
        severity="warn",
        passed=False,
        says="",
    )
    new = seal(
        place,
        "clean",
        "20261121-04",
        {
            "documents/part-00000-of-00003.parquet": same,
            "documents/part-00001-of-00003.parquet": part([document("a2", "http://x/a")]),
            "documents/part-00002-of-00003.parquet": part(
                [document("b", "http://x/b", language="en"), document("d", "http://x/d")]
            ),
            "origins/part-00000-of-00001.parquet": part(
                [{"document_id": "b", "page_id": "p2"}], ORIGIN
            ),
        },
        inputs=(again,),
        config={"filters": [{"kind": "length", "min_words": 30}], "languages": []},
        stats={"dropped": {"too_few_words": 3}, "compute": "cuda"},
        rows_in=7,
        seconds=2.0,
        volatile=("origins/part-00000-of-00001.parquet",),
        code=CodeRef(stage_version=2, source_sha256="0" * 64),
        checks=(check,),
        forgotten=("t1",),
    )
    return old, new


def compared(place: Path, num: int = 5) -> Diff:
    return diff(Store(place), *two_versions(place), num)


def test_every_section(place: Path) -> None:
    old, new = two_versions(place)
    found = diff(Store(place), old, new)
    assert not found.same_content and not found.same_recipe

    def said(changes: Any) -> list[tuple[Any, ...]]:
        return [(c.name, c.old, c.new, c.change) for c in changes]

    assert said(found.configuration) == [("filters.0.min_words", 20, 30, 10)]
    (crawl,) = found.inputs
    assert (crawl.old, crawl.new, crawl.same_content) == ("20261121-01", "20261121-02", True)
    assert said(found.code) == [("stage_version", 1, 2, 1)]
    figures = {c.name: c for c in found.figures}
    assert figures["dropped.too_few_words"].change == 2
    assert figures["seconds"].change == 0.5
    assert (figures["compute"].new, figures["compute"].change) == ("cuda", None)
    assert "rows_in" not in figures and figures["bytes"].change == new.num_bytes - old.num_bytes
    assert said(found.checks) == [
        ("share_kept (warn)", None, {"value": 0.5, "passed": False}, None)
    ]
    assert said(found.takedowns) == [("t1", None, True, None)]
    files = {f.path: (f.old is None, f.new is None, f.volatile) for f in found.files}
    assert files["model.bin"] == (False, True, False)
    assert files["documents/part-00002-of-00003.parquet"] == (True, False, False)
    assert files["origins/part-00000-of-00001.parquet"] == (False, False, True)
    assert found.same_files == 0


def test_rows_of_tables(place: Path) -> None:
    found = compared(place)
    documents, origins = found.tables
    assert (documents.name, documents.rows_old, documents.rows_new) == ("documents", 6, 6)
    assert (documents.gone, documents.added, documents.changed, documents.same_url) == (2, 2, 1, 1)
    assert [e.url for e in documents.examples_gone] == ["http://x/a", "http://x/c"]
    assert [e.url for e in documents.examples_added] == ["http://x/a", "http://x/d"]
    (changed,) = documents.examples_changed
    assert changed.changes == {"language": ("vi", "en")} and changed.url == "http://x/b"
    (origin,) = origins.examples_changed  # it has no URL of its own
    assert origin.url == "http://x/b" and origin.changes == {"page_id": ("p1", "p2")}


def test_counts_are_full_where_examples_are_few(place: Path) -> None:
    documents, _ = compared(place, 1).tables
    assert (documents.gone, len(documents.examples_gone)) == (2, 1)
    documents, _ = compared(place, 0).tables
    assert (documents.gone, documents.examples_gone) == (2, ())


def test_files_that_both_have_are_not_read(place: Path) -> None:
    old, new = two_versions(place)
    for manifest, parts in ((old, 2), (new, 3)):
        path = f"documents/part-00000-of-0000{parts}.parquet"
        (place / "versions" / "clean" / manifest.version / "data" / path).write_bytes(b"no Parquet")
    assert diff(Store(place), old, new, 0).tables[0].gone == 2


def test_a_file_that_one_side_has_twice_counts_twice(place: Path) -> None:
    same = part([document("a", "http://x/a")])
    files = {f"documents/part-0000{i}-of-00002.parquet": same for i in range(2)}
    twice = seal(place, "clean", "20261121-01", dict(files))
    files.popitem()
    once = seal(place, "clean", "20261121-02", dict(files))
    (table,) = diff(Store(place), twice, once).tables
    assert (table.gone, table.added) == (1, 0)
    (table,) = diff(Store(place), once, twice).tables
    assert (table.gone, table.added) == (0, 1)


def test_a_file_that_cannot_be_read_is_named(place: Path) -> None:
    old, new = two_versions(place)
    path = place / "versions/clean/20261121-04/data/documents/part-00001-of-00003.parquet"
    path.write_bytes(b"no Parquet")
    with pytest.raises(DamagedArtifact, match=r"documents of clean@20261121-03 .*--force"):
        diff(Store(place), old, new)
    path.unlink()
    with pytest.raises(DamagedArtifact, match="documents of clean"):
        diff(Store(place), old, new)


def test_other_names_are_refused(place: Path) -> None:
    old, _ = two_versions(place)
    other = seal(place, "dedup", "20261121-05", {"duplicates.parquet": part([], DUPLICATE)})
    with pytest.raises(RequestError, match=r"clean@20261121-03 and dedup.*two versions of one"):
        diff(Store(place), old, other)


def test_two_that_one_stage_made_are_compared(place: Path) -> None:
    """Instances of a recipe: their inputs may be of different names, too."""
    old, _ = two_versions(place)
    source = seal(place, "crawled", "20261121-07", {"x": b"x"}, stage="crawl")
    other = seal(place, "strict", "20261121-06", {"x": b"x"}, stage="clean")
    references = {"crawl": InputRef(name="crawled", version=source.version, digest="")}
    found = diff(Store(place), old, other.model_copy(update={"inputs": references}))
    assert (found.old, found.new) == (old.label, "strict@20261121-06")
    (crawl,) = found.inputs
    assert crawl.new == "crawled@20261121-07" and crawl.old == "crawl@20261121-01"


def test_sequences_are_compared_whole_and_name_a_url(place: Path) -> None:
    def sequence(*ids: int) -> Row:
        return {
            "input_ids": list(ids),
            "spans": [{"document_id": "a", "start": 0, "end": len(ids)}],
        }

    kind = sequence_schema(400)
    documents = {"documents/part-00000-of-00001.parquet": part([document("a", "http://x/a")])}
    dedup = seal(place, "dedup", "20261121-01", documents)
    tables = [
        part([sequence(1, 2), sequence(1, 2), sequence(3)], kind),
        part([sequence(1, 2), sequence(3), sequence(3, 4)], kind),
    ]
    versions = [
        seal(
            place, "shard", f"2026112{i}", {"train/part-00000-of-00001.parquet": t}, inputs=(dedup,)
        )
        for i, t in enumerate(tables)
    ]
    (train,) = diff(Store(place), *versions).tables
    assert (train.name, train.key) == ("train", ())
    assert (train.gone, train.added, train.changed) == (1, 1, 0)
    (example,) = train.examples_gone
    assert example.url == "http://x/a" and "input_ids" not in example.row


def test_many_rows_are_quick(tmp_path: Path) -> None:
    """A tenth of the scale that the docstring claims: seconds even on a busy host."""
    draw = random.Random(0)
    ids = [f"{draw.getrandbits(128):032x}" for _ in range(100_000)]
    for name, some in (("old", ids), ("new", ids[100:])):
        table = pa.table({"document_id": some, "url": [f"http://x/{i}" for i in some]})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    started = datetime.now(UTC)
    found = diff_rows([tmp_path / "old.parquet"], [tmp_path / "new.parquet"])
    assert found.gone.tolist() == list(range(100)) and not len(found.added)
    assert math.isclose((datetime.now(UTC) - started).total_seconds(), 0, abs_tol=10)


# --- as people and programs see it ------------------------------------------------------------


def rendered(found: Diff) -> str:
    console = Console(width=120, record=True, quiet=False)
    with console.capture() as captured:
        show_diff(console, found)
    return captured.get()


def test_what_people_see(place: Path) -> None:
    old, new = two_versions(place)
    said = rendered(diff(Store(place), old, new, 1))
    for expected in (
        "clean@20261121-03 → clean@20261121-04",
        f"content: different ({old.digest[:12]} → {new.digest[:12]})",
        "filters.0.min_words",
        "the same",
        "origins/part-00000-of-00001.parquet",
        "documents: 2 gone, 1 of them at a URL that is on both sides",
        "- http://x/a",
        "… and 1 more (--rows N shows N)",
        "~ http://x/b  language: vi → en",
    ):
        assert expected in said, said
    same = rendered(diff(Store(place), old, old))
    assert "content: the same" in same and "files: all 4 the same" in same
    for absent in ("configuration  ", "input ", "code  ", "figures", "checks", " gone\n"):
        assert absent not in same, same


def test_the_command(phusa: Phusa, store: Store, place: Path) -> None:
    two_versions(place)
    where = ("--store", place)
    answer = json.loads(phusa("diff", "clean@20261121-03", "clean", "--json", *where).stdout)
    assert answer["tables"][0]["gone"] == 2 and answer["configuration"][0]["change"] == 10
    assert "2 gone" in phusa("diff", "clean@20261121-03", "clean", "--rows", 2, *where).stdout
    real = ("--store", store.address)
    for name in ("crawl", "shard", "finetune"):
        answer = json.loads(phusa("diff", name, name, "--json", *real).stdout)
        assert answer["same_content"] and not answer["files"] and answer["tables"]
    refused = phusa("diff", "clean", "dedup", *real, code=2).stderr
    assert "two versions of one artifact" in " ".join(refused.split())
    shown = phusa("diff", "--help").stdout
    assert "phusa diff clean@" in shown and "Example" in shown


def test_fetch_times_are_written_as_text(place: Path) -> None:
    when = datetime(2026, 11, 21, tzinfo=UTC)
    fetch = {"page_id": "p", "fetched_at": when, "checked_at": when, "status": 200, "depth": 0}
    counts = {"num_checks": 0, "num_changes": 0, "etag": "", "last_modified": ""}
    fetch |= counts | {"robots": "allowed"}
    warc = {"warc_file": "pages-00000.warc.gz", "warc_offset": 0, "warc_bytes": 9}
    versions = [
        seal(
            place,
            "crawl",
            f"2026112{depth}",
            {
                "fetches/part-00000-of-00001.parquet": part(
                    [{**fetch, **warc, "depth": depth}], FETCH
                )
            },
        )
        for depth in (0, 1)
    ]
    (table,) = diff(Store(place), *versions).tables
    (example,) = table.examples_changed
    assert example.row["fetched_at"] == "2026-11-21T00:00:00+00:00"
    assert example.changes == {"depth": (0, 1)} and example.url is None
    assert "page_id p  depth: 0 → 1" in rendered(diff(Store(place), *versions))
