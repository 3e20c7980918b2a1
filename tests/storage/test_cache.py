from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage import layout
from storage.cache import Cache, cache_root, touch
from storage.errors import DamagedArtifact, StoreUnreachable
from storage.manifest import FileEntry, Manifest
from storage.store import Store
from storage.verify import verify

Seal = Callable[..., Manifest]
Reads = Counter[str]


def _entry(path: str, data: bytes) -> FileEntry:
    return FileEntry(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _never() -> Iterator[bytes]:
    raise AssertionError("fetched")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", "store")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go to another machine, which has nothing in its cache yet."""

    def go(machine: str) -> None:
        monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / machine))

    return go


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """How often each data file was read from a store in memory."""
    from storage.backends import MemoryBackend

    counts: Reads = Counter()
    chunks = MemoryBackend.chunks

    def counted(self: MemoryBackend, key: str) -> Iterator[bytes]:
        counts[key.partition("/data/")[2]] += 1
        return chunks(self, key)

    monkeypatch.setattr(MemoryBackend, "chunks", counted)
    return counts


# --- through a remote store ---------------------------------------------------------------------


def test_an_artifact_is_laid_out_as_it_was_sealed(
    remote: Store, seal: Seal, elsewhere: Callable[[str], None]
) -> None:
    made = seal(remote, text="water")
    elsewhere("other")
    folder = Store(remote.address).folder(made)
    assert (folder / "part/a.txt").read_text() == "water"
    assert (folder / "log.txt").read_text() == "when"
    assert Store(remote.address).files(made, "part/") == [folder / "part/a.txt"]


def test_only_what_is_asked_for_is_fetched(
    remote: Store, seal: Seal, elsewhere: Callable[[str], None], reads: Reads
) -> None:
    made = seal(remote)
    elsewhere("other")
    folder = Store(remote.address).folder(made, "part/")
    assert reads == {"part/a.txt": 1}
    assert not (folder / "log.txt").exists()


def test_a_file_is_fetched_once_for_all_versions_and_stores(
    remote: Store, seal: Seal, elsewhere: Callable[[str], None], reads: Reads, tmp_path: Path
) -> None:
    one, two = seal(remote, fingerprint="1"), seal(remote, "dedup", fingerprint="2")
    other = Store(f"memory://{tmp_path}/other")
    three = seal(other)
    elsewhere("machine")
    for store, made in ((remote, one), (remote, two), (other, three)):
        for _ in range(2):
            fresh = Store(store.address)
            assert (fresh.folder(made) / "part/a.txt").read_text() == "hello"
    assert reads == {"part/a.txt": 1, "log.txt": 1}
    assert Store(remote.address).cache.size() == len("hello" + "when")


def test_what_was_built_here_is_never_fetched(remote: Store, seal: Seal, reads: Reads) -> None:
    made = seal(remote)
    folder = Store(remote.address).folder(made)
    assert (folder / "part/a.txt").read_text() == "hello"
    assert not reads


def test_wrong_bytes_are_refused_and_not_kept(
    remote: Store, seal: Seal, elsewhere: Callable[[str], None], reads: Reads
) -> None:
    made = seal(remote)
    key = f"{layout.data_key('clean', made.version)}/part/a.txt"
    assert remote.backend.swap(key, b"jello", b"hello")
    elsewhere("other")
    fresh = Store(remote.address)
    for attempt in (1, 2):
        with pytest.raises(DamagedArtifact, match="phusa verify --deep") as caught:
            fresh.folder(made, "part/")
        assert "part/a.txt came as 5 bytes" in str(caught.value)
        assert reads["part/a.txt"] == attempt
    assert fresh.cache.size() == 0
    assert [p for p in fresh.cache.view("clean", made.version).rglob("*") if p.is_file()] == []
    assert remote.backend.swap(key, b"hello", b"jello")  # mended
    assert fresh.files(made, "part/")[0].read_text() == "hello"


def test_a_missing_file_is_named(
    remote: Store, seal: Seal, elsewhere: Callable[[str], None]
) -> None:
    made = seal(remote)
    key = f"{layout.data_key('clean', made.version)}/part/a.txt"
    remote.backend.delete(key)
    elsewhere("other")
    with pytest.raises(DamagedArtifact, match="`phusa verify` lists all damage") as caught:
        Store(remote.address).folder(made)
    assert key in str(caught.value) and remote.address in str(caught.value)


def test_a_local_store_is_read_where_it_is(
    store: Store, seal: Seal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "cache"))
    made = seal(Store(store.address))
    folder = Store(store.address).folder(made)
    assert folder == Path(store.address) / "versions/clean" / made.version / "data"
    assert not (tmp_path / "cache").exists()
    assert verify(store, deep=True) == []


