"""`phusa forget` on a store that a real run filled: found, left out, and taken out for good."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from flows.listing import describe
from flows.stages import STAGES
from flows.takedown.purge import Purge
from flows.takedown.record import look
from storage import lease, takedown
from storage.errors import RequestError
from storage.layout import lease_key, quarantine_key
from storage.manifest import Manifest
from storage.store import Store
from tests.conftest import ROOT
from tests.flows.conftest import Phusa
from tests.site import TinySite

pytestmark = pytest.mark.fleet  # minutes of whole runs

DATA = ("crawl", "clean", "dedup", "shard")
WHY = "its author asked"


def copy(store: Store, folder: Path) -> Store:
    shutil.copytree(store.address, folder)
    return Store(folder)


def rows(store: Store, manifest: Manifest, prefix: str) -> list[dict[str, Any]]:
    paths = store.files(manifest, prefix)
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def choose(store: Store) -> SimpleNamespace:
    """A document that was trained on, is quoted in a pair, and that no other resembles."""
    trained = {s["document_id"] for r in rows(store, store.resolve("shard"), "train/")
               for s in r["spans"]}  # fmt: skip
    paired = {r["document_id"] for r in rows(store, store.resolve("finetune"), "pairs/steps")}
    dedup = store.resolve("dedup")
    alike = {r["kept_id"] for r in rows(store, dedup, "duplicates")}
    documents = rows(store, dedup, "documents/")
    one = next(
        row for row in documents if row["document_id"] in (trained & paired) - alike
        and row["url"].endswith("html")
    )  # fmt: skip
    return SimpleNamespace(
        url=one["url"], id=one["document_id"], secrets=_distinctive(one, documents)
    )


def _distinctive(one: dict[str, Any], documents: list[dict[str, Any]]) -> list[str]:
    """Sentences that no other page has."""
    others = "\n".join(row["text"] for row in documents if row["url"] != one["url"])
    found = [s for s in re.findall(r"[A-Z][^.\n]{30,}\.", one["text"]) if s not in others]
    assert len(found) >= 4
    return found


def texts(store: Store) -> Iterator[tuple[Path, str]]:
    """Everything that any file of the store says: packed, in columns, and as tokens."""
    root = Path(store.address)
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        yield path, data.decode("utf-8", "replace")
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            names = [n for n in table.column_names if str(table.schema.field(n).type) == "string"]
            yield path, "\n".join(str(v) for n in names for v in table[n].to_pylist())
            if "input_ids" in table.column_names:
                yield from ((path, text) for text in _decoded(store, path, table))


def _decoded(store: Store, path: Path, table: Any) -> Iterator[str]:
    """A shard's rows as one text: a sentence may lie across two rows."""
    version = path.parents[2].name
    reference = store.manifest("shard", version).inputs["tokenizer"]
    (file,) = store.files(store.manifest("tokenizer", reference.version), "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(file))
    stream = [token for row in table["input_ids"].to_pylist() for token in row[1:]]
    yield tokenizer.decode(stream)


def holding(store: Store, secrets: list[str]) -> set[str]:
    """Which stages' data, or which other folders, hold one of these sentences."""
    root = Path(store.address)
    return {
        "/".join(path.relative_to(root).parts[:2])
        for path, text in texts(store)
        if any(secret in text for secret in secrets)
    }


def digests(store: Store) -> dict[str, str]:
    return {name: store.resolve(name).digest for name in STAGES}


@pytest.fixture(scope="module")
def page(store: Store) -> SimpleNamespace:
    return choose(store)


@pytest.fixture(scope="module")
def forgotten(
    phusa: Phusa, store: Store, home_of_copies: Path, page: SimpleNamespace
) -> tuple[Store, dict[str, Any]]:
    """A store with an alias on its tuned model, and the answer of `phusa forget URL`."""
    place = copy(store, home_of_copies / "forgotten")
    phusa("promote", "finetune", "prod", "--store", place.address)
    words = ("forget", page.url, "--why", WHY, "--store", place.address, "--json")
    return place, json.loads(phusa(*words).stdout)


@pytest.fixture(scope="module")
def home_of_copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forget")


@pytest.fixture(scope="module")
def purged(
    phusa: Phusa,
    prefect_env: dict[str, str],
    forgotten: tuple[Store, dict[str, Any]],
    home_of_copies: Path,
    page: SimpleNamespace,
) -> tuple[Store, dict[str, Any]]:
    """The same store purged, by a command that was killed at every step before it got through."""
    place = copy(forgotten[0], home_of_copies / "purged")
    earlier = takedown.read(place.backend).all[0].model_copy(update=EARLIER)
    takedown.mark(place.backend, place.resolve("finetune"), earlier, None)
    for point in KILLS:
        _purge_killed(prefect_env, place, page.url, point)
        for manifest in place.manifests():
            assert not place.damage(manifest), point
        tuned = place.resolve("finetune@prod")
        assert place.is_whole(tuned) and takedown.marks(place.backend, tuned), point
    words = ("forget", page.url, "--purge", "--json", "--store", place.address)
    return place, json.loads(phusa(*words).stdout)


EARLIER = {"id": "earlier", "kind": "domain", "value": "gone.org"}
KILLS = (
    "tasks.clean.rewrite:rewrite",  # the crawl is sealed
    "flows.run:build_like",  # so is the cleaning
    "tasks.finetune.rewrite:rewrite",  # all but the adapter
    "storage.takedown:carry_marks",  # the adapter too, and its mark is missing
    "flows.takedown.purge:Purge._bury",  # aliases have moved
    "storage.backends.local:LocalBackend.delete",  # one version has its tombstone, and its data
    "flows.takedown.purge:drop_leftovers",  # all are gone
)


def _purge_killed(env: dict[str, str], store: Store, url: str, point: str) -> None:
    code = (
        "import importlib, os, signal, sys\n"
        "from flows.cli import main\n"
        "module, path = sys.argv.pop(1).split(':')\n"
        "*parents, name = path.split('.')\n"
        "owner = importlib.import_module(module)\n"
        "for parent in parents: owner = getattr(owner, parent)\n"
        "true = getattr(owner, name)\n"
        "def kill(*args, **options):\n"
        "    if name == 'delete' and 'versions' not in args[1]: return true(*args, **options)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "setattr(owner, name, kill)\n"
        "main()\n"
    )
    words = [point, "forget", url, "--purge", "--store", store.address]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *words],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, f"{point}: {done.stdout}{done.stderr}"


