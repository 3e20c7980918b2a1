"""Which files a source reads, on a disk and in a bucket."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from storage.backends.s3 import S3Backend
from storage.errors import RequestError
from tasks.crawl.inputs.listing import Input, find_inputs, local_file
from tasks.crawl.sources import FilesSource, RecordsSource, WarcSource
from tests.tasks.crawl.sources.books import chapter, write_book
from tests.tasks.crawl.sources.reading import read_all
from tests.tasks.crawl.sources.warcs import packed, response

WARCS = (".warc.gz",)
NAMES = ("b/2.warc.gz", "a/1.warc.gz", "a/1.txt", "a/.hidden.warc.gz", "0.WARC.GZ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(packed(response(f"http://a.test/{name}"))))
    return tmp_path / "in"


def _names(*paths: str) -> list[str]:
    return [file.name for file in find_inputs(paths, WARCS)]


def test_a_folder_is_read_sorted(folder: Path) -> None:
    assert _names(str(folder)) == ["0.WARC.GZ", "a/1.warc.gz", "b/2.warc.gz"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a/1.txt", ["1.txt"]),  # named by the user: whatever its suffix
        ("*/*.gz", ["a/.hidden.warc.gz", "a/1.warc.gz", "b/2.warc.gz"]),
        ("**/2.*", ["b/2.warc.gz"]),
        ("a/[0-9].warc.gz", ["1.warc.gz"]),
    ],
)
def test_files_and_globs(folder: Path, pattern: str, names: list[str]) -> None:
    assert _names(f"{folder}/{pattern}") == names


def test_order_is_as_given_and_each_file_once(folder: Path) -> None:
    assert _names(f"{folder}/b", str(folder)) == ["2.warc.gz", "0.WARC.GZ", "a/1.warc.gz"]


def test_relative_paths_and_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder))
    assert _names("in/a") == ["1.warc.gz"]
    assert _names("in/*/1.warc.gz") == ["a/1.warc.gz"]
    assert _names("~/a") == ["1.warc.gz"]
    assert _names("~/*/2.warc.gz") == ["b/2.warc.gz"]


def test_all_that_is_missing_is_said_at_once(folder: Path) -> None:
    with pytest.raises(RequestError) as caught:
        _names(str(folder / "x"), str(folder), str(folder / "*.none"), "s3x://a")
    assert len(caught.value.faults) == 3


def test_two_files_of_one_name_are_a_fault(folder: Path) -> None:
    (folder / "a" / "2.warc.gz").write_bytes(b"")
    with pytest.raises(RequestError, match=r"1 names twice, such as 2\.warc\.gz"):
        _names(str(folder / "a"), str(folder / "b"))


# --- lists --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".paths", ".paths.gz"])
def test_a_list_of_files(folder: Path, tmp_path: Path, suffix: str) -> None:
    lines = b"b/2.warc.gz\n\na/1.warc.gz\n"
    listed = tmp_path / f"warc{suffix}"
    listed.write_bytes(gzip.compress(lines) if suffix.endswith(".gz") else lines)
    for prefix in (str(folder), f"{folder}/"):
        source = WarcSource(paths=(str(listed),), prefix=prefix)
        assert source.inputs() == [
            Input("b/2.warc.gz", f"{folder}/b/2.warc.gz"),
            Input("a/1.warc.gz", f"{folder}/a/1.warc.gz"),
        ]
    pages, _ = read_all(source, tmp_path / "scratch")
    assert len(pages) == 2


def test_a_list_names_its_absent_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.paths").write_text("a/1.warc.gz\nnone.warc.gz\n")
    source = WarcSource(paths=(str(tmp_path / "x.paths"),), prefix=str(folder))
    with pytest.raises(RequestError, match=r"1 of 2 files absent, such as .*none\.warc\.gz"):
        source.inputs()


@pytest.mark.parametrize("data", [b"no gzip", b"", gzip.compress(b"x" * 99, mtime=0)[:-5]])
def test_a_list_that_cannot_be_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.paths.gz").write_bytes(data)
    with pytest.raises(RequestError, match=r"x\.paths\.gz"):
        WarcSource(paths=(str(tmp_path / "x.paths.gz"), str(tmp_path / "none.paths"))).inputs()


# --- a bucket -----------------------------------------------------------------------------------


@pytest.fixture
def bucket(s3_bucket: str, tmp_path: Path) -> str:
    """Files of every source under `in/`."""
    book = write_book(tmp_path / "book.epub", {"one.xhtml": chapter("one")})
    files = {
        "in/a/1.warc.gz": b"".join(packed(response("http://a.test/1"))),
        "in/b/2.warc.gz": b"".join(packed(response("http://a.test/2"))),
        "in/t.jsonl": b'{"text": "row"}\n',
        "in/doc.md": b"# x",
        "in/book.epub": book.read_bytes(),
        "warc.paths": b"in/b/2.warc.gz\nin/a/1.warc.gz\n",
        "lost.paths": b"in/none.warc.gz\n",
    }
    backend = S3Backend(s3_bucket)
    for key, data in files.items():
        backend.create(key, data)
    return s3_bucket


IN_BUCKET = {
    "in": ["a/1.warc.gz", "b/2.warc.gz"],
    "in/": ["a/1.warc.gz", "b/2.warc.gz"],
    "": ["in/a/1.warc.gz", "in/b/2.warc.gz"],
    "in/b": ["2.warc.gz"],
    "in/a/1.warc.gz": ["1.warc.gz"],
    "in/*/2*.gz": ["b/2.warc.gz"],
    "warc.paths": ["in/b/2.warc.gz", "in/a/1.warc.gz"],
}
ABSENT = ("none", "in/none.warc.gz", "in/*.none", "none.paths", "lost.paths")


def test_files_of_every_source_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    for path, names in IN_BUCKET.items():
        source = WarcSource(paths=(f"{bucket}/{path}",), prefix=bucket)
        assert [file.name for file in source.inputs()] == names, path
    pages, rejects = read_all(source, tmp_path / "scratch")
    assert (list(pages), rejects) == (["http://a.test/2", "http://a.test/1"], [])
    assert list((tmp_path / "scratch").iterdir()) == []
    pages, _ = read_all(FilesSource(path=f"{bucket}/in"), tmp_path / "scratch")
    assert list(pages) == ["file:///book.epub/OEBPS/one.xhtml", "file:///doc.md"]
    pages, _ = read_all(RecordsSource(paths=(f"{bucket}/in",)), tmp_path / "scratch")
    assert list(pages) == ["file:///t.jsonl/0"]

    for path in ABSENT:
        source = WarcSource(paths=(f"{bucket}/{path}",), prefix=bucket)
        with pytest.raises(RequestError, match="no such file"):
            read_all(source, tmp_path / "scratch")
    file = Input("1.warc.gz", f"{bucket}/in/a/1.warc.gz")
    with pytest.raises(KeyboardInterrupt), local_file(file, tmp_path) as path:
        assert path.parent == tmp_path
        raise KeyboardInterrupt
    assert not path.exists()
