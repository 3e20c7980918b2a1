from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from storage.errors import StoreFull
from storage.parquet import write_table
from storage.sealing import Draft, commit
from storage.store import Store
from storage.workspace import Workspace
from tasks.lm.checkpoint import write_tensors


def _write(workspace: Workspace, path: str, text: str) -> None:
    with workspace.writing(path) as stream:
        stream.write(text.encode())


def test_a_finished_file_survives_with_size_and_hash(tmp_path: Path) -> None:
    _write(Workspace(tmp_path), "deep/a.txt", "hello")
    entry = Workspace(tmp_path).entry("deep/a.txt")
    assert entry is not None
    assert (entry.size, entry.sha256) == (5, hashlib.sha256(b"hello").hexdigest())
    assert (Workspace(tmp_path).data / "deep/a.txt").read_text() == "hello"
    assert Workspace(tmp_path).entry("deep/b.txt") is None


def test_a_failed_write_leaves_no_file_and_no_note(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    def fail() -> None:
        with workspace.writing("a.txt") as stream:
            stream.write(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert workspace.entry("a.txt") is None
    assert workspace.entries() == []
    assert list(workspace.data.iterdir()) == []


def test_a_failed_rewrite_keeps_the_finished_file(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    _write(workspace, "a.txt", "whole")
    with pytest.raises(RuntimeError), workspace.writing("a.txt") as stream:
        stream.write(b"half")
        raise RuntimeError
    entry = workspace.entry("a.txt")
    assert entry is not None and entry.size == 5
    assert (workspace.data / "a.txt").read_text() == "whole"


@pytest.mark.parametrize("harm", ["truncate", "delete", "tear the note"])
def test_what_is_not_whole_is_made_again(tmp_path: Path, harm: str) -> None:
    workspace = Workspace(tmp_path)
    _write(workspace, "a.txt", "whole")
    if harm == "truncate":
        os.truncate(workspace.data / "a.txt", 2)
    elif harm == "delete":
        (workspace.data / "a.txt").unlink()
    else:
        (note,) = (tmp_path / "notes").iterdir()
        os.truncate(note, 10)
    assert Workspace(tmp_path).entry("a.txt") is None
    _write(workspace, "a.txt", "whole")
    assert [entry.path for entry in workspace.entries()] == ["a.txt"]


KILLED_WRITING = """
import os, signal, sys
from pathlib import Path
import storage.workspace as module
workspace = module.Workspace(Path(sys.argv[1]))
with workspace.writing("first.txt") as stream:
    stream.write(b"first")
die = lambda *args, **kw: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "before the note":
    workspace._write_note = die
elif sys.argv[2] == "before the rename":
    workspace._finish = die
with workspace.writing("second.txt") as stream:
    stream.write(b"sec")
    stream.flush()
    if sys.argv[2] == "while writing":
        die()
"""


@pytest.mark.parametrize("moment", ["while writing", "before the rename", "before the note"])
def test_kill_loses_only_the_file_under_way(
    tmp_path: Path, python: Callable[..., SimpleNamespace], moment: str
) -> None:
    assert python(KILLED_WRITING, tmp_path, moment).wait().status == -9
    workspace = Workspace(tmp_path)
    assert workspace.entry("first.txt") is not None
    assert workspace.entry("second.txt") is None
    assert [entry.path for entry in workspace.entries()] == ["first.txt"]
    _write(workspace, "second.txt", "second")
    assert [entry.path for entry in workspace.entries()] == ["first.txt", "second.txt"]


# --- one pass -----------------------------------------------------------------------------------


def _bytes_read() -> int:
    """What this process has asked the system to read, from wherever it came."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="no /proc/self/io here")
@pytest.mark.parametrize("kind", ["table", "json", "weights", "bytes"])
def test_sealing_reads_nothing_again(store: Store, draft: Callable[..., Draft], kind: str) -> None:
    """4 MB go through each writer and into the store; a file's footer is all that is read."""
    noise = random.Random(7).randbytes(4 << 20)
    table = pa.table({"x": pa.array(np.frombuffer(noise, np.int64))})
    tensors = {"w": torch.frombuffer(bytearray(noise), dtype=torch.float32)}

    def write(workspace: Workspace) -> None:
        if kind == "table":
            write_table(workspace, "data", table)
            write_table(workspace, "data.parquet", table)
        elif kind == "json":
            workspace.write_json("data", noise.hex())
        else:
            with workspace.writing("data") as stream:
                stream.write(noise) if kind == "bytes" else write_tensors(tensors, stream)

    write(Workspace(Path(store.address) / "warm"))  # imports
    with store.building("clean", "f" * 64) as workspace:
        before = _bytes_read()
        write(workspace)
        made = commit(store, workspace, draft())
        assert _bytes_read() - before < 128 << 10
    assert made.num_bytes >= len(noise)
    for path, entry in zip(store.files(made, ""), made.files, strict=True):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
        assert entry.rows == (table.num_rows if path.suffix == ".parquet" else None)


# --- folders, JSON ------------------------------------------------------------------------------


def test_files_of_a_folder_are_read_once_to_be_hashed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for text in ("old", "new one"):
        with workspace.writing_folder("") as folder:
            (folder / "a.json").write_text(text)
    (entry,) = workspace.entries()
    assert (entry.path, entry.size) == ("a.json", 7)
    assert entry.sha256 == hashlib.sha256(b"new one").hexdigest()
    assert (workspace.data / "a.json").read_text() == "new one"


def test_a_folder_of_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.writing_folder("model") as folder:
        (folder / "empty").mkdir()
    assert workspace.entries() == []


def test_parts_of_a_table_without_rows_stay_behind(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    empty, full = pa.table({"x": [1][:0]}), pa.table({"x": [1]})
    for path, table in {
        "part/0.parquet": empty,
        "part/1.parquet": full,
        "e.parquet": empty,
    }.items():
        assert write_table(workspace, path, table, volatile=path[0] == "e") == table.num_rows
    found = [(entry.path, entry.rows, entry.volatile) for entry in workspace.entries()]
    assert found == [("e.parquet", 0, True), ("part/1.parquet", 1, False)]
    entry = workspace.entry("part/0.parquet")
    assert entry is not None and entry.rows == 0  # finished, and not to be made again


def test_a_folder_is_finished_file_by_file(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.writing_folder("model") as folder:
        (folder / "sub").mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "sub/weights").write_bytes(b"\0" * 9)
    assert [(e.path, e.size) for e in workspace.entries()] == [
        ("model/config.json", 2),
        ("model/sub/weights", 9),
    ]
    assert list(workspace.scratch.iterdir()) == []


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(RuntimeError), workspace.writing_folder("model") as folder:
        (folder / "config.json").write_text("{}")
        raise RuntimeError
    assert workspace.entries() == []
    assert list(workspace.scratch.iterdir()) == []


def test_json_is_the_same_bytes_for_equal_values(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write_json("a.json", {"b": 1, "a": {"y": "é", "x": 2}})
    workspace.write_json("b.json", {"a": {"x": 2, "y": "é"}, "b": 1})
    text = (workspace.data / "a.json").read_text("utf-8")
    assert (workspace.data / "b.json").read_text("utf-8") == text
    assert json.loads(text) == {"a": {"x": 2, "y": "é"}, "b": 1}


def test_many_threads_may_write_at_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: _write(workspace, f"part/{i}.txt", str(i)), range(40)))
    assert len(workspace.entries()) == 40


def test_seconds_of_interrupted_attempts_add_up(tmp_path: Path) -> None:
    first = Workspace(tmp_path)
    first.begin_attempt()
    begun = time.time() - 30
    (tmp_path / "clock.json").write_text(json.dumps({"earlier_s": 12.5, "started": begun}))
    with first.writing("a") as stream:
        stream.write(b"the last sign of life")
    for path in tmp_path.rglob("*"):
        os.utime(path, (begun + 20, begun + 20))
    os.utime(first.data / "a", (begun + 25, begun + 25))
    second = Workspace(tmp_path)
    second.begin_attempt()
    assert 37.5 <= second.seconds() < 39.5  # 12.5 before, 25 until it stopped, and now
    assert 37.5 <= Workspace(tmp_path).seconds() < 39.5  # a task's own handle reads the same clock


FULL = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from storage.errors import StoreFull
from storage.parquet import write_table
from storage.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
with workspace.writing("small.txt") as stream:
    stream.write(b"fits")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

def text():
    with workspace.writing("large.txt") as stream:
        stream.write(b"x" * 100_000)

def folder():
    with workspace.writing_folder("model") as path:
        (path / "fits").write_bytes(b"x")
        (path / "weights").write_bytes(b"x" * 100_000)

def parquet():
    write_table(workspace, "large.parquet", pa.table({"x": list(range(100_000))}))

for build in (text, folder, parquet):
    try:
        build()
    except StoreFull as error:
        assert error.faults[0].code == "no_space" and "--store" in str(error), error
    else:
        raise SystemExit(f"{build.__name__} did not notice")
assert [entry.path for entry in workspace.entries()] == ["small.txt"]
leftovers = [p.name for p in workspace.root.rglob(".tmp-*")]
assert not leftovers, leftovers
print("noticed")
"""


def test_a_real_write_beyond_the_limit_is_store_full_and_nothing_is_noted(
    tmp_path: Path, python: Callable[..., SimpleNamespace]
) -> None:
    ended = python(FULL, tmp_path).wait()
    assert (ended.status, ended.out) == (0, "noticed\n"), ended.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_device_is_store_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    real_open = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, mode="r", *args, **kw: (
            real_open(Path("/dev/full"), "wb", *args, **kw)
            if mode == "xb"
            else real_open(path, mode, *args, **kw)
        ),
    )
    with pytest.raises(StoreFull) as caught, workspace.writing("a.txt") as stream:
        stream.write(b"x" * 10_000)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert str(workspace.data / "a.txt") in str(caught.value)
    assert workspace.entries() == []


def test_other_failures_keep_their_own_name(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(ConnectionError), workspace.writing("a.txt"):
        raise ConnectionResetError(errno.ECONNRESET, "gone")