# --- by itself ----------------------------------------------------------------------------------


def test_threads_at_once_end_with_one_whole_file(cache: Cache) -> None:
    data = os.urandom(1 << 20)
    entry, start, fetched = _entry("deep/weights", data), threading.Barrier(8), list[int]()

    def fetch() -> Iterator[bytes]:
        fetched.append(1)
        for begin in range(0, len(data), 1 << 16):
            yield data[begin : begin + (1 << 16)]

    def place(number: int) -> bytes:
        start.wait()
        view = cache.view("pretrain", str(number % 2))
        return cache.place(view, entry, fetch).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(place, range(8))) == {data}
    assert 1 <= len(fetched) <= 8
    assert cache.size() == len(data)  # no temporary file is left
    assert cache.place(cache.view("pretrain", "3"), entry, _never).read_bytes() == data


def test_a_fetch_that_breaks_off_leaves_nothing(cache: Cache) -> None:
    def broken() -> Iterator[bytes]:
        yield b"ha"
        raise StoreUnreachable("the store does not answer")

    entry, view = _entry("a", b"half"), cache.view("clean", "1")
    with pytest.raises(StoreUnreachable):
        cache.place(view, entry, broken)
    assert cache.size() == 0 and not (view / "a").exists()
    assert cache.place(view, entry, lambda: iter([b"half"])).read_bytes() == b"half"


def test_a_truncated_copy_is_fetched_again(cache: Cache) -> None:
    entry, view = _entry("a", b"whole"), cache.view("clean", "1")
    path = cache.place(view, entry, lambda: iter([b"whole"]))
    os.truncate(path, 2)  # and with it the file that it is a link to
    assert cache.place(view, entry, lambda: iter([b"whole"])).read_bytes() == b"whole"


def test_an_empty_file(cache: Cache) -> None:
    path = cache.place(cache.view("clean", "1"), _entry("a", b""), lambda: iter([]))
    assert path.read_bytes() == b""


def test_where_a_disk_has_no_links_files_are_copied(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refused)
    built = tmp_path / "built"
    built.write_bytes(b"whole")
    entry = _entry("a", b"whole")
    cache.keep(entry, built)
    built.unlink()
    assert cache.place(cache.view("clean", "1"), entry, _never).read_bytes() == b"whole"


def _age(*paths: Path, days: float) -> None:
    then = time.time() - days * 86_400
    for path in paths:
        os.utime(path, (then, then))


def test_trim_drops_what_nobody_asked_for(cache: Cache, tmp_path: Path) -> None:
    shared, alone, young = (_entry(name, name.encode() * 3) for name in ("shared", "alone", "y"))
    views = {name: cache.view("clean", name) for name in ("old", "used", "new")}
    for name, entries in {"old": [shared, alone], "used": [shared], "new": [young]}.items():
        for entry in entries:
            path = cache.place(views[name], entry, lambda e=entry: iter([e.path.encode() * 3]))
            _age(path, days=9 if name != "new" else 0)
        _age(views[name], days=9 if name != "new" else 0)
    touch(views["used"])
    other = Cache(tmp_path / "cache", "other")  # its views are its own business
    theirs = other.place(other.view("clean", "1"), shared, _never)
    before = cache.size()
    assert cache.trim(7 * 86_400) == alone.size
    assert cache.size() == before - alone.size
    assert not views["old"].exists()
    assert (views["used"] / "shared").exists() and (views["new"] / "y").exists()
    assert theirs.exists()
    assert cache.trim(7 * 86_400) == 0
    refetched = cache.place(views["old"], alone, lambda: iter([b"alone" * 3]))
    assert refetched.read_bytes() == b"alone" * 3


def test_trim_of_nothing(cache: Cache) -> None:
    assert cache.trim(0) == 0 and cache.size() == 0


def test_asking_for_an_artifact_keeps_it(
    remote: Store, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = seal(remote)
    view = remote.folder(made)
    _age(view, days=9)
    remote.folder(made)
    remote.cache.trim(86_400)
    assert (view / "log.txt").exists()


# --- where it lies ------------------------------------------------------------------------------


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "mine"
    assert Store("memory://x").work.is_relative_to(tmp_path / "mine")
    monkeypatch.setenv("PHUSA_CACHE", "~/mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / "mine"
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("PHUSA_CACHE")
        else:
            monkeypatch.setenv("PHUSA_CACHE", unset)
        assert cache_root() == tmp_path / "xdg/phusa"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == tmp_path / ".cache/phusa"


def test_stores_do_not_share_views_or_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHUSA_CACHE", str(tmp_path))
    one, two = Store("memory://one"), Store("memory://two")
    assert one.work != two.work
    assert one.cache.view("clean", "1") != two.cache.view("clean", "1")
    assert Store("memory://one").work == one.work
