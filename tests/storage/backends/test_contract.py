"""What every back end promises, sentence by sentence of `storage.backends.Backend`."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.backends import Backend, open_backend
from storage.errors import RequestError

# What the file systems, URLs, XML and shells on the way might each take for something else.
NAMES = [
    "plain.json",
    "with space",
    " space at the ends ",
    "plus+and&amp;",
    "per%20cent%",
    "%2F",
    "phù-sa-数据-🌊",
    "e\u0301",  # decomposed
    "q?version=3#x",
    "name=value,other;",
    "quote'\"`<>",
    "back\\slash",
    "~tilde",
    "x" * 200,
    "ends.lock",
]


def race(*attempts: Callable[[], object]) -> list[Any]:
    """What each returns; all start at once, each in a thread."""
    start = threading.Barrier(len(attempts))

    def attempt(work: Callable[[], object]) -> object:
        start.wait()
        return work()

    with ThreadPoolExecutor(len(attempts)) as pool:
        return list(pool.map(attempt, attempts))


def stored(backend: Backend, key: str) -> bytes:
    return b"".join(backend.chunks(key))


def test_the_address_opens_the_same_place(backend: Backend) -> None:
    backend.create("a/b", b"one")
    again = open_backend(backend.address)
    assert again.address == backend.address
    assert again.read("a/b") == b"one"
    assert not backend.address.endswith("/")


def test_places_do_not_see_each_other(fresh: Callable[[], Backend]) -> None:
    one, two = fresh(), fresh()
    one.create("k", b"1")
    assert two.read("k") is None
    two.delete("")
    assert one.read("k") == b"1"


# --- create ---------------------------------------------------------------------------------------


def test_create_writes_once_only(backend: Backend) -> None:
    assert backend.create("a/b", b"one")
    assert not backend.create("a/b", b"two")
    assert not backend.create("a/b", b"")
    assert backend.read("a/b") == b"one"
    assert backend.sizes("") == {"a/b": 3}


def test_create_of_what_is_there_already_has_succeeded(backend: Backend) -> None:
    assert backend.create("a", b"same")
    assert backend.create("a", b"same")
    assert backend.create("empty", b"")
    assert backend.create("empty", b"")
    assert not backend.create("empty", b"x")


def test_create_has_one_winner_among_threads(backend: Backend) -> None:
    for round_ in range(5):
        key = f"round/{round_}"
        bodies = [str(number).encode() * 50_000 for number in range(8)]
        won = race(*(partial(backend.create, key, body) for body in bodies))
        assert won.count(True) == 1
        assert backend.read(key) == bodies[won.index(True)]


def test_a_reader_sees_all_of_a_write_or_nothing(backend: Backend) -> None:
    whole, done, seen = b"x" * 300_000, threading.Event(), list[bytes | None]()

    def watch() -> None:
        while not done.is_set():
            seen.append(backend.read("key"))

    def write() -> None:
        backend.create("key", whole)
        for _ in range(3):
            backend.swap("key", whole.upper(), whole)
            backend.swap("key", whole, whole.upper())
        done.set()

    race(watch, write)
    assert set(seen) <= {None, whole, whole.upper()}


# --- swap -----------------------------------------------------------------------------------------


def test_swap_compares_first(backend: Backend) -> None:
    assert not backend.swap("ref", b"one", b"something")
    assert backend.read("ref") is None
    assert backend.swap("ref", b"one", None)
    assert not backend.swap("ref", b"two", None)
    assert not backend.swap("ref", b"two", b"on")
    assert backend.read("ref") == b"one"
    assert backend.swap("ref", b"two", b"one")
    assert backend.read("ref") == b"two"
    assert backend.swap("ref", b"two", b"two")
    assert not backend.swap("ref", b"two", b"one")


def test_swap_tells_an_empty_file_from_none(backend: Backend) -> None:
    assert not backend.swap("ref", b"", b"")
    assert backend.swap("ref", b"", None)
    assert not backend.swap("ref", b"x", None)
    assert backend.swap("ref", b"x", b"")
    assert backend.swap("ref", b"", b"x")
    assert backend.read("ref") == b""


def test_swap_after_a_delete_finds_nothing(backend: Backend) -> None:
    backend.swap("ref", b"one", None)
    backend.delete("ref")
    assert not backend.swap("ref", b"two", b"one")
    assert backend.swap("ref", b"two", None)


def test_swaps_of_many_threads_lose_nothing(backend: Backend) -> None:
    backend.create("n", b"0 nobody")

    def count(racer: int) -> None:
        while True:
            present = backend.read("n")
            assert present is not None
            following = f"{int(present.split()[0]) + 1} {racer}".encode()
            if backend.swap("n", following, present):
                return

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(count, range(24)))
    counted = backend.read("n")
    assert counted is not None
    assert counted.split()[0] == b"24"


def test_swap_from_nothing_and_create_have_one_winner(backend: Backend) -> None:
    for round_ in range(10):
        key = f"round/{round_}"
        won = race(
            partial(backend.create, key, b"created"),
            partial(backend.swap, key, b"swapped", None),
            partial(backend.create, key, b"created too"),
            partial(backend.swap, key, b"swapped too", None),
        )
        assert won.count(True) == 1
        bodies = [b"created", b"swapped", b"created too", b"swapped too"]
        assert backend.read(key) == bodies[won.index(True)]


def test_swap_does_not_bring_back_what_was_deleted(backend: Backend) -> None:
    for round_ in range(10):
        key = f"round/{round_}"
        backend.create(key, b"one")
        race(partial(backend.swap, key, b"two", b"one"), partial(backend.delete, key))
        assert backend.read(key) is None


# --- reading and listing --------------------------------------------------------------------------


def test_nothing_there(backend: Backend) -> None:
    assert backend.read("x/y") is None
    assert backend.read_all([]) == []
    assert backend.sizes("x") == backend.sizes("") == {}
    assert backend.children("x") == backend.children("") == []
    with pytest.raises(FileNotFoundError):
        next(backend.chunks("x/y"))
    backend.delete("x")
    backend.delete("x/y")
    backend.delete("")


def test_a_file_is_no_folder_and_a_folder_no_file(backend: Backend) -> None:
    backend.create("a/b", b"one")
    assert backend.read("a") is None
    assert backend.read("a/b/c") is None
    assert backend.sizes("a/b") == {}
    assert backend.children("a/b") == []
    for key in ("a", "a/b/c"):
        with pytest.raises(FileNotFoundError):
            next(backend.chunks(key))
    backend.delete("a/b/c")
    assert backend.read("a/b") == b"one"


def test_read_all_keeps_the_order(backend: Backend) -> None:
    for number in range(40):
        backend.create(f"k/{number}", str(number).encode())
    keys = [f"k/{number}" for number in reversed(range(80))]
    expected = [str(n).encode() if n < 40 else None for n in reversed(range(80))]
    assert backend.read_all(keys) == expected
    assert backend.read_all([keys[-1]] * 3) == [b"0"] * 3


def test_listings_are_of_a_folder_not_of_a_beginning(backend: Backend) -> None:
    for key in ("a/b/one", "a/bc/two", "a/b.c/d/three", "a/b-/four", "ab"):
        backend.create(key, key.encode())
    assert backend.sizes("a/b") == {"one": 7}
    assert backend.sizes("a/b.c") == {"d/three": 13}
    assert backend.sizes("") == {
        "a/b/one": 7,
        "a/bc/two": 8,
        "a/b.c/d/three": 13,
        "a/b-/four": 9,
        "ab": 2,
    }
    assert backend.children("a") == ["b", "b-", "b.c", "bc"]
    assert backend.children("a/b.c") == ["d"]
    assert backend.children("") == ["a", "ab"]


def test_any_name_comes_back_as_it_was(backend: Backend, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"file")
    for name in NAMES:
        folder = f"folder {name}"
        assert backend.create(f"{folder}/{name}", b"one"), name
        assert not backend.create(f"{folder}/{name}", b"two"), name
        assert backend.swap(f"{folder}/{name}", b"three", b"one"), name
        assert backend.read(f"{folder}/{name}") == b"three", name
        assert stored(backend, f"{folder}/{name}") == b"three", name
        backend.put_file(f"{folder}/put/{name}", source)
        assert backend.sizes(folder) == {name: 5, f"put/{name}": 4}
        backend.delete(f"{folder}/put/{name}")
        assert backend.children("") == [folder]
        assert backend.children(folder) == [name]
        backend.delete(f"{folder}/{name}")
        assert backend.sizes("") == {}


def test_keys_of_another_spelling_are_other_keys(backend: Backend) -> None:
    spellings = ["a b", "a+b", "a%20b", "a%2520b", "A b", "\u00e9", "e\u0301"]
    for key in spellings:
        assert backend.create(key, key.encode())
    assert backend.read_all(spellings) == [key.encode() for key in spellings]
    assert backend.children("") == sorted(spellings)


# --- deleting -------------------------------------------------------------------------------------


def test_delete_takes_a_file_or_a_folder_and_no_more(backend: Backend) -> None:
    for key in ("v/a/b", "v/a/bc", "v/a/b.json", "v/ab/x", "v/a b", "v/c/d/e"):
        backend.create(key, b"1")
    backend.delete("v/a/b")
    assert backend.children("v/a") == ["b.json", "bc"]
    backend.delete("v/a")
    assert sorted(backend.sizes("v")) == ["a b", "ab/x", "c/d/e"]
    backend.delete("v/a")
    backend.delete("v/c/d/e")
    assert backend.children("v") == ["a b", "ab"], "an emptied folder is no folder"
    backend.delete("")
    assert backend.sizes("") == {}
    assert backend.create("v/a", b"now a file")


def test_two_may_delete_the_same(backend: Backend) -> None:
    for number in range(20):
        backend.create(f"v/{number}", b"1")
    race(*[partial(backend.delete, "v")] * 4)
    assert backend.sizes("") == {}


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_files_come_back_whole(backend: Backend, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    backend.put_file("v/data/x", source)
    backend.put_file("v/data/x", source)
    assert stored(backend, "v/data/x") == backend.read("v/data/x") == source.read_bytes()
    assert backend.sizes("v") == {"data/x": size}
    assert backend.children("v/data") == ["x"]


def test_chunks_are_no_whole_file(backend: Backend, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(20 << 20))
    backend.put_file("x", source)
    chunks = backend.chunks("x")
    first = next(chunks)
    assert first
    assert len(first) <= 8 << 20 or backend.address.startswith("memory:")
    chunks.close()  # type: ignore[attr-defined]
    assert backend.read("x") == source.read_bytes()


def test_put_file_keeps_the_bytes_when_the_source_is_replaced(
    backend: Backend, tmp_path: Path
) -> None:
    source, other = tmp_path / "source", tmp_path / "other"
    source.write_bytes(b"sealed")
    backend.put_file("v/data/a", source)
    other.write_bytes(b"later")
    other.replace(source)
    assert backend.read("v/data/a") == b"sealed"


def test_put_file_of_no_file(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        backend.put_file("v/a", tmp_path / "absent")
    assert backend.sizes("") == {}


def test_local_path_is_the_file_or_none(backend: Backend) -> None:
    backend.create("a/b", b"one")
    file, folder = backend.local_path("a/b"), backend.local_path("a")
    assert (file is None) == (folder is None) == (backend.address.find("://") > 0)
    if file is not None and folder is not None:
        assert file.read_bytes() == b"one"
        assert [path.name for path in folder.iterdir() if path.name[0] != "."] == ["b"]


# --- all of it against a plain dict ---------------------------------------------------------------

KEYS = ["a", "b/c", "b/cd", "b/d/e", "b/d/f g", "bc", "b.c/é"]
FOLDERS = ["", "b", "b/d", "b.c", "b/c", "a", "nothing"]
DATA = [b"", b"1", b"12", b"other"]
OPERATION = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(KEYS), st.sampled_from(DATA)),
    st.tuples(
        st.just("swap"),
        st.sampled_from(KEYS),
        st.sampled_from(DATA),
        st.sampled_from([None, *DATA]),
    ),
    st.tuples(st.just("put_file"), st.sampled_from(KEYS), st.sampled_from(DATA)),
    st.tuples(st.just("delete"), st.sampled_from(FOLDERS + KEYS)),
)


def of_dict(model: dict[str, bytes], name: str, key: str, *arguments: Any) -> bool | None:
    """What the protocol says of one write, done to a dict."""
    if name == "create":
        return model.setdefault(key, arguments[0]) == arguments[0]
    if name == "swap":
        data, expected = arguments
        if model.get(key) != expected:
            return False
        model[key] = data
        return True
    if name == "put_file":
        model[key] = arguments[0]
        return None
    for each in list(model):
        if each == key or each.startswith(f"{key}/" if key else ""):
            del model[each]
    return None


@pytest.mark.parametrize("fresh", ["local", "memory"], indirect=True)
@settings(suppress_health_check=list(HealthCheck))
@given(operations=st.lists(OPERATION, max_size=20))
def test_any_sequence_answers_like_a_dict(
    fresh: Callable[[], Backend], tmp_path: Path, operations: list[Any]
) -> None:
    check_against_dict(fresh(), tmp_path, operations)


@settings(suppress_health_check=list(HealthCheck), max_examples=5)
@given(operations=st.lists(OPERATION, min_size=5, max_size=12))
def test_any_sequence_answers_like_a_dict_on_s3(
    s3_bucket: str, tmp_path: Path, operations: list[Any]
) -> None:
    check_against_dict(open_backend(f"{s3_bucket}/{uuid.uuid4()}"), tmp_path, operations)


def check_against_dict(backend: Backend, tmp_path: Path, operations: list[Any]) -> None:
    model = dict[str, bytes]()
    for operation in operations:
        name, key, *arguments = operation
        expected = of_dict(model, *operation)
        if name == "put_file":
            source = tmp_path / "source"
            source.unlink(missing_ok=True)
            source.write_bytes(arguments[0])
            arguments = [source]
        assert getattr(backend, name)(key, *arguments) == expected, operation
    assert backend.read_all(KEYS) == [model.get(key) for key in KEYS]
    assert [backend.read(key) for key in KEYS] == [model.get(key) for key in KEYS]
    for folder in FOLDERS:
        start = f"{folder}/" if folder else ""
        below = {k.removeprefix(start): len(v) for k, v in model.items() if k.startswith(start)}
        assert backend.sizes(folder) == below
        assert backend.children(folder) == sorted({path.partition("/")[0] for path in below})
    for key, value in model.items():
        assert stored(backend, key) == value


def test_an_unknown_scheme_is_refused_without_its_secrets() -> None:
    with pytest.raises(RequestError) as caught:
        open_backend("gs://key:hunter2@bucket/x")
    assert "hunter2" not in str(caught.value)
    assert "gs" in str(caught.value)
