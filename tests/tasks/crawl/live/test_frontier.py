from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.captures import RejectedUrl
from tasks.crawl.catalogue import Catalogue
from tasks.crawl.live.frontier import Frontier, Kind, KnownUrls, Queued, State
from tasks.crawl.live.traps import PatternCounts

HOST = "h"


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(tmp_path) as catalogue:
        yield catalogue


@pytest.fixture
def frontier(catalogue: Catalogue) -> Frontier:
    return Frontier(catalogue)


def _url(name: str, host: str = HOST) -> str:
    return f"http://{host}/{name}"


def _waiting(frontier: Frontier, host: str = HOST) -> list[Queued]:
    return frontier.after(frontier.host(host), 0, 1000)


def _names(frontier: Frontier, host: str = HOST) -> list[str]:
    return [queued.url.rpartition("/")[2] for queued in _waiting(frontier, host)]


def test_urls_wait_in_the_order_first_seen(frontier: Frontier) -> None:
    assert frontier.add(map(_url, "cac"), 0) == 2
    assert frontier.add(map(_url, "ba"), 1) == 1
    assert [(q.url, q.depth) for q in _waiting(frontier)] == [
        (_url("c"), 0),
        (_url("a"), 0),
        (_url("b"), 1),
    ]
    first = _waiting(frontier)[0]
    assert [q.url for q in frontier.after(frontier.host(HOST), first.seq, 1)] == [_url("a")]
    assert frontier.num_waiting == 3


def test_each_host_has_its_own_queue(frontier: Frontier) -> None:
    frontier.add([_url("a"), _url("a", "g"), _url("b")], 0)
    assert (_names(frontier), _names(frontier, "g")) == (["a", "b"], ["a"])
    assert {frontier.name(host): n for host, n in frontier.waiting.items()} == {"h": 2, "g": 1}
    frontier.settle(_waiting(frontier, "g")[0])
    assert list(frontier.waiting) == [frontier.host(HOST)]


@given(st.lists(st.lists(st.text("abcdef", min_size=1, max_size=2))))
def test_order_is_that_of_first_sight_with_no_double(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]]
) -> None:
    with Catalogue(tmp_path_factory.mktemp("frontier")) as catalogue:
        frontier = Frontier(catalogue)
        for batch in batches:
            frontier.add(map(_url, batch), 0)
        expected = list(dict.fromkeys(name for batch in batches for name in batch))
        assert _names(frontier) == expected
        assert frontier.num_waiting == len(expected) == Frontier(catalogue).num_waiting


def test_a_shorter_way_to_a_waiting_url_counts(frontier: Frontier) -> None:
    frontier.add([_url("a")], 5)
    frontier.add([_url("a")], 7)
    assert _waiting(frontier)[0].depth == 5
    frontier.add([_url("a")], 2)
    assert _waiting(frontier)[0].depth == 2


def test_only_new_urls_are_asked_about(frontier: Frontier) -> None:
    frontier.add([_url("a")], 0)
    asked: list[str] = []

    def admits(url: str) -> bool:
        asked.append(url)
        return url != _url("b")

    assert frontier.add(map(_url, "abc"), 1, admits=admits) == 1
    assert asked == [_url("b"), _url("c")] and _names(frontier) == ["a", "c"]


def test_redirects_in_a_row_and_kinds_are_kept(frontier: Frontier) -> None:
    frontier.add([_url("a")], 0, 3, Kind.LISTING)
    (queued,) = _waiting(frontier)
    assert (queued.redirects, queued.kind, queued.state) == (3, Kind.LISTING, State.WAITING)


def test_what_is_held_waits_for_its_turn_in_the_next_process_too(tmp_path: Path) -> None:
    with Catalogue(tmp_path) as one:
        first = Frontier(one)
        with one.transaction():
            first.add(map(_url, "ab"), 0)
            first.hold(_waiting(first)[1], "its links")
    with Catalogue(tmp_path) as other:
        frontier = Frontier(other)
        assert [queued.state for queued in _waiting(frontier)] == [State.WAITING, State.KEPT]
        held = _waiting(frontier)[1]
        assert frontier.held(held) == "its links"
        frontier.settle(held)
        assert _names(frontier) == ["a"] and frontier.num_waiting == 1


def test_a_transaction_that_fails_midway_changes_nothing(
    catalogue: Catalogue, frontier: Frontier
) -> None:
    frontier.add([_url("a")], 0)
    with pytest.raises(RuntimeError), catalogue.transaction():
        catalogue.reject(RejectedUrl(_url("a"), "http_404", "404", "200"))
        frontier.hold(_waiting(frontier)[0], "")
        raise RuntimeError("the parser fell over")
    assert list(catalogue.rejects()) == []
    assert _waiting(frontier)[0].state is State.WAITING


def test_what_is_queued_again_stands_in_its_old_place(frontier: Frontier) -> None:
    frontier.add(map(_url, "abc"), 0)
    for queued in _waiting(frontier)[:2]:
        frontier.settle(queued)
    frontier.requeue([_url("a"), _url("c"), _url("unknown")])
    assert _names(frontier) == ["a", "c"] and frontier.num_waiting == 2


def test_patterns_are_written_down(catalogue: Catalogue) -> None:
    counts = PatternCounts(catalogue.db)
    counts["h /x?*"] = 3
    counts["h /x?*"] += 1
    assert PatternCounts(catalogue.db) == {"h /x?*": 4}


def test_notes(frontier: Frontier) -> None:
    assert frontier.note("x") is None
    assert frontier.note("x", "1") == "1" == frontier.note("x")


KEYS = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 3).map(lambda number: number << 14),  # of one bucket
)


@given(st.lists(st.tuples(KEYS, st.integers(1, 1 << 31), st.integers(0, 1000))), st.lists(KEYS))
def test_known_urls_are_a_dictionary(given_: list[tuple[int, int, int]], others: list[int]) -> None:
    known, expected = KnownUrls(), {}
    for key, seq, depth in given_:
        known.set(key, seq, depth)
        expected[key] = (seq, depth)
    for key in [*expected, *others]:
        assert known.find(key) == expected.get(key)