# --- without --purge ----------------------------------------------------------------------------


def test_it_says_what_holds_it_and_what_saw_it(
    forgotten: tuple[Store, dict[str, Any]], page: SimpleNamespace
) -> None:
    store, said = forgotten
    assert (said["takedown"]["value"], said["takedown"]["why"]) == (page.url, WHY)
    held = {h["artifact"].partition("@")[0]: h for h in said["holders"]}
    assert set(held) == {*DATA, "finetune"} and held["finetune"]["aliases"] == ["prod"]
    for name in ("crawl", "clean", "dedup"):
        assert held[name]["amount"] == 1
    spans = rows(store, store.resolve("shard"), "train/")
    expected = sum(any(s["document_id"] == page.id for s in row["spans"]) for row in spans)
    assert held["shard"]["amount"] == expected
    saw = {m["artifact"].partition("@")[0]: m for m in said["models"]}
    assert saw["tokenizer"]["documents"] == 1
    assert saw["pretrain"]["tokens"] == saw["finetune"]["tokens"] > 0
    assert saw["finetune"]["pairs"] > 0
    for name in ("tokenizer", "pretrain", "finetune"):
        (mark,) = describe(store, name).marks
        assert mark.rule == f"url {page.url}"


def test_nothing_is_deleted(
    forgotten: tuple[Store, dict[str, Any]], store: Store, page: SimpleNamespace
) -> None:
    assert digests(forgotten[0]) == digests(store)
    assert holding(forgotten[0], page.secrets) >= {f"versions/{name}" for name in DATA}


