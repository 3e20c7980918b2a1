"""What only a disk can do wrong; the protocol itself is in test_contract.py."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.backends.local import LocalBackend
from storage.errors import StoreDenied


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path / "store")


RACE = """
import sys
from pathlib import Path
from storage.backends.local import LocalBackend
backend = LocalBackend(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(backend.create("key", sys.argv[2].encode() * 100_000))
for _ in range(20):
    while True:
        present = backend.read("count")
        number = int((present or b"0").split()[0]) + 1
        if backend.swap("count", f"{number} {sys.argv[2]}".encode(), present):
            break
"""


def test_create_and_swap_have_one_winner_among_processes(backend: LocalBackend) -> None:
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
    won = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert sorted(won) == ["False", "False", "False", "True"]
    assert backend.read("key") == str(won.index("True")).encode() * 100_000
    count = backend.read("count")
    assert count is not None
    assert count.split()[0] == b"80"


def test_temporary_files_are_hidden(backend: LocalBackend) -> None:
    for name in ("b", "a", "c"):
        backend.swap(f"refs/{name}", b"", None)
    (backend.root / "refs/.tmp-1").write_bytes(b"torn")
    assert backend.children("refs") == ["a", "b", "c"]
    assert backend.sizes("refs") == {"a": 0, "b": 0, "c": 0}


def test_a_folder_with_what_a_kill_left_is_found_and_can_be_removed(backend: LocalBackend) -> None:
    left = backend.root / "versions/clean/v1/data/.tmp-1"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"torn")
    assert backend.children("versions/clean") == ["v1"]
    backend.delete("versions/clean/v1")
    assert not left.exists()
    assert backend.children("versions") == []


KILLED_IN_COPY = """
import errno, os, shutil, signal, sys
from pathlib import Path
from storage.backends import local
def other_disk(*_):
    raise OSError(errno.EXDEV, "another disk")
def half(source, target):
    Path(target).write_bytes(Path(source).read_bytes()[:500])
    os.kill(os.getpid(), signal.SIGKILL)
os.link, shutil.copyfile = other_disk, half
local.LocalBackend(Path(sys.argv[1])).put_file("v/x", Path(sys.argv[2]))
"""


def test_a_copy_between_disks_is_whole_or_absent(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1000)
    command = [sys.executable, "-c", KILLED_IN_COPY, str(backend.root), str(source)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert backend.read("v/x") is None
    backend.put_file("v/x", source)
    assert backend.read("v/x") == source.read_bytes()

    def other_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", other_disk)
    backend.put_file("v/y", source)
    backend.put_file("v/y", source)
    assert backend.sizes("v") == {"x": 1000, "y": 1000}


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
    lambda: backend.swap("another", b"x" * 10_000, None),
):
    try:
        write()
    except StoreFull:
        continue
    raise SystemExit("not noticed")
"""


def test_a_full_disk_leaves_what_was_there(backend: LocalBackend) -> None:
    subprocess.run([sys.executable, "-c", FULL, str(backend.root)], check=True)
    assert backend.sizes("") == {"ref": 3}
    assert backend.read("ref") == b"old"
    assert not list(backend.root.rglob(".tmp-*"))


def test_whoever_may_read_the_data_may_read_what_seals_it(
    backend: LocalBackend, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(b"data")
    backend.put_file("v/data", tmp_path / "source")
    backend.create("v/manifest", b"1")
    backend.swap("v/reference", b"1", None)
    assert len({path.stat().st_mode for path in (backend.root / "v").glob("[!.]*")}) == 1


def test_a_disk_that_refuses_is_named(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(
            errno.EACCES, "Permission denied"
        )  # root may do all, so it is made up

    backend.create("v/a", b"1")
    monkeypatch.setattr(os, "open", forbidden)
    monkeypatch.setattr(os, "unlink", forbidden)
    monkeypatch.setattr(os, "scandir", forbidden)
    for ask in (
        lambda: backend.create("v/b", b"1"),
        lambda: backend.swap("v/a", b"1", None),
        lambda: backend.children("v"),
        lambda: backend.sizes("v"),
        lambda: backend.delete("v/a"),
    ):
        with pytest.raises(StoreDenied, match=r"Permission denied.*--store"):
            ask()
