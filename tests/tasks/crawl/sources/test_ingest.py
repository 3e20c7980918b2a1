"""Records into the catalogue: once each, in order, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import Interrupted, NothingLeft, RequestError
from storage.takedown import Forgotten, Takedown
from storage.warc import read_body
from storage.workspace import Workspace
from tasks.crawl import ingest as module
from tasks.crawl.captures import Found, RejectedUrl
from tasks.crawl.catalogue import Catalogue, FetchedPage
from tasks.crawl.index import write_index
from tasks.crawl.ingest import ingest
from tasks.crawl.sources import FilesSource, WarcSource
from tasks.progress import reporting_to
from tests.conftest import ROOT
from tests.tasks.crawl.sources.warcs import packed, response
from tests.tasks.stopping import StopAfter


def write_warcs(folder: Path, num_files: int = 3, num_pages: int = 40) -> WarcSource:
    """Files of pages; every tenth record is not found, the last of each file is torn."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num_files):
        records = [
            response(
                f"http://a.test/{number}/{i}",
                b"<p>Page %d of %d</p>" % (i, number) * 20,
                status="404 Not Found" if i % 10 == 3 else "200 OK",
            )
            for i in range(num_pages)
        ]
        data = b"".join(packed(*records))
        (folder / f"{number}.warc.gz").write_bytes(data[:-9])
    return WarcSource(paths=(str(folder),))


def seen(folder: Path) -> tuple[list[FetchedPage], list[RejectedUrl]]:
    with Catalogue(folder) as catalogue:
        return list(catalogue.pages()), list(catalogue.rejects())


def warc_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "warc").iterdir())}


def _facts(pages: list[FetchedPage]) -> list[tuple[object, ...]]:
    return [(p.url, p.page_id, p.fetched_at_ms, p.warc_file) for p in pages]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 7)


def test_pages_lie_where_the_catalogue_says(tmp_path: Path) -> None:
    ingest(write_warcs(tmp_path / "in"), tmp_path / "out")
    pages, rejects = seen(tmp_path / "out")
    assert len(pages) == 3 * (40 - 4 - 1)
    assert [r.reason for r in rejects] == ["bad_record"] * 3 + ["http_404"] * 12
    for page in pages:
        body = read_body(tmp_path / "out" / "warc" / page.warc_file, page.warc_offset)
        assert page.url.encode()[len("http://a.test/") :].split(b"/")[1] in body


def test_a_second_call_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_warcs(tmp_path / "in")
    ingest(source, tmp_path / "out")
    before = seen(tmp_path / "out")
    monkeypatch.setattr("tasks.crawl.inputs.warc.read_warc", None)
    ingest(source, tmp_path / "out")
    assert seen(tmp_path / "out") == before