def test_people_are_told_too(phusa: Phusa, forgotten: tuple[Store, Any], page: Any) -> None:
    where = ("--store", forgotten[0].address)
    said = phusa("forget", page.url, *where).stdout
    assert f"url {page.url}: taken down 20" in said and WHY in said
    assert re.search(r"finetune@\S+ \(prod\): \d+ pairs? of 1 document\n", said)
    assert re.search(r"pretrain@\S+: [\d,]+ tokens\n", said)
    listed = phusa("forget", "--list", *where).stdout
    assert listed.startswith(f"url {page.url}\n") and WHY in listed
    assert "held by crawl@" in listed and "seen by tokenizer@" in listed
    (row,) = json.loads(phusa("forget", "--list", "--json", *where).stdout)
    assert len(row["holders"]) == 5 and len(row["models"]) == 3


def test_wrong_words_are_refused(phusa: Phusa, forgotten: tuple[Store, Any], page: Any) -> None:
    where = ("--store", forgotten[0].address)
    for words, says in (
        ((), "found nothing; expected what to forget, or --list alone"),
        (("--list", "--purge"), "found --list with something else"),
        ((page.url, "--list"), "found --list with something else"),
        (("a.org/page",), "Examples: https://example.org/page.html"),
        (("other.org",), "found no reason to forget domain other.org"),
    ):
        assert says in phusa("forget", *words, *where, code=2).stderr, words
    assert len(takedown.read(forgotten[0].backend).all) == 1


def test_stages_that_cannot_leave_it_out_are_refused(
    phusa: Phusa, forgotten: tuple[Store, Any], recipe: Path, page: Any
) -> None:
    refused = phusa(
        "run", recipe, "--from", "tokenizer", "--store", forgotten[0].address, code=2
    ).stderr
    assert f"which holds url {page.url}; expected no content that was taken down" in refused
    assert "--from clean" in refused and "`phusa forget --purge`" in refused


def test_a_build_that_reads_it_is_in_the_way(
    forgotten: tuple[Store, Any], home_of_copies: Path
) -> None:
    store = copy(forgotten[0], home_of_copies / "leased")
    (taken,) = takedown.read(store.backend).all
    work = Purge(store, look(store, taken))
    label = store.resolve("dedup").label
    with store.building("shard", "f" * 64, [label]):
        with pytest.raises(RequestError, match=f"a build of shard that reads {label}"):
            work.plan()
        key = lease_key("crawl", "e" * 64)
        with lease.holding(store.backend, key, "another host's"):
            assert len(_faults(work)) == 1  # a crawl that knows of the takedown is not
    mine = lease_key("shard", "f" * 64)
    with store.building("shard", "f" * 64, [label]):
        data = store.backend.read(mine) or b""
    _write(store, mine, data)  # it was killed: its lock is free
    assert lease.live(store.backend) and not _faults(work)
    earlier = json.loads(data) | {"since": 0, "work": "another host's", "uses": []}
    _write(store, lease_key("dedup", "d" * 64), json.dumps(earlier).encode())
    assert not _faults(work)  # it reads something else
    _write(store, key, json.dumps(earlier).encode())
    assert "a crawl that began before the takedown" in _faults(work)[0]


def _write(store: Store, key: str, data: bytes) -> None:
    assert store.backend.swap(key, data, store.backend.read(key))


def _faults(work: Purge) -> list[str]:
    try:
        work.plan()
    except RequestError as error:
        return [str(fault) for fault in error.faults]
    return []


# --- the next run, and a purge after it ---------------------------------------------------------


@pytest.fixture(scope="module")
def rerun(
    phusa: Phusa, forgotten: tuple[Store, Any], recipe: Path, home_of_copies: Path
) -> tuple[Store, str]:
    place = copy(forgotten[0], home_of_copies / "rerun")
    return place, phusa("run", recipe, "--store", place.address).stdout


