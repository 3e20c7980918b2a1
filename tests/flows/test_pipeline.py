"""The whole river on a tiny website, with a real Prefect server, as a user runs it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warcio.archiveiterator import ArchiveIterator

from flows.graph import graph_of
from flows.recipe import load_recipe
from flows.stages import STAGES
from storage.store import Store
from tasks.lm.checkpoint import load_model
from tests.conftest import ROOT, recipe_of
from tests.flows.conftest import Cli, Phusa
from tests.site import TinySite

Listed = Callable[[Path], list[dict[str, Any]]]
NUM_KILLS = 12


def digests(listed: list[dict[str, Any]]) -> dict[str, str]:
    """The content digest of each name's latest version."""
    return {row["name"]: row["digest"] for row in listed}


def test_first_run_builds_and_tells(first_run: str, store: Store, artifacts: Listed) -> None:
    assert [row["name"] for row in artifacts(Path(store.address))] == sorted(STAGES)
    assert first_run.count("built") == len(STAGES)
    for said in ("unigram tokens", "xz -9", "bits per byte", "What is silt.mod1.fold?", "tuned:"):
        assert said in first_run
    crawl = store.resolve("crawl")
    rejects = pq.read_table(store.folder(crawl) / "rejects.parquet").to_pylist()
    assert {r["url"].rsplit("/", 1)[1]: r["reason"] for r in rejects} == {
        "missing.html": "http_404",
        "notes.txt": "not_html",
    }
    dedup = store.resolve("dedup")
    evidence = pq.read_table(store.folder(dedup) / "duplicates.parquet").to_pylist()
    assert {row["method"] for row in evidence} == {"exact", "minhash"}
    assert all(row["similarity"] >= 0.8 for row in evidence)
    assert dedup.rows_in - dedup.rows_out == len(evidence) == 7
    assert not list(store.work.glob("*/*/data"))  # nothing half-done stays behind


def test_second_run_reuses_everything(phusa: Phusa, recipe: Path, store: Store) -> None:
    before = len(list(store.manifests()))
    said = phusa("run", recipe, "--store", store.address).stdout
    assert said.count("reused") == len(STAGES)
    for name in STAGES:
        assert f"{name}: reuse (same configuration and inputs as" in said
    assert len(list(store.manifests())) == before


def test_crawling_again_leaves_all_later_stages_a_hit(
    phusa: Phusa, recipe: Path, store: Store
) -> None:
    said = phusa("run", recipe, "--store", store.address, "--force", "crawl").stdout
    assert "crawl: run (forced)" in said
    assert said.count("reused") == len(STAGES) - 1
    assert len(store.versions("crawl")) == 2
    said = phusa("run", recipe, "--store", store.address, "--set", "crawl.max_age_h=0").stdout
    assert "h old; 0 h are allowed (max_age_h))" in said
    assert said.count("reused") == len(STAGES) - 1
    assert len(store.versions("crawl")) == 3
    assert store.find("crawl", store.resolve("crawl").fingerprint) == store.resolve("crawl")


def test_early_cut_off(phusa: Phusa, recipe: Path, store: Store, tmp_path: Path) -> None:
    """A changed knob that changes no document runs its stage and no later one."""
    copy = tmp_path / "store"
    shutil.copytree(store.address, copy)
    said = phusa("run", recipe, "--store", copy, "--set", "clean.filters.0.min_words=19").stdout
    assert "clean: run (filters.0.min_words: 20 → 19)" in said
    assert said.count("reused") == len(STAGES) - 1