def test_of_two_records_of_a_url_the_first_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "b.warc", tmp_path / "a.warc"
    first.write_bytes(response("http://a.test/x?b=1&a=2", b"first") * 2)
    second.write_bytes(response("http://A.test/x?a=2&b=1#y", b"second"))
    ingest(WarcSource(paths=(str(first), str(second))), tmp_path / "out")
    pages, rejects = seen(tmp_path / "out")
    assert [page.num_bytes for page in pages] == [5]
    at = len(response("http://a.test/x?b=1&a=2", b"first"))
    assert [(r.url, r.reason, r.value) for r in rejects] == [
        ("a.warc#0", "duplicate_url", "http://a.test/x?a=2&b=1"),
        (f"b.warc#{at}", "duplicate_url", "http://a.test/x?a=2&b=1"),
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_url_with_a_page_is_no_reject(tmp_path: Path, order: tuple[int, int]) -> None:
    both = response("http://a.test/", status="404 Gone"), response("http://a.test/")
    (tmp_path / "x.warc").write_bytes(b"".join(both[i] for i in order))
    ingest(WarcSource(paths=(str(tmp_path / "x.warc"),)), tmp_path / "out")
    pages, rejects = seen(tmp_path / "out")
    assert (len(pages), rejects) == (1, [])
    with Catalogue(tmp_path / "out") as catalogue:
        assert catalogue.reasons() == {}


def test_what_was_taken_down_stays_out(tmp_path: Path) -> None:
    facts = {"why": "asked", "by": "me", "at": "2026-01-01T00:00:00Z"}
    forgotten = Forgotten(
        (
            Takedown(id="1", kind="url", value="http://a.test/0/1", **facts),
            Takedown(id="2", kind="domain", value="b.test", **facts),
        )
    )
    source = write_warcs(tmp_path / "in", num_files=1, num_pages=5)
    (tmp_path / "in" / "b.warc").write_bytes(response("http://www.b.test/", b"secret"))
    ingest(source, tmp_path / "out", forgotten)
    pages, rejects = seen(tmp_path / "out")
    assert sorted(p.url for p in pages) == ["http://a.test/0/0", "http://a.test/0/2"]
    assert [(r.url, r.value) for r in rejects if r.reason == "forgotten"] == [
        ("http://a.test/0/1", "url http://a.test/0/1"),
        ("http://www.b.test/", "domain b.test"),
    ]
    assert not any(b"secret" in data for data in warc_bytes(tmp_path / "out").values())


def test_no_page_at_all_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(response("http://a.test/", status="404 Gone") + b"junk")
    with pytest.raises(NothingLeft, match=r"a\.warc \[1 bad_record, 1 http_404\]"):
        ingest(WarcSource(paths=(str(tmp_path / "a.warc"),)), tmp_path / "out")


def test_one_file_without_a_page_is_none(tmp_path: Path) -> None:
    source = write_warcs(tmp_path / "in", num_files=1)
    (tmp_path / "in" / "empty.warc.gz").write_bytes(b"")
    ingest(source, tmp_path / "out")


def test_what_is_not_there_is_said_before_any_work(tmp_path: Path) -> None:
    write_warcs(tmp_path / "in", num_files=1)
    paths = (str(tmp_path / "in"), str(tmp_path / "none"), str(tmp_path / "no" / "*.gz"))
    with pytest.raises(RequestError) as caught:
        ingest(WarcSource(paths=paths), tmp_path / "out")
    assert str(tmp_path / "none") in str(caught.value)
    assert str(tmp_path / "no" / "*.gz") in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_progress_and_a_stop(tmp_path: Path) -> None:
    source = write_warcs(tmp_path / "in")
    reporter = StopAfter("read", 4)
    with reporting_to(reporter), pytest.raises(Interrupted):
        ingest(source, tmp_path / "out")
    assert reporter.bars == [("read", 3, "inputs", 0)]
    stopped = len(seen(tmp_path / "out")[0])
    assert 0 < stopped < 3 * 35
    ingest(source, tmp_path / "out")
    ingest(source, tmp_path / "unbroken")
    assert _facts(seen(tmp_path / "out")[0]) == _facts(seen(tmp_path / "unbroken")[0])


def test_a_loss_of_power_reads_all_again(tmp_path: Path) -> None:
    source = write_warcs(tmp_path / "in")
    ingest(source, tmp_path / "out")
    before = seen(tmp_path / "out")
    (segment,) = (tmp_path / "out" / "warc").iterdir()
    os.truncate(segment, segment.stat().st_size // 2)
    ingest(source, tmp_path / "out")
    pages, rejects = seen(tmp_path / "out")
    assert (_facts(pages), rejects) == (_facts(before[0]), before[1])
    for page in pages:
        assert read_body(tmp_path / "out" / "warc" / page.warc_file, page.warc_offset)


def test_large_pages_are_not_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_BYTES", 100)
    counts: list[int] = []
    keep = module._Reading._keep

    def counting(self: module._Reading, batch: list[Found]) -> None:
        counts.append(len(batch))
        keep(self, batch)

    monkeypatch.setattr(module._Reading, "_keep", counting)
    sizes = [99, 1, 300, 10, 10, 10]
    records = [response(f"http://a.test/{i}", b"x" * size) for i, size in enumerate(sizes)]
    (tmp_path / "x.warc").write_bytes(b"".join(records))
    ingest(WarcSource(paths=(str(tmp_path / "x.warc"),)), tmp_path / "out")
    assert counts == [2, 1, 3]


# --- kill -9 ------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from storage.warc import WarcSegment
from tasks.crawl import ingest
from tasks.crawl.catalogue import Catalogue
from tasks.crawl.sources import WarcSource
step, count = sys.argv[3], int(sys.argv[4])
target = {"_append": WarcSegment, "set_done": Catalogue, "_keep": ingest._Reading}[step]
call, calls = getattr(target, step), []
def dying(self, *args):
    calls.append(args)
    if len(calls) == count:
        if step == "_append":
            self._file.write(b"half a record")
            self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return call(self, *args)
setattr(target, step, dying)
ingest._BATCH = 7
ingest.ingest(WarcSource.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


def _killed(source: WarcSource, folder: Path, step: str, count: int) -> int:
    command = [sys.executable, "-c", KILLED, source.model_dump_json(), str(folder), step]
    return subprocess.run([*command, str(count)], cwd=ROOT, check=False).returncode


def test_kills_at_many_moments_change_nothing(tmp_path: Path) -> None:
    source = write_warcs(tmp_path / "in")
    ingest(source, tmp_path / "unbroken")
    expected = seen(tmp_path / "unbroken")
    broken, committed = tmp_path / "broken", 0
    for step, count in (
        ("_append", 3),
        ("set_done", 2),
        ("_keep", 3),
        ("_append", 23),
        ("_keep", 2),
    ):
        assert _killed(source, broken, step, count) == -signal.SIGKILL
        kept = len(seen(broken)[0])
        assert kept >= committed
        committed = kept
    assert 20 < committed < len(expected[0])
    ingest(source, broken)
    pages, rejects = seen(broken)
    assert (_facts(pages), rejects) == (_facts(expected[0]), expected[1])
    for page in pages:
        assert read_body(broken / "warc" / page.warc_file, page.warc_offset)
    indexed = []
    for folder in (tmp_path / "unbroken", broken):
        workspace = Workspace(tmp_path / f"{folder.name}-index")
        for path in (*folder.glob("frontier.sqlite*"), *folder.glob("warc")):
            path.rename(workspace.scratch / path.name)
        stats = write_index(workspace, 2)
        files = sorted((workspace.data / "pages").iterdir())
        indexed.append((stats, [file.read_bytes() for file in files]))
    assert indexed[0] == indexed[1]


def test_an_error_within_an_input_loses_nothing_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(30):
        (tmp_path / "in" / f"{number:02}.txt").write_text(f"text {number}")
    source = FilesSource(path=str(tmp_path / "in"))
    whole = FilesSource.read

    def failing(self: FilesSource, file: object, scratch: Path) -> Iterator[object]:
        if file.name == "20.txt":  # type: ignore[attr-defined]
            raise OSError(28, "No space left on device")
        return whole(self, file, scratch)  # type: ignore[arg-type]

    monkeypatch.setattr(FilesSource, "read", failing)
    with pytest.raises(OSError, match="No space"):
        ingest(source, tmp_path / "out")
    assert len(seen(tmp_path / "out")[0]) == 20
    monkeypatch.setattr(FilesSource, "read", whole)
    ingest(source, tmp_path / "out")
    assert len(seen(tmp_path / "out")[0]) == 30