def test_the_next_run_leaves_it_out(
    rerun: tuple[Store, str], forgotten: tuple[Store, Any], page: SimpleNamespace
) -> None:
    store, said = rerun
    assert "crawl: reuse" in said and said.count("reused") == 1
    assert f"clean: run (to be left out: url {page.url})" in said
    for name in ("clean", "dedup"):
        urls = {row["url"] for row in rows(store, store.resolve(name), "documents/")}
        before = {row["url"] for row in rows(forgotten[0], forgotten[0].resolve(name), "documents")}
        assert before - urls == {page.url} and not urls - before
    assert store.resolve("clean").forgotten == (f"url {page.url}",)
    reasons = rows(store, store.resolve("clean"), "rejects/")
    assert page.url in {row["url"] for row in reasons if row["reason"] == "forgotten"}
    for name in ("tokenizer", "pretrain", "finetune"):
        assert not describe(store, name).marks
    tuned = store.resolve("finetune")
    assert tuned.label != store.resolve("finetune@prod").label
    assert page.id not in {row["document_id"] for row in rows(store, tuned, "pairs/")}


def test_a_purge_after_that_keeps_what_was_made(
    phusa: Phusa, rerun: tuple[Store, str], recipe: Path, page: SimpleNamespace
) -> None:
    """What holds it is old by now, a crawl and an adapter that aliases mean."""
    store, _ = rerun
    where = ("--store", store.address)
    phusa("promote", "crawl", "kept", *where)
    phusa("run", recipe, "--only", "crawl", "--force", "crawl", *where)
    before = {name: store.resolve(name) for name in STAGES}
    words = ("forget", page.url, "--purge", "--json", *where)
    done = json.loads(phusa(*words).stdout)["purged"]
    assert not done["left"] and len(done["buried"]) == 5
    assert {n: store.resolve(n).digest for n in STAGES} == {n: m.digest for n, m in before.items()}
    for name in ("crawl", "finetune"):  # and not what took the place of the old one
        assert store.resolve(name).label == before[name].label
        assert store.find(name, before[name].fingerprint) == before[name]
    for name in ("crawl@kept", "finetune@prod"):
        assert store.resolve(name).stats["rewritten_from"] in done["buried"]
    assert not holding(store, page.secrets)
    again = phusa("run", recipe, *where).stdout
    assert again.count("reused") == len(STAGES)


# --- --purge ------------------------------------------------------------------------------------


def test_a_purge_that_was_killed_is_finished(
    purged: tuple[Store, dict[str, Any]], phusa: Phusa, page: SimpleNamespace
) -> None:
    store, said = purged
    assert not said["purged"]["left"]
    for name in (*DATA, "finetune"):
        assert len(store.versions(name)) == 1  # one that takes the place, made once
    assert not lease.live(store.backend) and not store.aliases.read().going()
    assert not list(store.work.glob("*/*/data"))
    said = phusa("forget", page.url, "--purge", "--store", store.address).stdout
    assert "nothing holds it now" in said and said.endswith("holds it any more\n")


def test_no_file_has_a_sentence_of_it(
    purged: tuple[Store, Any], store: Store, page: SimpleNamespace
) -> None:
    assert holding(store, page.secrets) >= {f"versions/{name}" for name in DATA}  # it would see it
    assert not holding(purged[0], page.secrets)


def test_the_store_is_whole(purged: tuple[Store, Any], phusa: Phusa) -> None:
    said = phusa("verify", "--deep", "--store", purged[0].address).stdout
    assert "read and hashed: all whole" in said


def test_a_trace_says_that_it_was_forgotten(
    purged: tuple[Store, Any], phusa: Phusa, page: SimpleNamespace
) -> None:
    where = ("--store", purged[0].address)
    found = json.loads(phusa("trace", page.url, "--json", *where).stdout)
    seen = {v["stage"]: v["finding"] for v in found["visits"] if v["finding"]}
    assert list(seen) == ["crawl"] and not seen["crawl"]["pages"]
    assert [r["reason"] for r in seen["crawl"]["rejected"]] == ["forgotten"]


