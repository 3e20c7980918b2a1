from __future__ import annotations

import errno
import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from storage import errors
from storage.errors import Fault, PhusaError, RequestError, StoreFull, UnknownArtifact, named_error


def test_the_tree_at_the_top_of_the_file_names_every_error() -> None:
    tree = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, PhusaError):
            assert name in tree, name


def test_a_request_lists_all_its_faults() -> None:
    faults = [Fault(f"knob {i}", str(i), "more", "Raise it.") for i in range(3)]
    error = RequestError(faults)
    assert str(error).splitlines() == [
        f"knob {i}: found {i}; expected more. Raise it." for i in range(3)
    ]
    assert error.exit_code == 2


def test_faults_survive_the_way_between_processes() -> None:
    error = UnknownArtifact(Fault("store", "nothing", "something", "Make it."))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UnknownArtifact
    assert (again.faults, str(again)) == (error.faults, str(error))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_space_by_any_name_is_store_full(number: int) -> None:
    with (
        pytest.raises(StoreFull, match=r"/place: .*--store PATH"),
        errors.os_errors_named("/place"),
    ):
        raise OSError(number, "no room")


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (OSError(errno.EACCES, "x"), "permission_denied", 2),
        (OSError(errno.EROFS, "x"), "read_only", 2),
        (OSError(errno.EMFILE, "x"), "too_many_open_files", 1),
        (OSError(errno.ESTALE, "x"), "device_failed", 1),
        (OSError(errno.ENOMEM, "x"), "out_of_memory", 1),
        (MemoryError(), "out_of_memory", 1),
        (ImportError("libx.so: failed to map segment from shared object"), "out_of_memory", 1),
        (ImportError("libx.so: cannot open: Too many open files"), "too_many_open_files", 1),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
         "out_of_memory", 1),
    ],
)  # fmt: skip
def test_what_the_machine_refuses_has_a_code_and_a_remedy(
    error: Exception, code: str, exit_code: int
) -> None:
    with pytest.raises(PhusaError) as caught, errors.os_errors_named("/place"):
        raise error
    (fault,) = caught.value.faults
    assert (fault.code, caught.value.exit_code, fault.where) == (code, exit_code, "/place")
    assert fault.found and fault.expected and fault.remedy
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("none", "no_such_file"),
        ("file/x", "not_a_folder"),
        (".", "not_a_file"),
        ("x" * 999, "bad_path"),
    ],
)
def test_answers_stay_until_nobody_takes_them(tmp_path: Path, path: str, code: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught, errors.os_errors_named("/place"):
        (tmp_path / path).open()
    named = named_error(caught.value)
    assert named is not None and named.exit_code == 2
    assert (named.faults[0].code, named.faults[0].where) == (code, str(tmp_path / path))


def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "x.db").execute("CREATE TABLE t (x)").connection.close()
    database = sqlite3.connect(f"file:{tmp_path}/x.db?mode=ro", uri=True)
    with pytest.raises(PhusaError) as caught, errors.os_errors_named("/place"):
        database.execute("INSERT INTO t VALUES (1)")
    database.close()
    assert caught.value.faults[0].code == "read_only"


def test_what_led_to_a_librarys_error_is_named_and_a_defect_is_not() -> None:
    for cause, code in ((OSError(errno.EMFILE, "x"), "too_many_open_files"), (KeyError("x"), None),
                        (FileNotFoundError(errno.ENOENT, "x"), None)):  # fmt: skip
        try:
            try:
                raise cause
            except Exception as error:
                raise ValueError("a library's") from error
        except ValueError as error:
            named = named_error(error)
        assert (named.faults[0].code if named else None) == code


_LIMITED = """
import resource, sys
from storage.errors import PhusaError, os_errors_named
kind = sys.argv[1]
resource.setrlimit(*{"files": (resource.RLIMIT_NOFILE, (12, 12)),
                     "memory": (resource.RLIMIT_AS, (400 << 20, 400 << 20)),
                     "size": (resource.RLIMIT_FSIZE, (9, 9))}[kind])
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with os_errors_named("/place"):
        if kind == "files":
            held = [open("/dev/null") for _ in range(99)]
        elif kind == "memory":
            held = bytearray(1 << 30)
        else:
            file = open(sys.argv[2], "wb", buffering=0)
            while True:
                file.write(b"more")
except PhusaError as error:
    print(error.faults[0].code)
"""


@pytest.mark.parametrize(
    ("limit", "code"),
    [("files", "too_many_open_files"), ("memory", "out_of_memory"), ("size", "no_space")],
)
def test_limits_of_a_real_process(tmp_path: Path, limit: str, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, limit, tmp_path / "x"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(errors.__file__).parents[1])},
    )
    assert done.stdout.split() == [code], done.stderr
