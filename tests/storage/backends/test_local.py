from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.backends.local import LocalBackend


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path)


def test_create_writes_once_only(backend: LocalBackend) -> None:
    assert backend.create("a/b", b"one")
    assert not backend.create("a/b", b"two")
    assert backend.read("a/b") == b"one"
    assert list(backend.children("a")) == ["b"]


def test_create_has_one_winner_among_threads(backend: LocalBackend) -> None:
    start = threading.Barrier(8)

    def attempt(number: int) -> bool:
        start.wait()
        return backend.create("key", str(number).encode() * 50_000)

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(attempt, range(8)))
        assert won.count(True) == 1
        assert backend.read("key") == str(won.index(True)).encode() * 50_000
        backend.delete("key")


RACE = """
import sys, time
from pathlib import Path
from storage.backends.local import LocalBackend
backend = LocalBackend(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(backend.create("key", sys.argv[2].encode() * 100_000))
"""


def test_create_has_one_winner_among_processes(backend: LocalBackend) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(backend.root), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    won = [racer.communicate(timeout=30)[0].strip() for racer in racers]
    assert sorted(won) == ["False", "False", "False", "True"]
    assert backend.read("key") == str(won.index("True")).encode() * 100_000


def test_swap_compares_first(backend: LocalBackend) -> None:
    assert not backend.swap("ref", b"one", b"something")
    assert backend.read("ref") is None
    assert backend.swap("ref", b"one", None)
    assert not backend.swap("ref", b"two", None)
    assert not backend.swap("ref", b"two", b"on")
    assert backend.read("ref") == b"one"
    assert backend.swap("ref", b"two", b"one")
    assert backend.read("ref") == b"two"


def test_swap_counts_right_among_threads(backend: LocalBackend) -> None:
    backend.create("n", b"0")

    def count(_: int) -> None:
        while True:
            present = backend.read("n")
            assert present is not None
            if backend.swap("n", str(int(present) + 1).encode(), present):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(80)))
    assert backend.read("n") == b"80"


@settings(max_examples=30)
@given(st.binary(max_size=2_000), st.binary(max_size=50))
def test_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, one: bytes, two: bytes) -> None:
    backend = LocalBackend(tmp_path_factory.mktemp("backend"))
    assert backend.create("k", one)
    assert (backend.read("k"), backend.size("k")) == (one, len(one))
    assert backend.swap("k", two, one)
    assert (backend.read("k"), backend.size("k")) == (two, len(two))


def test_nothing_there(backend: LocalBackend) -> None:
    assert backend.read("x/y") is None
    assert backend.size("x/y") is None
    assert list(backend.children("x")) == []
    backend.delete("x")


def test_children_are_sorted_and_hide_temporary_files(backend: LocalBackend) -> None:
    for name in ("b", "a", "c"):
        backend.swap(f"refs/{name}", b"", None)
    (backend.root / "refs/.tmp-1").write_bytes(b"torn")
    assert list(backend.children("refs")) == ["a", "b", "c"]


def test_delete_takes_a_file_or_a_folder(backend: LocalBackend) -> None:
    for key in ("v/manifest.json", "v/data/x/y"):
        backend.create(key, b"1")
    backend.delete("v/manifest.json")
    assert list(backend.children("v")) == ["data"]
    backend.delete("v")
    assert list(backend.children("")) == []


def test_put_file_keeps_the_bytes_when_the_source_is_replaced(
    backend: LocalBackend, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"sealed")
    backend.put_file("v/data/a", source)
    other = tmp_path / "other"
    other.write_bytes(b"later")
    other.replace(source)
    assert backend.read("v/data/a") == b"sealed"


FULL = """
import resource, sys
from pathlib import Path
from storage.backends.local import LocalBackend
from storage.errors import StoreFull
backend = LocalBackend(Path(sys.argv[1]))
backend.create("ref", b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
for write in (
    lambda: backend.create("new", b"x" * 10_000),
    lambda: backend.swap("ref", b"x" * 10_000, b"old"),
):
    try:
        write()
    except StoreFull:
        continue
    raise SystemExit("not noticed")
"""


def test_a_full_disk_leaves_what_was_there(backend: LocalBackend) -> None:
    subprocess.run([sys.executable, "-c", FULL, str(backend.root)], check=True)
    assert backend.read("new") is None
    assert backend.read("ref") == b"old"
    assert not list(backend.root.rglob(".tmp-*"))
