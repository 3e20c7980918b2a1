from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from storage import layout
from storage.manifest import MANIFEST_SCHEMA, Manifest
from storage.sealing import bury, withdraw
from storage.store import Store
from storage.verify import Damage, verify

Seal = Callable[..., Manifest]


@pytest.fixture(params=["local", "remote"])
def place(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue({"local": "store", "remote": "remote"}[request.param])
    return found


def _write(store: Store, key: str, data: bytes) -> None:
    assert store.backend.swap(key, data, store.backend.read(key))


def _file(manifest: Manifest, path: str = "part/a.txt") -> str:
    return f"{layout.data_key(manifest.name, manifest.version)}/{path}"


def _edit(store: Store, manifest: Manifest, change: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads(manifest.to_json())
    change(raw)
    key = layout.manifest_key(manifest.name, manifest.version)
    _write(store, key, json.dumps(raw).encode())


def test_what_is_whole(place: Store, seal: Seal) -> None:
    crawl = seal(place, "crawl")
    clean = seal(place, inputs=(crawl,))
    for deep in (False, True):
        looked_at: list[Manifest] = []
        assert verify(place, deep=deep, advance=looked_at.append) == []
        assert sorted(m.label for m in looked_at) == sorted([crawl.label, clean.label])
    assert verify(Store(f"{place.address}/nothing"), deep=True) == []


@pytest.mark.parametrize("path", ["part/a.txt", "log.txt"])
@pytest.mark.parametrize("deep", [False, True])
def test_missing_and_truncated_files(place: Store, seal: Seal, path: str, deep: bool) -> None:
    missing, short = seal(place, fingerprint="1"), seal(place, fingerprint="2")
    place.backend.delete(_file(missing, path))
    _write(place, _file(short, path), b"x")
    size = {entry.path: entry.size for entry in short.files}[path]
    assert verify(place, deep=deep) == [
        Damage(missing.label, (f"{path}: missing",), ()),
        Damage(short.label, (f"{path}: 1 bytes, expected {size}",), ()),
    ]


def test_altered_files_are_found_by_reading_them(place: Store, seal: Seal) -> None:
    made = seal(place)
    _write(place, _file(made), b"jello")
    _write(place, _file(made, "log.txt"), b"then")
    assert verify(place) == []
    (damage,) = verify(place, deep=True)
    assert [line.partition(";")[0] for line in damage.findings] == [
        "log.txt: altered",
        "part/a.txt: altered",
    ]
    sha256 = {entry.path: entry.sha256 for entry in made.files}["part/a.txt"]
    assert damage.findings[1].endswith(f"expected {sha256[:12]}")


def test_a_file_that_goes_while_it_is_read(
    place: Store, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = seal(place)

    def failing(key: str) -> Any:
        raise FileNotFoundError(key)

    monkeypatch.setattr(place.backend, "chunks", failing)
    (damage,) = verify(place, lambda m: m == made, deep=True)
    assert [line.partition(" (")[0] for line in damage.findings] == [
        "log.txt: cannot be read",
        "part/a.txt: cannot be read",
    ]


def test_an_altered_manifest(place: Store, seal: Seal) -> None:
    """Its content digest is that of its files, so neither can be changed without the other."""
    made = seal(place)
    _edit(place, made, lambda raw: raw["files"].pop())
    (damage,) = verify(place)
    assert damage.findings == (
        "manifest: its list of files does not give its content digest; it was altered",
    )


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schema_version": 2}'])
def test_an_unreadable_manifest_is_reported_whatever_is_wanted(
    place: Store, seal: Seal, data: bytes
) -> None:
    crawl, other = seal(place, "crawl"), seal(place, "dedup")
    clean = seal(place, inputs=(crawl,))
    _write(place, layout.manifest_key("crawl", crawl.version), data)
    looked_at: list[Manifest] = []
    (damage,) = verify(place, lambda m: m.name == "dedup", advance=looked_at.append)
    assert (damage.label, damage.touched) == (crawl.label, (clean.label,))
    assert f"the manifest of {crawl.label} cannot be read" in damage.findings[0]
    assert looked_at == [other]


def test_a_manifest_of_a_newer_phusa(place: Store, seal: Seal) -> None:
    made = seal(place)
    _edit(place, made, lambda raw: raw.update(schema_version=MANIFEST_SCHEMA + 1))
    (damage,) = verify(place)
    (finding,) = damage.findings
    assert f"schema version {MANIFEST_SCHEMA + 1}" in finding and "newer phusa" in finding


def test_what_was_made_from_it_is_touched(place: Store, seal: Seal) -> None:
    crawl, other = seal(place, "crawl"), seal(place, "crawl", "other")
    clean = seal(place, inputs=(crawl,))
    tokenizer = seal(place, "tokenizer", inputs=(clean,))
    shard = seal(place, "shard", inputs=(clean, tokenizer))
    seal(place, fingerprint="other", inputs=(other,))
    place.backend.delete(_file(crawl))
    (damage,) = verify(place)
    assert damage == Damage(
        crawl.label, ("part/a.txt: missing",), (clean.label, shard.label, tokenizer.label)
    )


def test_only_what_is_wanted_is_looked_at(place: Store, seal: Seal) -> None:
    made = [seal(place, name) for name in ("crawl", "clean", "dedup")]
    for manifest in made:
        place.backend.delete(_file(manifest))
    looked_at: list[Manifest] = []
    found = verify(place, lambda m: m.name != "clean", advance=looked_at.append)
    assert [damage.label for damage in found] == [made[0].label, made[2].label]
    assert looked_at == [made[0], made[2]]


def test_what_is_gone_on_purpose_is_no_damage(place: Store, seal: Seal) -> None:
    seal(place)
    old = seal(place, fingerprint="old")
    bury(place, "clean", old.version, "gc")
    place.backend.create(_file(old.model_copy(update={"version": "20200101-000000-000-aaaa"})), b"")
    assert verify(place, deep=True) == []  # an attempt that was never sealed
    assert withdraw(place, "clean", "20200101-000000-000-aaaa", "gc")
    assert verify(place, deep=True) == []
