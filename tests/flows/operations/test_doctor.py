"""`phusa doctor` where no server is needed: machine, packages, store; and how checks are run."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from flows.operations import checks, doctor
from flows.operations.checks import Finding, Place, gpu, ok, packages, python
from flows.operations.doctor import examine, run_checks
from storage.store import Store
from tests.flows.conftest import Cli
from tests.flows.servers import free_port


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "store").mkdir()
    return Place(str(tmp_path / "store"), tmp_path)


def test_this_installation_is_in_order(place: Place) -> None:
    assert [f.status for f in (*python(place), *packages(place))] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("name", "version", "status", "says"),
    [
        ("fastapi", "0.152.0", "error", "422"),
        ("sqlalchemy", "2.1.0", "error", "never fire"),
        ("tokenizers", "0.1.0", "warning", "tokenizers>=0.22"),
        ("xxhash", None, "error", "not installed"),
    ],
)
def test_a_package_out_of_range(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, version: str, status: str, says: str
) -> None:
    real = metadata.version

    def pretended(asked: str) -> str:
        if asked.lower() != name:
            return real(asked)
        if version is None:
            raise metadata.PackageNotFoundError(asked)
        return version

    monkeypatch.setattr(metadata, "version", pretended)
    (found,) = packages(place)
    assert (found.check, found.status) == (f"package {name}", status)
    assert says in f"{found.found} {found.expected}"
    assert "pip install" in found.remedy


def test_no_server_is_one_error_and_the_rest_is_said_to_be_skipped(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setattr(doctor, "_api_url", lambda place: (url, "as the test says"))
    done = cli("doctor", "--store", tmp_path, "--json")
    found = {row["check"]: row for row in json.loads(done.out)}
    assert done.code == 1
    assert found["Prefect API"]["status"] == "error"
    assert url in found["Prefect API"]["found"]
    assert found["stuck runs"]["status"] == "skipped"
    assert found["store"]["status"] == "ok"


def test_the_report_for_people(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    findings = [ok("store", "here"), Finding("GPU", "error", "[none]", "one", "Buy one.")]
    monkeypatch.setattr(doctor, "examine", lambda store: findings)
    done = cli("doctor")
    assert done.code == 1
    for text in ("✓", "✗", "[none]", "expected:", "Buy one.", "1 wrong"):
        assert text in done.out


def test_a_store_is_probed_and_left_as_it_was(place: Place) -> None:
    (found,) = checks.store(place)
    assert found.status == "ok"
    assert list(Path(str(place.store)).iterdir()) == []


def test_a_store_that_is_not_there_is_not_made(place: Place, tmp_path: Path) -> None:
    (found,) = checks.store(Place(str(tmp_path / "other" / "store"), tmp_path))
    assert (found.status, "not there yet" in found.found) == ("ok", True)
    assert not (tmp_path / "other").exists()


def test_a_store_that_takes_every_create_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.backends.LocalBackend.create", lambda *_: True)
    (found,) = checks.store(place)
    assert found.status == "error"
    assert "created again" in found.found


def test_a_folder_in_the_way(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (found,) = checks.store(Place(str(tmp_path / "file"), tmp_path))
    assert found.status == "error"
    assert str(tmp_path / "file") in found.found


@pytest.mark.parametrize("answers", [False, True], ids=["refuses", "never answers"])
def test_an_s3_that_does_not_answer_costs_seconds(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: bool
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if answers:
            listener.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setattr(checks, "_READ_S", 1.0)
        began = time.monotonic()
        with checks.asking_once():
            (found,) = checks.store(Place(s3_bucket, tmp_path))
            (left,) = checks.leftovers(Place(s3_bucket, tmp_path))
    assert time.monotonic() - began < 8
    assert (found.status, left.status) == ("error", "skipped")
    assert s3_bucket in found.found


def test_an_s3_that_works(s3_bucket: str, tmp_path: Path) -> None:
    (found,) = checks.store(Place(s3_bucket, tmp_path))
    assert found.status == "ok"
    assert Store(s3_bucket).backend.sizes("") == {}


@pytest.mark.parametrize(("free", "status"), [(5e8, "error"), (5e9, "warning"), (5e11, "ok")])
def test_a_disk_that_fills_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, free: float, status: str
) -> None:
    usage = namedtuple("usage", "free")(int(free))
    monkeypatch.setattr(psutil, "disk_usage", lambda folder: usage)
    assert {f.status for f in checks.disk(place)} == {status}


def test_work_that_a_dead_build_left(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(str(place.store)).building("clean", "a" * 64) as workspace:
        (workspace.data / "half").write_bytes(b"x" * 1000)
    assert checks.leftovers(place)[0].status == "ok"
    monkeypatch.setattr(checks, "_LEFT_S", -1.0)
    (found,) = checks.leftovers(place)
    assert found.status == "warning"
    assert "phusa gc" in found.remedy


def test_a_driver_that_torch_cannot_use(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert [f.status for f in gpu(place)] == ["ok"]
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert [f.status for f in gpu(place)] == ["warning"]
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert [f.status for f in gpu(place)] == ["error"]


def test_a_gpu_that_something_else_fills(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"device {index}")
    memory = {0: (70_000_000_000, 80_000_000_000), 1: (1_000_000_000, 80_000_000_000)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory.__getitem__)
    assert [f.status for f in gpu(place)] == ["ok", "warning"]


def test_checks_that_raise_or_hang_are_findings_and_stop_no_other(place: Place) -> None:
    never = threading.Event()

    def raises(place: Place) -> list[Finding]:
        raise RuntimeError("its file is\nbroken")

    def hangs(place: Place) -> list[Finding]:
        never.wait()
        return []

    def works(place: Place) -> list[Finding]:
        return [ok("works", "fine")]

    try:
        found = [f for group in run_checks((raises, hangs, works), place, 0.3) for f in group]
    finally:
        never.set()
    assert [(f.check, f.status) for f in found] == [
        ("raises", "error"),
        ("hangs", "error"),
        ("works", "ok"),
    ]
    assert "RuntimeError: its file is broken" in found[0].found


def test_every_check_is_in_the_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a server each check of it is named as skipped, in the order of the list."""
    url = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setattr(doctor, "_api_url", lambda place: (url, "as the test says"))
    monkeypatch.setattr(doctor, "HERE", ())
    monkeypatch.setattr(doctor, "AROUND", ())
    found = examine(str(tmp_path))
    names = [check.__name__.replace("_", " ") for check in doctor.ON_SERVER]
    assert [f.check for f in found if f.status == "skipped"] == names
