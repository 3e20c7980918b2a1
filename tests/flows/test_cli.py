"""The command line: exit codes, JSON, help, and clear ends."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from storage.sealing import quarantined
from storage.store import Store
from tests.conftest import ROOT, recipe_of
from tests.flows.conftest import Cli, Phusa
from tests.site import TinySite

COMMANDS = (
    "run", "plan", "artifacts", "show", "sample", "trace", "diff", "verify", "promote", "rollback",
    "gc", "export",
)  # fmt: skip


def call(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    """A command that must end before Prefect starts, so it needs no server."""
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    done = call(command, "--help", COLUMNS="200")
    assert done.returncode == 0 and f"phusa {command} " in done.stdout and "Example" in done.stdout


def test_light_commands_import_neither_prefect_nor_torch(tmp_path: Path) -> None:
    code = (
        "import sys, flows.cli\n"
        "heavy = {'prefect', 'torch', 'transformers', 'peft', 'datasets', 'trafilatura'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_wrong_requests_end_at_once_with_exit_code_2(tiny_recipe: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    wrong = {
        "no such file": ("run", tmp_path / "none.yaml", *store),
        "Did you mean `threshold`?": ("run", tiny_recipe, *store, "--set", "dedup.treshold=1"),
        "unknown instance `dedupe`": ("run", tiny_recipe, *store, "--only", "dedupe"),
        "no artifact clean@latest made by recipe 'tiny'": (
            "run",
            tiny_recipe,
            *store,
            "--only",
            "dedup",
        ),
        "INSTANCE=VERSION": ("plan", tiny_recipe, *store, "--input", "tokenizer"),
        "no artifact nothing@latest": ("show", "nothing", *store),
        "no artifact model@7": ("sample", "model@7", "hello", *store),
    }
    for said, words in wrong.items():
        done = call(*words)
        assert done.returncode == 2, (words, done.stdout, done.stderr)
        assert "the request was refused" in done.stderr
        assert said in " ".join(done.stderr.split()), done.stderr
    assert call("run", tiny_recipe, "--no-such-option").returncode == 2
    assert not (tmp_path / "store").exists()  # nothing was begun


def test_answers_in_json(
    phusa: Phusa, tiny_recipe: Path, recipe: Path, store: Store, tmp_path: Path
) -> None:
    empty = ("--store", tmp_path / "store")
    planned = json.loads(phusa("plan", tiny_recipe, "--json", *empty).stdout)
    assert [row["action"] for row in planned] == ["run"] * 8
    assert json.loads(phusa("artifacts", "--json", *empty).stdout) == []
    place = ("--store", store.address)
    planned = json.loads(phusa("plan", recipe, "--json", *place).stdout)
    assert [row["action"] for row in planned] == ["reuse"] * 8
    version = store.versions("crawl")[0]
    shown = json.loads(phusa("show", f"crawl@{version[:-2]}", "--json", *place).stdout)
    assert shown["version"] == version
    assert shown["used_by"][0]["artifact"].startswith("clean@")
    assert shown["config"]["source"]["kind"] == "web" and shown["rows_out"] == 57
    people = phusa("show", "clean", *place).stdout
    assert "made from" in people and f"crawl@{version}" in people
    assert version in phusa("artifacts", *place).stdout
    assert phusa("sample", "finetune", "What is silt.mod1.fold?", *place).stdout.strip()
    assert "no model in it" in call("sample", "crawl", "x", *place).stderr


def test_store_from_the_environment_and_by_default(tiny_recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    done = call("artifacts", "--json", PHUSA_STORE=str(other))
    assert done.returncode == 0 and json.loads(done.stdout) == []
    assert call("plan", tiny_recipe).returncode == 0


def broken(tmp_path: Path, site: TinySite, **changes: object) -> Path:
    raw = recipe_of(site)
    for path, value in changes.items():
        node = raw
        *parents, last = path.split("__")
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.mark.parametrize(
    ("changes", "said", "sealed"),
    [
        ({"crawl__source__seeds": ["http://127.0.0.1:9/"]}, "no page was fetched", []),
        ({"crawl__source__seeds": ["{site}notes.txt"]}, "not_html", []),
        ({"clean__languages": ["vi"]}, "none of 57 pages became a document", ["crawl"]),
        (
            {"tokenizer__vocab_size": 50_000},
            "--set tokenizer.vocab_size=",
            ["clean", "crawl", "dedup", "quality"],
        ),
    ],
)
def test_runs_that_cannot_go_on_end_clearly(
    phusa: Phusa,
    tmp_path: Path,
    tiny_site: TinySite,
    changes: dict[str, object],
    said: str,
    sealed: list[str],
) -> None:
    if "{site}" in str(changes):
        changes = {"crawl__source__seeds": [f"{tiny_site.url}notes.txt"]}
    recipe = broken(tmp_path, tiny_site, crawl__source__retries=0, **changes)
    store = tmp_path / "store"
    done = phusa("run", recipe, "--store", store, code=1)
    assert " failed" in done.stderr and said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    listed = json.loads(phusa("artifacts", "--json", "--store", store).stdout)
    assert [row["name"] for row in listed] == sealed


def test_a_full_disk_ends_clearly_and_seals_nothing(
    phusa: Phusa, prefect_env: dict[str, str], tiny_recipe: Path, tmp_path: Path
) -> None:
    """A limit on file size makes the kernel refuse the write, as a full disk does."""
    store = tmp_path / "store"
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000));"
        "from flows.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "run", str(tiny_recipe), "--store", str(store)],
        cwd=ROOT,
        env=prefect_env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "--store PATH" in done.stderr and "Traceback" not in done.stderr
    assert json.loads(phusa("artifacts", "--json", "--store", store).stdout) == []
    phusa("run", tiny_recipe, "--store", store, "--only", "crawl")  # with room it goes on


def test_ctrl_c_stops_soon_and_the_next_run_goes_on(
    prefect_env: dict[str, str], recipe: Path, store: Store, tmp_path: Path
) -> None:
    shutil.copytree(store.address, tmp_path / "store")
    words = ("run", str(recipe), "--store", str(tmp_path / "store"))
    long = ("--set", "pretrain.tokens=20000000", "--set", "pretrain.checkpoint_steps=50")
    run = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words, *long],
        cwd=ROOT, env=prefect_env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    snapshots = tmp_path / "store" / "work" / "pretrain"
    deadline = time.monotonic() + 90
    while not list(snapshots.glob("*/scratch/snapshots/step-*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=20)[0]
    assert run.returncode == 130, said
    assert said.splitlines()[-1] == "stopped on SIGINT; the same command goes on from here"
    again = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words, *long],
        cwd=ROOT, env=prefect_env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert again.stdout is not None
    lines = iter(again.stdout.readline, "")
    assert any("pretrain: goes on from step" in line for line in lines)
    again.kill()
    again.communicate()


# --- gates --------------------------------------------------------------------------------------


def test_a_gate_holds_a_build_back_until_its_bounds_are_loosened(
    phusa: Phusa, cli: Cli, recipe: Path, store: Store, tmp_path: Path
) -> None:
    copy = Store(shutil.copytree(store.address, tmp_path / "store"))
    before = copy.resolve("clean")
    words = ("run", recipe, "--store", copy.address, "--only", "clean")
    other = (*words, "--set", "clean.filters.0.min_words=21")
    strict, loose = (
        ("--set", f"clean.checks=[{{measure: drop_rate, max: {bound}}}]") for bound in (0.0, 0.5)
    )

    done = phusa(*other, *strict, code=1)
    said = " ".join(done.stderr.split())
    assert "clean: run (filters.0.min_words: 20 → 21)" in done.stdout
    assert said.startswith("phusa run failed clean@") and "kept in quarantine" in said
    assert "drop_rate 0." in said, said
    assert "is above max 0 (last: " in said and "See the reasons in rejects/" in said
    assert "Traceback" not in done.stdout + done.stderr
    (held,) = quarantined(copy)
    assert copy.resolve("clean") == before  # never an input

    shown = cli("show", "clean", "--store", copy.address)
    assert shown.out.startswith(f"{held.label} quarantined")
    assert f"folder: {copy.folder(held)}" in shown.out.splitlines()
    assert "is above max 0" in " ".join(shown.out.split())
    planned = json.loads(cli("plan", recipe, *other[2:], "--json").out)
    assert planned[-1]["action"] == "reuse" and planned[-1]["artifact"] == held.version

    done = phusa(*other, *loose)
    assert "clean: reuse (from quarantine: its checks hold now)" in done.stdout
    assert "run (" not in done.stdout and "reused" in done.stdout
    assert copy.resolve("clean").version == held.version and quarantined(copy) == []

    done = phusa(*words, *strict, code=1)  # a hit, which is held against the gates of today
    assert f"{before.label} does not pass its blocking checks" in done.stderr


# --- credentials --------------------------------------------------------------------------------


def test_no_credential_is_written_anywhere(
    prefect_env: dict[str, str],
    s3_env: dict[str, str],
    s3_bucket: str,
    tiny_recipe: Path,
    tmp_path: Path,
) -> None:
    """Not in the store, the cache, the Prefect server's database or logs, or what is printed.

    Neither where a run ends well, nor where the store refuses it or does not answer.
    """
    secrets = [s3_env["AWS_ACCESS_KEY_ID"], s3_env["AWS_SECRET_ACCESS_KEY"]]
    env = {
        **prefect_env,
        **s3_env,
        "PHUSA_CACHE": str(tmp_path / "cache"),
        "PREFECT_LOGGING_LEVEL": "DEBUG",
    }
    said = ""
    for address, port, code in (
        (f"{s3_bucket}/a/b", None, 0),
        ("s3://phusa-no-such-bucket", None, 2),
        (s3_bucket, "http://127.0.0.1:9", 1),
    ):
        endpoint = {} if port is None else {"AWS_ENDPOINT_URL": port}
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", "run", str(tiny_recipe), "--store", address,
             "--only", "crawl"],
            cwd=ROOT, env={**env, **endpoint}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        said += done.stdout + done.stderr
    store = Store(s3_bucket)
    keys = list(store.backend.sizes(""))
    assert any(key.startswith("a/b/versions/crawl/") for key in keys)
    content = [b"".join(store.backend.chunks(key)) for key in keys]
    folders = (Path(prefect_env["PREFECT_HOME"]), tmp_path)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    written = [path.read_bytes() for path in files]
    assert any(s3_bucket.encode() in data for data in written)  # so the server keeps what it gets
    content += written
    for secret in secrets:
        assert secret not in said
        assert not any(secret.encode() in data for data in [*content, *map(str.encode, keys)])


_ASKING = (
    ("plan", "RECIPE"), ("artifacts",), ("show", "clean"), ("trace", "http://a.example/"),
    ("trace", "--model", "pretrain"), ("clean", "replay", "RECIPE"), ("clean", "funnel"),
    ("clean", "try", "RECIPE", "--recipe", "RECIPE"), ("dedup", "show", "http://a.example/"),
    ("diff", "clean", "clean"), ("verify",), ("gc",), ("rollback", "clean", "prod"),
)  # fmt: skip
_CHANGING = (
    ("promote", "clean", "prod"), ("gc", "--yes"), ("forget", "http://a.example/", "--why", "x"),
    ("run", "RECIPE"), ("sample", "pretrain", "x"), ("export", "clean", "OUT"), ("up", "RECIPE"),
)  # fmt: skip


@pytest.mark.parametrize("words", [*_ASKING, *_CHANGING], ids=" ".join)
def test_a_store_that_can_be_none(
    cli: Cli, tmp_path: Path, tiny_recipe: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("mine")
    places = {"RECIPE": tiny_recipe, "OUT": tmp_path / "out"}
    words_here = [places.get(word, word) for word in words]
    for store in (tmp_path / "file", tmp_path / "file" / "deep" / "store"):
        done = cli(*words_here, "--store", store)
        assert done.code == 2 and str(tmp_path / "file") in done.err, done.err
        assert "--store" in done.err and "Traceback" not in done.err
    if words in _ASKING:
        cli(*words_here, "--store", tmp_path / "none" / "store")
        assert not (tmp_path / "none").exists()
    assert (tmp_path / "file").read_text() == "mine"


def test_a_store_that_is_a_file_in_json(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cli("artifacts", "--store", tmp_path / "file", "--json")
    error = json.loads(done.err)["error"]
    assert (done.code, error["code"]) == (2, "path_unusable")
    assert [fault["code"] for fault in error["faults"]] == ["not_a_folder"]


@pytest.mark.parametrize(
    ("number", "code", "exit_code"),
    [(errno.EROFS, "read_only", 2), (errno.EACCES, "permission_denied", 2),
     (errno.EMFILE, "too_many_open_files", 1), (errno.ENOSPC, "no_space", 1)],
)  # fmt: skip
def test_a_store_that_cannot_be_written(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: str,
    exit_code: int,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("storage.backends.local._write_synced", refuse)
    done = cli("forget", "http://a.example/", "--why", "x", "--store", tmp_path, "--json")
    (fault,) = json.loads(done.err)["error"]["faults"]
    assert (done.code, fault["code"]) == (exit_code, code)
    assert str(tmp_path) in fault["where"]