def test_lineage_and_marks_stay(purged: tuple[Store, Any], store: Store) -> None:
    place, _ = purged
    base = describe(place, "pretrain")
    assert base.state == "sealed" and base.marks
    shard = place.manifest("shard", base.manifest.inputs["shard"].version)
    assert describe(place, shard.label).state == "gone"
    assert shard.digest == store.resolve("shard").digest
    tuned = place.resolve("finetune@prod")
    rules = {mark.rule for mark in takedown.marks(place.backend, tuned)}
    assert rules == {base.marks[0].rule, "domain gone.org"}
    old = store.resolve("finetune")
    kept = {e.path: e.sha256 for e in tuned.files if not e.path.startswith("pairs/")}
    assert kept == {e.path: e.sha256 for e in old.files if not e.path.startswith("pairs/")}
    assert {e.path for e in tuned.files} == {e.path for e in old.files}
    moves = place.aliases.read().moves["finetune"]["prod"]
    assert moves[-1].action == "replace" and moves[-1].why.startswith("takedown ")


def test_a_marked_model_is_not_promoted(purged: tuple[Store, Any], phusa: Phusa) -> None:
    refused = phusa("promote", "finetune", "next", "--store", purged[0].address, code=2).stderr
    assert "has seen content that was taken down" in refused


def test_the_rewritten_cleaning_is_that_of_the_rewritten_crawl(
    purged: tuple[Store, Any], phusa: Phusa, recipe: Path, home_of_copies: Path
) -> None:
    """Byte for byte, its evidence included; and crawling anew gives that crawl's content."""
    place = copy(purged[0], home_of_copies / "cleaned")
    rewritten, crawl = place.resolve("clean"), place.resolve("crawl")
    where = ("--store", place.address)
    phusa("run", recipe, "--only", "clean", "--force", "clean", *where)
    cleaned = place.resolve("clean")
    assert cleaned.label != rewritten.label
    assert (cleaned.digest, cleaned.files) == (rewritten.digest, rewritten.files)
    assert cleaned.fingerprint == rewritten.fingerprint
    assert (cleaned.rows_in, cleaned.rows_out) == (rewritten.rows_in, rewritten.rows_out)
    facts = {k: v for k, v in rewritten.stats.items() if k != "rewritten_from"}
    assert facts == cleaned.stats
    phusa("run", recipe, "--only", "crawl", "--force", "crawl", *where)
    assert place.resolve("crawl").digest == crawl.digest
    assert place.resolve("crawl").stats["rejected"] == crawl.stats["rejected"]


def test_the_next_run_trains_a_model_without_a_mark(
    purged: tuple[Store, Any], phusa: Phusa, recipe: Path, home_of_copies: Path, page: Any
) -> None:
    place = copy(purged[0], home_of_copies / "trained")
    said = phusa("run", recipe, "--store", place.address).stdout
    for name in ("crawl", "clean", "dedup", "tokenizer", "shard"):
        assert f"{name}: reuse" in said
    assert "pretrain: run" in said and "finetune: run" in said
    for name in ("tokenizer", "pretrain", "finetune"):
        assert not describe(place, name).marks
    assert not holding(place, page.secrets)
    # How good it is depends on which pages the site's port holds out.
    why = ("--override", "a small model of a test")
    phusa("promote", "finetune", "next", *why, "--store", place.address)


# --- a domain, a document, what cannot be rewritten ---------------------------------------------


def test_a_whole_domain_goes_and_what_is_named_stays(
    phusa: Phusa, forgotten: tuple[Store, Any], home_of_copies: Path, tiny_site: TinySite
) -> None:
    place = copy(forgotten[0], home_of_copies / "domain")
    where = ("--store", place.address)
    phusa("promote", "dedup", "kept", *where)
    words = ("forget", "127.0.0.1", "--why", "its owner asked", "--purge", *where)
    said = phusa(*words, code=1).stdout
    assert "crawl@" in said and "no new version: " in said and "has nothing else in it" in said
    dedup = place.resolve("dedup@kept")
    assert f"{dedup.label}: no version can take its place, and kept means it" in said
    assert place.is_whole(dedup)
    assert not any(place.versions(name) for name in ("crawl", "clean", "shard"))
    assert place.is_whole(place.resolve("pretrain"))
    tuned = place.resolve("finetune@prod")
    assert not any(e.path.startswith("pairs/") for e in tuned.files)
    assert len(takedown.marks(place.backend, tuned)) == 2  # of both takedowns


