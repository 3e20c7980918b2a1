"""A page followed through all artifacts, and a model back to its pages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from flows.trace.model import Share, trace_model
from flows.trace.page import GONE, NOT_LOOKED_INTO, Visit, choose_artifacts, show_trace, trace
from storage.errors import RequestError
from storage.identities import document_id
from storage.manifest import Manifest
from storage.parquet import read_table
from storage.records import PAIR, REJECT
from storage.store import Store
from storage.warc import read_body
from tasks.artifacts.adapter import AdapterFinding
from tasks.artifacts.prose import steps
from tasks.artifacts.tokenizer import TokenizerFinding
from tasks.lm.order import Order
from tasks.lm.sequences import Sequences
from tests.conftest import ROOT
from tests.flows.conftest import Phusa
from tests.flows.river import PART, A, B, River, doc, documents, table
from tests.site import TinySite


def _rows(store: Store, name: str, prefix: str) -> list[dict[str, Any]]:
    """Everything of the one artifact of this name, read without any filter."""
    rows: list[dict[str, Any]] = read_table(store.files(store.resolve(name), prefix)).to_pylist()
    return rows


def _visits(store: Store, asked: str) -> dict[str, Any]:
    return {visit.stage: visit for visit in trace(store, asked).visits}


@pytest.fixture
def copied(store: Store, tmp_path: Path) -> Store:
    """A store of its own to break."""
    shutil.copytree(store.address, tmp_path / "store")
    return Store(tmp_path / "store")


@pytest.fixture
def kept(store: Store) -> dict[str, Any]:
    """A document that was trained on, in the base model and in pairs."""
    trained = {s["document_id"] for row in _rows(store, "shard", "train/") for s in row["spans"]}
    paired = {row["document_id"] for row in _rows(store, "finetune", "pairs/steps")}
    return next(
        row for row in _rows(store, "dedup", "documents/") if row["document_id"] in trained & paired
    )


def test_a_kept_page_leads_from_its_bytes_to_the_steps(store: Store, kept: dict[str, Any]) -> None:
    at = {stage: visit.finding for stage, visit in _visits(store, kept["url"]).items()}
    assert list(at) == [
        "crawl",
        "clean",
        "quality",
        "dedup",
        "tokenizer",
        "shard",
        "pretrain",
        "finetune",
    ]

    (page,) = at["crawl"].pages
    warc = store.files(store.resolve("crawl"), "warc/")[0]
    assert (page.url, page.status, page.robots) == (kept["url"], 200, "no robots.txt (404)")
    assert warc.name == page.warc_file
    assert len(read_body(warc, page.warc_offset)) == page.num_bytes

    (document,) = at["clean"].documents
    assert (document.document_id, document.page_id) == (kept["document_id"], page.page_id)
    assert document.num_words == kept["num_words"]
    assert at["tokenizer"].document_ids == (kept["document_id"],)

    (sharded,) = at["shard"].documents
    rows = _rows(store, "shard", "train/")
    ids = [i for s in sharded.spans for i in rows[s.index]["input_ids"][max(s.start, 1) : s.end]]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(store.files(store.resolve("tokenizer"), "tokenizer.j")[0]))
    assert tokenizer.decode(ids) == kept["text"] and len(ids) == sharded.tokens

    (learnt,) = at["pretrain"].learnt
    assert learnt.steps == _steps_by_feeding(store, {span.index for span in sharded.spans})

    pairs = at["finetune"].pairs
    expected = {
        (row["name"], side)
        for side in ("train", "validation")
        for row in _rows(store, "finetune", f"pairs/{side}")
        if row["document_id"] == kept["document_id"]
    }
    assert {(pair.name, pair.split) for pair in pairs} == expected
    taken = {
        (row["name"], row["step"])
        for row in _rows(store, "finetune", "pairs/steps")
        if row["document_id"] == kept["document_id"]
    }
    assert {(pair.name, step) for pair in pairs for step in pair.steps} == taken and taken
    assert at["finetune"].base == at["pretrain"]


def _steps_by_feeding(store: Store, rows: set[int]) -> tuple[int, ...]:
    """The steps, from 1, whose batch holds one of `rows`, by feeding all batches again."""
    manifest, sharded = store.resolve("pretrain"), store.resolve("shard")
    config: dict[str, Any] = manifest.config
    length = sharded.config["sequence_length"]
    assert isinstance(length, int)
    sequences = Sequences(store.files(sharded, "train/"), length)
    wanted = sequences[0 : len(sequences)][0][sorted(rows)]
    losses = _rows(store, "pretrain", "training.parquet")
    found = []
    for step in (int(row["step"]) for row in losses):
        batch, _ = sequences.batch(config["seed"], step - 1, config["batch_sequences"])
        if (batch[:, None] == wanted).all(2).any():
            found.append(step)
    return tuple(found)


def test_a_held_out_page_is_never_learnt_from(store: Store) -> None:
    spans = [s for row in _rows(store, "shard", "validation/") for s in row["spans"]]
    held_out = spans[0]["document_id"]
    at = _visits(store, held_out)
    assert at["shard"].finding.documents[0].split == "validation"
    assert at["pretrain"].finding.learnt == ()
    assert at["pretrain"].finding.held_out == (held_out,)


def test_a_page_that_was_dropped_by_a_rule(store: Store, tiny_site: TinySite) -> None:
    at = _visits(store, f"{tiny_site.url}silt.short.html")
    assert at["crawl"].finding.pages and not at["clean"].finding.documents
    (reject,) = at["clean"].finding.rejected
    assert (reject.reason, reject.value, reject.threshold) == ("too_few_words", "2", ">= 20")
    assert reject.id == document_id(reject.url, "Nothing here.")
    assert not any(at[stage].finding for stage in ("dedup", "shard", "pretrain", "finetune"))
    by_id = _visits(store, reject.id)
    assert by_id["clean"].finding.rejected == (reject,) and by_id["crawl"].finding.pages


def test_both_sides_of_a_duplicate(store: Store) -> None:
    for row in _rows(store, "dedup", "duplicates"):
        dropped = _visits(store, row["url"])["dedup"].finding
        assert dropped.kept == () and dropped.threshold == 0.8 and dropped.keep
        (duplicate,) = dropped.dropped
        assert {name: getattr(duplicate, name) for name in row} == row
        kept = _visits(store, row["kept_url"])["dedup"].finding
        assert kept.dropped == () and duplicate in kept.kept[0].dropped
        assert kept.kept[0].document_id == row["kept_id"]


def test_a_url_that_was_never_a_page(store: Store, tiny_site: TinySite) -> None:
    for path, reason in (("missing.html", "http_404"), ("notes.txt", "not_html")):
        at = _visits(store, tiny_site.url + path)
        assert [reject.reason for reject in at["crawl"].finding.rejected] == [reason]
        assert not any(visit.finding for stage, visit in at.items() if stage != "crawl")


def test_redirects_are_followed(copied: Store, kept: dict[str, Any], tiny_site: TinySite) -> None:
    way = [f"{tiny_site.url}old", f"{tiny_site.url}older", kept["url"]]
    hops = [
        {"id": at, "url": at, "stage": "crawl", "reason": "redirected", "value": to}
        | {"threshold": "200"}
        for at, to in ((way[1], "/old"), (way[0], way[2]), (f"{tiny_site.url}loop", "loop"))
    ]
    (path,) = copied.files(copied.resolve("crawl"), "rejects")
    pq.write_table(pa.Table.from_pylist(hops, schema=REJECT), path)
    found = trace(copied, way[1])
    assert found.urls == tuple(sorted(way))
    at = {visit.stage: visit.finding for visit in found.visits}
    assert at["crawl"].pages[0].url == kept["url"]  # type: ignore[union-attr]
    assert at["pretrain"]
    assert trace(copied, f"{tiny_site.url}loop").document_ids == ()


def test_every_spelling_of_a_url(store: Store, kept: dict[str, Any]) -> None:
    parts = urlsplit(kept["url"])
    for asked in (
        f"{parts.netloc}{parts.path}",
        f"HTTP://{parts.netloc}/x/..{parts.path}#part",
        f" {kept['url']}?utm_source=x ",
        kept["document_id"].upper(),
    ):
        found = trace(store, asked)
        assert found.urls == (kept["url"],), asked
        assert found.document_ids == (kept["document_id"],)
        assert all(visit.finding for visit in found.visits)


def test_what_no_artifact_knows_is_refused(store: Store, kept: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=f"Did you mean {kept['url']}, ") as refused:
        trace(store, kept["url"].replace("silt", "slit"))
    assert "--all" in str(refused.value)
    with pytest.raises(RequestError, match=f"nothing about '{'0' * 32}'"):
        trace(store, "0" * 32)
    with pytest.raises(RequestError, match="expected a URL, or a document id"):
        trace(store, "mailto:someone")


@pytest.mark.parametrize("asked_by", ["url", "document_id"])
def test_data_that_is_gone_is_said_to_be(
    copied: Store, kept: dict[str, Any], asked_by: str
) -> None:
    intact = _visits(copied, kept["url"])
    shard = copied.resolve("shard").label
    for name in ("clean", "shard", "crawl"):
        for path in copied.files(copied.resolve(name), ""):
            path.unlink()
    at = _visits(copied, kept[asked_by])
    assert {stage for stage, visit in at.items() if visit.problem == GONE} == {
        "crawl", "clean", "shard",
    }  # fmt: skip
    assert at["dedup"].finding == intact["dedup"].finding  # which leads on without the others
    assert at["pretrain"].problem == f"{shard}: {GONE}"
    tuned: AdapterFinding = at["finetune"].finding
    assert tuned.pairs == intact["finetune"].finding.pairs
    assert tuned.base is None and tuned.base_problem and GONE in tuned.base_problem


def test_damaged_data_is_said_to_be(copied: Store, kept: dict[str, Any], phusa: Phusa) -> None:
    for path in copied.files(copied.resolve("dedup"), "duplicates"):
        path.write_bytes(b"PAR1 torn")
    at = _visits(copied, kept["url"])
    assert at["dedup"].problem.startswith("data cannot be read: ") and at["shard"].finding
    said = phusa("trace", kept["url"], "--store", copied.address).stdout
    assert "data cannot be read" in said and "learnt from it" in said


def _add_version(store: Store, manifest: Manifest, version: str, recipe: str) -> Manifest:
    """Another version of the same content."""
    folder = store.folder(manifest).parent
    there = folder.parent / version
    shutil.copytree(folder, there)
    run = manifest.run.model_copy(update={"recipe": recipe})
    other = manifest.model_copy(update={"version": version, "run": run})
    (there / "manifest.json").write_bytes(other.to_json())
    return other


def test_the_newest_of_each_recipe_and_what_they_were_made_from(copied: Store) -> None:
    def labels(*, everything: bool = False) -> list[str]:
        return [m.label for m in choose_artifacts(copied, everything=everything)]

    before = labels()
    crawl, pretrain = copied.resolve("crawl"), copied.resolve("pretrain")
    newer = _add_version(copied, crawl, "20991231-000000-000-0000", "tiny").label
    older = _add_version(copied, pretrain, "20200101-000000-000-0000", "tiny").label
    other = _add_version(copied, pretrain, "20200202-000000-000-0000", "other").label
    assert labels() == [crawl.label, newer, *before[1:6], other, *before[6:]]
    assert set(labels(everything=True)) == {*labels(), older}


def test_an_artifact_of_before_steps_were_recorded(copied: Store, kept: dict[str, Any]) -> None:
    manifest = copied.resolve("finetune")
    files = tuple(entry for entry in manifest.files if entry.path != "pairs/steps.parquet")
    old = manifest.model_copy(update={"files": files})
    (copied.folder(manifest).parent / "manifest.json").write_bytes(old.to_json())
    found: AdapterFinding = _visits(copied, kept["url"])["finetune"].finding
    assert found.pairs and not found.steps_recorded
    assert not any(pair.steps for pair in found.pairs)


def _fed_tokens(store: Store) -> Counter[str]:
    """Targets of each document over all steps, by adding up one row after the other."""
    manifest, sharded = store.resolve("pretrain"), store.resolve("shard")
    config: dict[str, Any] = manifest.config
    rows = _rows(store, "shard", "train/")
    size, length = config["batch_sequences"], int(str(sharded.config["sequence_length"]))
    read = config["tokens"] // (size * length) * size
    counts: Counter[str] = Counter()
    for position in range(read):
        (row,) = Order(config["seed"], 1, len(rows)).rows(position)
        for span in rows[row]["spans"]:
            counts[span["document_id"]] += span["end"] - max(span["start"], 1)
    return counts


def test_the_shares_of_a_model_are_those_of_what_it_read(store: Store) -> None:
    documents = {row["document_id"]: row for row in _rows(store, "dedup", "documents/")}
    pairs = Counter(row["document_id"] for row in _rows(store, "finetune", "pairs/steps"))
    base, tuned = trace_model(store, "pretrain"), trace_model(store, "finetune")
    (read,) = base.seen
    own, of_base = tuned.seen
    assert of_base == read and tuned.artifact == own.artifact
    for seen, unit, counts in ((read, "tokens", +_fed_tokens(store)), (own, "pairs", pairs)):
        assert (seen.unit, seen.amount, seen.documents) == (unit, sum(counts.values()), len(counts))
        names = {
            "domains": {i: urlsplit(row["url"]).netloc for i, row in documents.items()},
            "languages": {i: row["language"] for i, row in documents.items()},
        }
        for kind, name_of in names.items():
            shares: tuple[Share, ...] = getattr(seen, kind)
            expected: Counter[str] = Counter()
            for identity, count in counts.items():
                expected[name_of[identity]] += count
            assert {share.name: share.amount for share in shares} == expected
            assert sum(share.share for share in shares) == pytest.approx(1)
            assert sum(share.documents for share in shares) == len(counts)
            assert all(s.share == pytest.approx(s.amount / seen.amount) for s in shares)
            assert [s.amount for s in shares] == sorted((s.amount for s in shares), reverse=True)


def test_a_model_whose_data_is_gone(copied: Store) -> None:
    for path in copied.files(copied.resolve("shard"), "train/"):
        path.unlink()
    own, base = trace_model(copied, "finetune").seen
    assert own.amount and not own.problem
    assert base.problem == GONE and base.domains == ()


def test_the_command(phusa: Phusa, store: Store, kept: dict[str, Any]) -> None:
    place = ("--store", store.address)
    said = phusa("trace", kept["url"], *place).stdout
    labels = [visit["artifact"] for visit in _json(phusa, store, kept["url"])["visits"]]
    assert said.startswith(kept["url"])
    assert [line.split()[0] for line in said.splitlines() if "@2" in line[:20]] == labels
    for words in ("status 200", "kept as document", "trained on it", "input_ids[", "learnt from"):
        assert words in said
    spans = _visits(store, kept["url"])["shard"].finding.documents[0].spans
    rows = f"rows {spans[0].row} to {spans[-1].row} of {spans[0].file}"
    assert rows in said and f"(+{len(spans) - 3} more)" in said
    visits = {v["stage"]: v["finding"] for v in _json(phusa, store, kept["document_id"])["visits"]}
    assert visits["crawl"]["pages"][0]["fetched_at"].startswith("20")
    assert visits["pretrain"]["learnt"][0]["document_id"] == kept["document_id"]

    for model in ("pretrain", f"finetune@{store.versions('finetune')[0]}"):
        answered = json.loads(phusa("trace", "--model", model, "--json", *place).stdout)
        assert answered["artifact"].startswith(model)
        people = phusa("trace", "--model", model, *place).stdout
        assert "100.0%" in people and "domain" in people and "language" in people
    assert "Example: phusa trace" in " ".join(phusa("trace", "--help").stdout.split())


def _json(phusa: Phusa, store: Store, asked: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        phusa("trace", asked, "--json", "--store", store.address).stdout
    )
    return found


def test_wrong_requests(phusa: Phusa, store: Store) -> None:
    wrong: dict[str, tuple[str, ...]] = {
        "found neither": (),
        "found both": ("http://localhost/", "--model", "pretrain"),
        "expected a model or an adapter": ("--model", "dedup"),
        "no artifact pretrain@7": ("--model", "pretrain@7"),
        "nothing about": ("http://127.0.0.1:9/none",),
    }
    for said, words in wrong.items():
        done = phusa("trace", *words, "--store", store.address, code=2)
        assert said in " ".join(done.stderr.split()), done.stderr
        assert "the request was refused" in done.stderr and not done.stdout


def test_it_answers_soon(store: Store, kept: dict[str, Any]) -> None:
    """0.5 s on two quiet cores; each of these libraries would add to it what it costs to import."""
    code = (
        "import sys\n"
        f"sys.argv = ['phusa', 'trace', {kept['url']!r}, '--store', {store.address!r}]\n"
        "from flows.cli import app\n"
        "app(standalone_mode=False)\n"
        "slow = {'torch', 'prefect', 'pandas', 'scipy', 'pyarrow.dataset'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 10


def test_people_see_a_few_steps_and_programs_all() -> None:
    assert steps((7,)) == "step 7"
    assert steps((3, 17, 1804)) == "steps 3, 17, 1,804"
    assert steps(tuple(range(1, 16))) == "steps 1, 2, 3 (+12 more)"


# --- what other recipes and other versions of phusa make ----------------------------------------


@pytest.fixture
def river(tmp_path: Path) -> River:
    return River(tmp_path / "river")


def _by_label(store: Store, asked: str) -> dict[str, Visit]:
    return {visit.artifact: visit for visit in trace(store, asked).visits}


def test_what_is_not_known_is_listed_and_breaks_nothing(river: River) -> None:
    whole = river.whole()
    rated = river.put("rated", {"x.bin": b"x"}, whole["clean"], stage="rate", type="ratings")
    after = river.put("plot", {"x.bin": b"y"}, rated, stage="plot")
    alone = river.put("other", {"x.bin": b"z"}, stage="rate", type="ratings")
    model = river.put("small", {"w.bin": b"w"}, whole["shard"], stage="distil", type="model")
    at = _by_label(river.store, A)
    for unknown in (rated, after):
        assert (at[unknown.label].finding, at[unknown.label].problem) == (None, NOT_LOOKED_INTO)
    assert (at[rated.label].stage, at[rated.label].type) == ("rate", "ratings")
    assert (at[alone.label].finding, at[alone.label].problem) == (None, None)
    assert "not known: no seed, batch_sequences" in str(at[model.label].problem)
    assert at[whole["pretrain"].label].finding
    said = Console(width=200, record=True, file=StringIO())
    show_trace(said, trace(river.store, A))
    text = said.export_text()
    assert f"{rated.label} (recipe tiny)\n  {NOT_LOOKED_INTO}" in text
    (seen,) = trace_model(river.store, "small").seen
    assert seen.problem and not seen.domains


def test_documents_of_an_unknown_stage_lead_on(river: River) -> None:
    clean = river.clean(river.crawl(A, B), A, B)
    files = {f"documents/{PART}": documents(A)}
    noted = river.put("noted", files, clean, stage="translate", type="documents")
    tokenizer = river.put("tokenizer", {"tokenizer.json": b"{}"}, noted)
    labels = [visit.artifact for visit in trace(river.store, A).visits]
    assert labels.index(noted.label) < labels.index(tokenizer.label)
    at = _by_label(river.store, A)
    assert at[tokenizer.label].finding == TokenizerFinding((doc(A),))
    assert not _by_label(river.store, B)[tokenizer.label].finding


def test_tables_with_other_columns_break_nothing(river: River) -> None:
    clean = river.clean(river.crawl(A), A)
    other = pa.table({"id": [doc(A)], "address": [A], "spans": ["x"]})
    for kind, path in (("documents", "documents"), ("sequences", "train"), ("scores", "scores")):
        files = {f"{path}/{PART}": other}
        river.put(kind, files, clean, stage="translate", type=kind)
    at = {visit.type: visit for visit in trace(river.store, A).visits if visit.stage == "translate"}
    assert set(at) == {"documents", "sequences", "scores"}
    assert all(str(visit.problem).startswith("data cannot be read") for visit in at.values())


def test_instances_of_one_stage_are_each_told(river: River) -> None:
    whole = river.whole()
    pairs = {"pairs/train.parquet": table(PAIR, {"name": "b", "document_id": doc(B)})}
    second = river.put("dora", pairs, whole["finetune"], whole["dedup"], stage="finetune")
    at = _by_label(river.store, A)
    found = at[second.label].finding
    assert isinstance(found, AdapterFinding)
    assert found.base_artifact == whole["finetune"].label  # an adapter serves as a model
    assert found.base == at[whole["finetune"].label].finding and not found.pairs
    assert [line for line in found.lines() if "learnt from it at" in line]
    seen = trace_model(river.store, "dora").seen
    assert [(one.artifact.partition("@")[0], one.unit, one.amount) for one in seen] == [
        ("dora", "pairs", 1), ("finetune", "pairs", 1), ("pretrain", "tokens", 16)
    ]  # fmt: skip
