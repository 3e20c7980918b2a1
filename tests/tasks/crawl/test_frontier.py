from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.frontier import FetchedPage, Frontier, RejectedUrl


@pytest.fixture
def frontier(tmp_path: Path) -> Iterator[Frontier]:
    frontier = Frontier(tmp_path / "frontier.sqlite")
    yield frontier
    frontier.close()


def _page(url: str, end: int = 100, file: str = "a.warc.gz") -> FetchedPage:
    return FetchedPage(
        url, f"id-{url}", "text/html", "", "00", 5, 1000, 200, 0, "allowed", file, end - 50, end
    )


def _waiting(frontier: Frontier) -> list[str]:
    return [queued.url for queued in frontier.after(0, 1000)]


def test_urls_wait_in_the_order_first_seen(frontier: Frontier) -> None:
    frontier.add(["c", "a", "c"], 0)
    frontier.add(["b", "a"], 1)
    assert [(q.url, q.depth) for q in frontier.after(0, 10)] == [("c", 0), ("a", 0), ("b", 1)]
    first = frontier.after(0, 1)[0]
    assert [q.url for q in frontier.after(first.seq, 1)] == ["a"]
    assert frontier.num_waiting() == 3


@given(st.lists(st.lists(st.text("abcdef", min_size=1, max_size=2))))
def test_order_is_that_of_first_sight_with_no_double(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]]
) -> None:
    frontier = Frontier(tmp_path_factory.mktemp("frontier") / "f.sqlite")
    for batch in batches:
        frontier.add(batch, 0)
    expected = list(dict.fromkeys(url for batch in batches for url in batch))
    assert _waiting(frontier) == expected
    frontier.close()


def test_commit_notes_the_result_and_queues_its_links(frontier: Frontier) -> None:
    frontier.add(["a"], 0)
    frontier.commit(_page("a"), ["b", "a", "c"], 1)
    frontier.commit(RejectedUrl("b", "http_404", "404", "200"), [], 2)
    assert [(q.url, q.depth) for q in frontier.after(0, 10)] == [("c", 1)]
    assert list(frontier.pages()) == [_page("a")]
    assert list(frontier.rejects()) == [RejectedUrl("b", "http_404", "404", "200")]
    assert (frontier.num_pages(), frontier.num_waiting()) == (1, 1)


def test_a_commit_that_fails_midway_changes_nothing(frontier: Frontier) -> None:
    frontier.add(["a"], 0)

    def links() -> Iterator[str]:
        yield "b"
        raise RuntimeError("the parser fell over")

    with pytest.raises(RuntimeError):
        frontier.commit(_page("a"), links(), 1)
    assert frontier.num_pages() == 0
    assert _waiting(frontier) == ["a"]
    frontier.commit(_page("a"), [], 1)
    with pytest.raises(sqlite3.IntegrityError):
        frontier.commit(_page("a"), ["z"], 1)
    assert _waiting(frontier) == []


def test_what_is_committed_is_there_for_the_next_process(tmp_path: Path) -> None:
    one = Frontier(tmp_path / "f.sqlite")
    one.add(["a", "b"], 0)
    one.commit(_page("a", 700), ["c"], 1)
    other = Frontier(tmp_path / "f.sqlite")  # the first was never closed
    assert _waiting(other) == ["b", "c"]
    assert other.committed_bytes("a.warc.gz") == 700
    assert other.committed_bytes("b.warc.gz") == 0
    one.close()
    other.close()


def test_recover_queues_again_what_the_warc_file_lost(frontier: Frontier, tmp_path: Path) -> None:
    frontier.add(["a", "b", "c"], 0)
    for url, end in (("a", 100), ("b", 200), ("c", 300)):
        frontier.commit(_page(url, end), [], 1)
    (tmp_path / "a.warc.gz").write_bytes(b"x" * 250)
    frontier.recover(tmp_path)
    assert [page.url for page in frontier.pages()] == ["a", "b"]
    assert _waiting(frontier) == ["c"]
    assert frontier.committed_bytes("a.warc.gz") == 200
    (tmp_path / "a.warc.gz").unlink()
    frontier.recover(tmp_path)
    assert _waiting(frontier) == ["a", "b", "c"]
    assert frontier.committed_bytes("a.warc.gz") == 0


def test_recover_tries_again_what_failed_in_passing(frontier: Frontier, tmp_path: Path) -> None:
    frontier.add(["a", "b"], 0)
    frontier.commit(RejectedUrl("a", "unreachable", "ConnectError", "a response", True), [], 1)
    frontier.commit(RejectedUrl("b", "http_404", "404", "200"), [], 1)
    frontier.recover(tmp_path)
    assert _waiting(frontier) == ["a"]
    assert [reject.url for reject in frontier.rejects()] == ["b"]


def test_redirects_in_a_row_are_counted(frontier: Frontier) -> None:
    frontier.add(["a"], 0)
    frontier.commit(RejectedUrl("a", "redirected", "b", "200"), ["b"], 0, 1)
    assert [(q.url, q.redirects) for q in frontier.after(0, 5)] == [("b", 1)]