def test_single_stages(phusa: Phusa, recipe: Path, store: Store, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(store.address, copy)
    only = phusa("run", recipe, "--store", copy, "--only", "dedup", "--set", "dedup.threshold=0.99")
    assert "dedup: run (threshold: 0.8 → 0.99)" in only.stdout
    assert "clean:" not in only.stdout and "tokenizer:" not in only.stdout
    tokenizer = Store(copy).resolve("tokenizer").version
    given = phusa(
        "run", recipe, "--store", copy, "--from", "shard", "--input", f"tokenizer={tokenizer}"
    ).stdout
    assert "shard: run (content of dedup changed)" in given and "tokenizer:" not in given
    latest = Store(copy).resolve("shard")
    assert latest.inputs["tokenizer"].version == tokenizer


@pytest.mark.fleet
def test_two_runs_at_once_make_the_same_bytes_once(
    prefect_env: dict[str, str], recipe: Path, store: Store, tmp_path: Path, artifacts: Listed
) -> None:
    """In another store, with another worker count: one artifact each, with equal digests."""
    command = [sys.executable, "-m", "flows.cli", "run", str(recipe), "--store", str(tmp_path)]
    runs = [
        subprocess.Popen(
            [*command, "--set", "workers=1"],
            cwd=ROOT,
            env=prefect_env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [run.communicate(timeout=240)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert sorted(row["name"] for row in artifacts(tmp_path)) == sorted(STAGES)
    assert sum(text.count("built") for text in said) == len(STAGES)
    assert digests(artifacts(tmp_path)) == digests(artifacts(Path(store.address)))


@pytest.mark.fleet
def test_killed_anywhere_it_goes_on(
    prefect_env: dict[str, str],
    recipe: Path,
    store: Store,
    phusa: Phusa,
    artifacts: Listed,
    tmp_path: Path,
) -> None:
    """A dozen kill -9 at random moments, then one run to the end: the same bytes as unbroken."""
    command = [sys.executable, "-m", "flows.cli", "run", str(recipe), "--store", str(tmp_path)]
    chance = random.Random(20261121)
    kills = 0
    for _ in range(NUM_KILLS):
        run = subprocess.Popen(
            command,
            cwd=ROOT,
            env=prefect_env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(1.5, 4.5))
        kills += run.poll() is None
        os.killpg(run.pid, signal.SIGKILL) if run.poll() is None else None
        run.wait()
        for manifest in Store(tmp_path).manifests():  # whatever is visible is whole
            assert not Store(tmp_path).damage(manifest)
    phusa("run", recipe, "--store", tmp_path)
    assert kills >= NUM_KILLS // 2  # else the moments miss the run on this machine
    assert digests(artifacts(tmp_path)) == digests(artifacts(Path(store.address)))
    assert len(artifacts(tmp_path)) == len(STAGES)


@pytest.mark.fleet
def test_a_nightly_run_cleans_what_changed(phusa: Phusa, cli: Cli, tmp_path: Path) -> None:
    with TinySite() as site:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(recipe_of(site)))
        where = (path, "--store", tmp_path / "store")
        store = Store(tmp_path / "store")
        for stage in ("crawl", "clean"):
            phusa("run", *where, "--only", stage)
        first = store.resolve("clean")
        assert "reused_pages" not in first.stats
        gone, other = "/silt.mod3.html", "/silt.mod5.html"
        site.pages[other] = site.pages[other].replace(b"</p>", b" in truth.</p>", 1)
        site.pages["/"] = site.pages["/"].replace(gone.encode(), other.encode())
        phusa("run", *where, "--only", "crawl", "--force", "crawl")
        said = phusa("run", *where, "--only", "clean").stdout
    copied = store.resolve("clean")
    assert copied.rows_in == first.rows_in - 1
    assert copied.stats["reused_pages"] == copied.rows_in - 2  # the index and the other one
    assert copied.stats["reused_from"] == first.label
    assert f"are as {first.label} found them" in said
    shown = cli("show", "clean", "--store", store.address).out
    assert "reused_pages" in shown and first.label in shown
    phusa("run", *where, "--only", "clean", "--force", "clean")
    scratch = store.resolve("clean")
    assert scratch.version != copied.version and "reused_pages" not in scratch.stats
    assert scratch.files == copied.files  # paths, sizes and sha256, volatile ones too
    assert scratch.digest == copied.digest != first.digest


def test_warc_opens_in_fastwarc_and_warcio(store: Store) -> None:
    crawl = store.resolve("crawl")
    (warc,) = store.files(crawl, "warc/")
    pages = pa.concat_tables(map(pq.read_table, store.files(crawl, "pages/")))
    with warc.open("rb") as stream:
        fast = {
            r.headers["WARC-Target-URI"]
            for r in FastIterator(stream, record_types=WarcRecordType.response)
        }
    with warc.open("rb") as stream:
        slow = {
            r.rec_headers.get_header("WARC-Target-URI")
            for r in ArchiveIterator(stream, check_digests="raise")
            if r.rec_type == "response"
        }
    assert fast == slow == set(pages["url"].to_pylist())


def test_tables_open_in_datasets(store: Store, tmp_path: Path) -> None:
    documents = store.folder(store.resolve("dedup")) / "documents"
    loaded = datasets.load_dataset(
        "parquet", data_files=f"{documents}/*.parquet", split="train", cache_dir=str(tmp_path)
    )
    assert loaded.num_rows == store.resolve("dedup").rows_out and "fold(" in " ".join(
        loaded["text"]
    )
    shard = store.folder(store.resolve("shard"))
    tokens = datasets.load_dataset(
        "parquet",
        data_files={s: f"{shard}/{s}/*.parquet" for s in ("train", "validation")},
        cache_dir=str(tmp_path),
    )
    assert max(tokens["train"][0]["input_ids"]) < 384


def test_tokenizer_opens_in_transformers_with_the_ids_of_the_shards(store: Store) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(store.folder(store.resolve("tokenizer")))
    texts = {
        row["document_id"]: row["text"]
        for path in store.files(store.resolve("dedup"), "documents/")
        for row in pq.read_table(path).to_pylist()
    }
    streams: dict[str, list[int]] = {}
    for path in store.files(store.resolve("shard"), "train/"):
        for row in pq.read_table(path).to_pylist():
            for span in row["spans"]:
                first = max(span["start"], 1)  # position 0 repeats the row before
                ids = row["input_ids"][first : span["end"]]
                streams.setdefault(span["document_id"], []).extend(ids)
    assert streams
    for document_id, ids in streams.items():
        assert tokenizer(texts[document_id], add_special_tokens=False)["input_ids"] == ids


@pytest.mark.filterwarnings("ignore")
def test_models_open_in_transformers_and_peft(store: Store) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = store.folder(store.resolve("pretrain"))
    tuned = store.folder(store.resolve("finetune"))
    ids = torch.randint(0, 384, (2, 48), generator=torch.Generator().manual_seed(0))
    theirs = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, load_model(base)(ids), atol=1e-4, rtol=0)
        generated = theirs.generate(ids[:1, :8], max_new_tokens=5, do_sample=False)
        assert generated.shape[1] > 8
        adapted = PeftModel.from_pretrained(theirs, str(tuned / "adapter"))(ids).logits
        merged = load_model(tuned / "merged")(ids)
    torch.testing.assert_close(adapted, merged, atol=1e-4, rtol=0)


def test_the_run_is_a_readable_graph(
    store: Store, recipe: Path, prefect_env: dict[str, str]
) -> None:
    """The pipeline's page shows one node for each stage, linked as the river flows."""
    api = prefect_env["PREFECT_API_URL"]

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{api}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    dedup = store.manifest("dedup", store.versions("dedup")[0])
    stage_run = ask(f"/flow_runs/{dedup.run.flow_run_id}")
    tasks = ask("/task_runs/filter", {"flow_runs": {"id": {"any_": [stage_run["id"]]}}})
    names = {task["name"] for task in tasks}
    assert {"sign shard 1 of 3", "match documents 1 of 1", "filter shard 3 of 3"} <= names
    parent = ask(f"/task_runs/{stage_run['parent_task_run_id']}")
    graph = ask(f"/flow_runs/{parent['flow_run_id']}/graph-v2")
    nodes = {node["id"]: node for _, node in graph["nodes"]}
    edges = {
        nodes[node["id"]]["label"].split()[0]: {
            nodes[parent["id"]]["label"].split()[0] for parent in node["parents"]
        }
        for node in nodes.values()
    }
    assert edges == {i.name: set(i.upstream) for i in graph_of(load_recipe(recipe))}
    shown = ask("/artifacts/filter", {"artifacts": {"key": {"any_": ["dedup"]}}})
    assert any(dedup.version in artifact["data"] for artifact in shown)