def test_a_document_goes_and_its_twin_comes_back(
    phusa: Phusa, store: Store, home_of_copies: Path, recipe: Path
) -> None:
    place = copy(store, home_of_copies / "document")
    twins = rows(place, place.resolve("dedup"), "duplicates")
    copies = [r["url"] for r in twins if r["kept_id"] == twins[0]["kept_id"]]
    kept, url = twins[0]["kept_id"], twins[0]["kept_url"]
    words = ("forget", kept, "--why", "a phone number", "--purge", "--json")
    said = json.loads(phusa(*words, "--store", place.address).stdout)
    assert said["alike"] == sorted(copies) and said["takedown"]["page_url"] == url
    documents = {row["url"] for row in rows(place, place.resolve("dedup"), "documents/")}
    assert url not in documents and documents & set(copies)
    (reject,) = (r for r in rows(place, place.resolve("crawl"), "rejects") if r["url"] == url)
    assert (reject["reason"], reject["value"]) == ("forgotten", f"document {kept}")
    phusa("run", recipe, "--only", "crawl", "--force", "crawl", "--store", place.address)
    phusa("run", recipe, "--only", "clean", "--store", place.address)
    assert url in {row["url"] for row in rows(place, place.resolve("crawl"), "pages/")}
    clean = place.resolve("clean")
    assert clean.forgotten == (f"document {kept}",)  # fetched again, and dropped again
    assert kept not in {row["document_id"] for row in rows(place, clean, "documents/")}


def never(*args: object) -> Manifest:
    raise AssertionError("nothing is to be built")


def test_what_is_damaged_stays_and_is_said(
    forgotten: tuple[Store, Any], home_of_copies: Path
) -> None:
    """What could be made anew, if only its crawl were whole, is not thrown away."""
    store = copy(forgotten[0], home_of_copies / "damaged")
    crawl = store.resolve("crawl")
    store.files(crawl, "warc/")[0].write_bytes(b"torn")
    (taken,) = takedown.read(store.backend).all
    done = Purge(store, look(store, taken)).carry_out(never)
    assert {label.partition("@")[0] for label in done.left} == set(DATA)
    assert all(f"{crawl.label} is damaged or gone" in why for why in done.left.values())
    assert all(store.versions(name) for name in DATA)
    assert [label.partition("@")[0] for label in done.buried] == ["finetune"]


def test_a_version_that_cannot_be_configured_any_more_goes(
    forgotten: tuple[Store, Any], home_of_copies: Path
) -> None:
    store = copy(forgotten[0], home_of_copies / "unreadable")
    for name in ("quality", "dedup", "tokenizer"):
        manifest = store.resolve(name)
        older = manifest.model_copy(update={"config": {"a knob": "of long ago"}})
        (store.folder(manifest).parent / "manifest.json").write_bytes(older.to_json())
    (taken,) = takedown.read(store.backend).all
    done = Purge(store, look(store, taken)).carry_out(never)
    assert not done.left and len(done.buried) == 5
    assert not store.versions("dedup") and not store.versions("shard")
    assert store.versions("crawl") and store.versions("clean")


def test_what_is_in_quarantine_goes_too(
    forgotten: tuple[Store, Any], home_of_copies: Path, page: SimpleNamespace
) -> None:
    store = copy(forgotten[0], home_of_copies / "quarantine")
    held = store.resolve("finetune")
    (store.folder(held).parent / "manifest.json").unlink()
    store.backend.create(quarantine_key(held.name, held.version), held.to_json())
    (taken,) = takedown.read(store.backend).all
    found = look(store, taken)
    assert [h.artifact for h in found.holders if h.quarantined] == [held.label]
    work = Purge(store, replace(found, holders=found.holders[-1:]))
    assert work.plan().withdraws == (held.label,)
    done = work.carry_out(never)
    assert done.withdrawn == (held.label,) and not done.left
    assert not store.folder(held).exists()


def test_forgetting_is_light() -> None:
    code = (
        "import sys, flows.cli, flows.takedown.purge\n"
        "heavy = {'prefect', 'torch', 'transformers', 'datasets', 'trafilatura'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
