from __future__ import annotations

from pathlib import Path

import pytest

from storage.backends.memory import MemoryBackend


@pytest.fixture
def backend(tmp_path: Path) -> MemoryBackend:
    return MemoryBackend(str(tmp_path))


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/../b", "./a", "a/.hidden/b", ".a"])
def test_keys_that_a_disk_refuses_or_hides_are_refused(
    backend: MemoryBackend, tmp_path: Path, key: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"1")
    for write in (
        lambda: backend.create(key, b"1"),
        lambda: backend.swap(key, b"1", None),
        lambda: backend.put_file(key, source),
    ):
        with pytest.raises(AssertionError, match="no key"):
            write()


def test_a_file_is_never_a_folder_too(backend: MemoryBackend) -> None:
    backend.create("a/b", b"1")
    with pytest.raises(AssertionError, match="under a file"):
        backend.create("a/b/c", b"1")
    with pytest.raises(AssertionError, match="is a folder"):
        backend.swap("a", b"1", None)
    assert backend.sizes("") == {"a/b": 1}


def test_back_ends_of_one_name_share_their_bytes(backend: MemoryBackend) -> None:
    backend.create("a", b"1")
    assert MemoryBackend(backend.address.removeprefix("memory://")).read("a") == b"1"
    assert MemoryBackend("another").read("a") is None
