"""`phusa gc` and `phusa verify`, as people and programs call them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from storage.manifest import Manifest
from storage.store import Store
from tests.flows.conftest import Cli
from tests.flows.sealed import seal

DAY = 86_400.0


@pytest.fixture
def place(tmp_path: Path) -> Store:
    return Store(tmp_path / "store [red]")  # no markup, wherever it is printed


def _seal(store: Store, name: str, number: int, *inputs: Manifest) -> Manifest:
    version = f"2020010{number}-000000-000-aaaa"
    return seal(Path(store.address), name, version, {"a": b"x" * 1000 * number}, inputs=inputs)


def _leave_work(store: Store) -> Path:
    with store.building("clean", "died") as workspace:
        workspace.write_json("a.json", "x" * 497)
    for path in (workspace.root, *workspace.root.rglob("*")):
        os.utime(path, (time.time() - 8 * DAY,) * 2)
    return workspace.root


def _lines(said: str) -> list[str]:
    return [" ".join(line.split()) for line in said.splitlines()]


# --- gc -----------------------------------------------------------------------------------------


def test_gc_says_what_could_go_and_takes_it_when_told_to(place: Store, cli: Cli) -> None:
    old, new = _seal(place, "crawl", 1), _seal(place, "crawl", 2)
    work = _leave_work(place)
    size = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    words = ("gc", "--keep", 1, "--store", place.address)

    done = cli(*words)
    said = _lines(done.out)
    assert done.code == 0 and "could go" in said
    assert f"│ {old.label} │ 1.0 kB │ older than the last 1 │" in said
    assert f"abandoned work: {work} ({size} B)" in said
    assert "stay: 0 (alias), 1 (last 1), 0 (live build), 0 (ancestor)" in said
    assert (
        said[-1] == f"would free {(1000 + size) / 1000:.1f} kB; nothing was changed: --yes does it"
    )
    assert place.damage(old) == [] and work.exists()

    done = cli(*words, "--yes")
    said = _lines(done.out)
    assert done.code == 0 and "taken" in said
    assert said[-1] == f"freed {(1000 + size) / 1000:.1f} kB; manifests are kept"
    assert place.versions("crawl") == [new.version] and not work.exists()
    assert place.manifest("crawl", old.version) == old

    done = cli(*words)
    assert done.code == 0 and _lines(done.out)[-1] == "nothing can go"


def test_gc_in_json(place: Store, cli: Cli) -> None:
    old, new = _seal(place, "crawl", 1), _seal(place, "crawl", 2)
    work = _leave_work(place)
    words = ("gc", "--keep", "1", "--json", "--store", place.address)
    planned = json.loads(cli(*words).out)
    size = planned["work"][0]["bytes"]
    expected: dict[str, Any] = {
        "done": False,
        "artifacts": [{"artifact": old.label, "why": "older than the last 1", "bytes": 1000}],
        "work": [{"folder": str(work), "bytes": size}],
        "bytes": 1000 + size,
        "kept": {"alias": 0, "last 1": 1, "live build": 0, "ancestor": 0},
    }
    assert planned == expected
    assert json.loads(cli(*words, "--yes").out) == expected | {"done": True}
    again = json.loads(cli(*words, "--yes").out)
    assert (again["artifacts"], again["work"], again["bytes"]) == ([], [], 0)
    assert place.versions("crawl") == [new.version]


def test_gc_keeps_three_where_nothing_is_said(place: Store, cli: Cli) -> None:
    for number in range(1, 6):
        _seal(place, "crawl", number)
    place.aliases.promote("crawl", place.versions("crawl")[0], "prod", "", set)
    said = json.loads(cli("gc", "--json", "--store", place.address).out)
    assert [row["artifact"] for row in said["artifacts"]] == ["crawl@20200102-000000-000-aaaa"]
    assert said["kept"] == {"alias": 1, "last 3": 3, "live build": 0, "ancestor": 0}


def test_gc_never_keeps_less_than_one(place: Store, cli: Cli) -> None:
    assert cli("gc", "--keep", 0, "--yes", "--store", place.address).code == 2


@pytest.mark.parametrize("yes", [(), ("--yes",)])
def test_gc_of_a_store_that_is_not_there(place: Store, cli: Cli, yes: tuple[str, ...]) -> None:
    done = cli("gc", *yes, "--store", place.address)
    assert done.code == 0 and not Path(place.address).exists()


@pytest.mark.parametrize("yes", [(), ("--yes",)])
def test_gc_takes_nothing_where_a_manifest_cannot_be_read(
    place: Store, cli: Cli, yes: tuple[str, ...]
) -> None:
    old, new = _seal(place, "crawl", 1), _seal(place, "crawl", 2)
    manifest = Path(place.address) / "versions/crawl" / new.version / "manifest.json"
    manifest.write_bytes(b"{")
    done = cli("gc", "--keep", 1, *yes, "--store", place.address)
    assert done.code == 1 and " failed" in done.err and new.label in done.err
    assert place.damage(old) == [] and place.resolve(old.label) == old


# --- verify -------------------------------------------------------------------------------------


def test_verify_says_that_all_is_whole(place: Store, cli: Cli) -> None:
    crawl = _seal(place, "crawl", 1)
    _seal(place, "clean", 2, crawl)
    words = ("verify", "--store", place.address)
    assert cli(*words).out == "2 artifacts, 3.0 kB, by size: all whole\n"
    assert cli(*words, "--deep").out == "2 artifacts, 3.0 kB, read and hashed: all whole\n"
    done = cli(*words, "--json")
    assert (done.code, json.loads(done.out)) == (0, [])
    assert cli("verify", "--store", f"{place.address}/none").out.startswith("0 artifacts, 0 B")


def test_verify_ends_with_1_and_names_what_is_touched(place: Store, cli: Cli) -> None:
    crawl = _seal(place, "crawl", 1)
    clean = _seal(place, "clean", 2, crawl)
    (place.folder(crawl) / "a").write_bytes(b"y" * 1000)
    words = ("verify", "--store", place.address)
    assert cli(*words).code == 0  # as long as nobody reads it
    done = cli(*words, "--deep")
    said = done.out.splitlines()
    assert done.code == 1 and done.err == ""
    assert said[0] == crawl.label
    assert said[1].startswith("  a: altered; sha256 ")
    assert said[2] == f"  made from it: {clean.label}"
    assert said[3] == "2 artifacts, 3.0 kB, read and hashed: 1 damaged"
    assert "--force STAGE" in said[4]
    done = cli(*words, "--deep", "--json")
    (row,) = json.loads(done.out)
    assert done.code == 1
    assert (row["artifact"], row["touched"]) == (crawl.label, [clean.label])
    assert row["findings"][0].startswith("a: altered")


def test_verify_looks_at_what_is_named(place: Store, cli: Cli) -> None:
    made = {name: [_seal(place, name, n) for n in (1, 2)] for name in ("crawl", "clean")}
    for manifest in (*made["crawl"], made["clean"][0]):
        (place.folder(manifest) / "a").unlink()
    place.aliases.promote("clean", made["clean"][1].version, "prod", "", set)

    def damaged(*words: str) -> tuple[int, list[str]]:
        done = cli("verify", *words, "--json", "--store", place.address)
        return done.code, [row["artifact"] for row in json.loads(done.out)]

    assert damaged("crawl") == (1, [m.label for m in made["crawl"]])
    assert damaged("clean") == (1, [made["clean"][0].label])
    assert damaged(made["clean"][0].label) == (1, [made["clean"][0].label])
    assert damaged("clean@prod") == damaged("clean@latest") == (0, [])
    for unknown in ("claen", "clean@1999", "clean@dev"):
        done = cli("verify", unknown, "--store", place.address)
        assert done.code == 2 and f"no artifact {unknown}" in done.err
