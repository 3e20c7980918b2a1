from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import takedown
from storage.backends import MemoryBackend
from storage.errors import DamagedArtifact
from storage.layout import mark_key
from storage.manifest import Manifest
from storage.store import Store
from storage.takedown import Forgotten, Kind, Takedown

Seal = Callable[..., Manifest]
AT = datetime(2026, 11, 21, tzinfo=UTC)


def _takedown(kind: Kind, value: str, identity: str = "t1") -> Takedown:
    return Takedown(id=identity, kind=kind, value=value, why="asked", by="me", at=AT)


def _forgotten(*rules: tuple[Kind, str]) -> Forgotten:
    return Forgotten(tuple(_takedown(kind, value, str(i)) for i, (kind, value) in enumerate(rules)))


@pytest.fixture
def backend(tmp_path: Path) -> MemoryBackend:
    return MemoryBackend(str(tmp_path))


# --- what is covered ----------------------------------------------------------------------------


def test_nothing_is_covered_by_no_takedown() -> None:
    assert not Forgotten()
    assert Forgotten().rules == ()
    assert Forgotten().covers("http://a.example/", "d1") is None


@pytest.mark.parametrize(
    ("url", "document", "rule"),
    [
        ("http://a.example/x", "", "url http://a.example/x"),
        ("http://a.example/x?y=1", "", None),
        ("http://a.example/", "", None),
        ("http://b.example/", "d1", "document d1"),
        ("http://b.example/", "d2", None),
        ("http://c.example/any/page?x#y", "", "domain c.example"),
        ("https://www.deep.c.example:8443/", "", "domain c.example"),
        ("http://user@c.example/", "", "domain c.example"),
        ("http://notc.example/", "", None),
        ("http://c.example.org/", "", None),
        ("http://example/", "", None),
        ("no url at all", "", None),
        ("http://a.example/x", "d1", "url http://a.example/x"),
    ],
)
def test_what_is_covered(url: str, document: str, rule: str | None) -> None:
    forgotten = _forgotten(
        ("url", "http://a.example/x"), ("document", "d1"), ("domain", "c.example")
    )
    assert forgotten and forgotten.covers(url, document) == rule


def test_an_address_stands_for_a_domain() -> None:
    forgotten = _forgotten(("domain", "127.0.0.1"))
    assert forgotten.covers("http://127.0.0.1:8630/a.html") == "domain 127.0.0.1"
    assert forgotten.covers("http://127.0.0.2:8630/a.html") is None


LABELS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)


@given(LABELS, st.lists(LABELS, max_size=4))
def test_a_domain_covers_itself_and_all_below(host: list[str], domains: list[list[str]]) -> None:
    forgotten = _forgotten(*(("domain", ".".join(domain)) for domain in domains))
    expected = any(host[-len(domain) :] == domain for domain in domains)
    assert (forgotten.covers(f"http://{'.'.join(host)}/") is not None) == expected


def test_rules_say_what_not_who_or_when() -> None:
    one = _takedown("url", "http://a.example/", "t1")
    again = one.model_copy(update={"id": "t2", "by": "you", "why": "asked twice"})
    other = _takedown("domain", "a.example", "t0")
    assert Forgotten((one, other, again)).rules == ("domain a.example", "url http://a.example/")
    assert Forgotten((again,)).rules == Forgotten((one,)).rules


# --- what a store has recorded ------------------------------------------------------------------


def test_takedowns_and_their_holders(store: Store, seal: Seal) -> None:
    backend = store.backend
    assert takedown.read(backend) == takedown.Takedowns()
    clean, dedup = seal(store, text="with"), seal(store, "dedup", text="without")
    one, two = _takedown("url", "http://a.example/", "t1"), _takedown("domain", "b.example", "t2")
    for each in (two, one):
        takedown.record(backend, each)
    takedown.add_holders(backend, one, [clean])
    takedown.add_holders(backend, two, [])
    found = takedown.read(backend)
    assert found.all == (one, two)
    assert found.forgotten.rules == (two.rule, one.rule)
    assert found.holders == {"t1": {clean.digest}}
    assert found.held_by([clean, dedup]).takedowns == (one,)
    assert found.held_by([clean.model_copy(update={"version": "other"})]).takedowns == (one,)
    assert not found.held_by([dedup]) and not found.held_by([])
    takedown.add_holders(backend, one, [clean, dedup])  # again is fine
    assert takedown.read(backend).held_by([dedup]).takedowns == (one,)


def test_a_takedown_is_written_once(backend: MemoryBackend) -> None:
    one = _takedown("url", "http://a.example/")
    takedown.record(backend, one)
    takedown.record(backend, one.model_copy(update={"value": "http://b.example/"}))
    assert takedown.read(backend).all == (one,)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"id": "t1"}', b"\xff"])
def test_a_broken_record_lets_nothing_run(backend: MemoryBackend, data: bytes) -> None:
    takedown.record(backend, _takedown("url", "http://a.example/", "t2"))
    backend.create("takedowns/t1.json", data)
    with pytest.raises(DamagedArtifact, match=r"takedowns/t1\.json cannot be read") as caught:
        takedown.read(backend)
    assert "`phusa forget`" in str(caught.value) and "no stage runs" in str(caught.value)


def test_marks_on_a_model(store: Store, seal: Seal) -> None:
    backend, model, other = store.backend, seal(store, "pretrain"), seal(store, "pretrain", "o")
    assert takedown.marks(backend, model) == []
    one, two = _takedown("url", "http://a.example/", "t1"), _takedown("domain", "b.example", "t2")
    takedown.mark(backend, model, two, tokens=None)
    takedown.mark(backend, model, one, tokens=12)
    assert [(m.takedown, m.rule, m.tokens) for m in takedown.marks(backend, model)] == [
        ("t1", "url http://a.example/", 12),
        ("t2", "domain b.example", None),
    ]
    assert takedown.marks(backend, other) == []
    takedown.mark(backend, model, two, tokens=34)  # counted again
    assert [m.tokens for m in takedown.marks(backend, model)] == [12, 34]


def test_a_mark_that_cannot_be_read_is_not_passed_over(store: Store, seal: Seal) -> None:
    model = seal(store, "pretrain")
    key = mark_key("pretrain", model.version, "t1")
    store.backend.create(key, b"{")
    with pytest.raises(DamagedArtifact, match="expected a mark") as caught:
        takedown.marks(store.backend, model)
    assert key in str(caught.value)
