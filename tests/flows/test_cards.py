"""Cards: what the Hub reads in them, what people do, and what must not be in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard

from flows.export.cards import card, listed, size_category
from flows.export.provenance import provenance, public
from flows.stages import STAGES, type_of
from flows.takedown.record import forget
from storage.manifest import CheckResult, Manifest
from storage.parquet import find_rows
from storage.records import DOCUMENT, REJECT
from storage.store import Store
from tasks.artifacts.sequences import documents_in
from tests.flows.sealed import HOST, seal


@pytest.fixture(scope="module")
def cards(store: Store) -> dict[str, str]:
    """The card of each stage's artifact in the session's store."""
    return {name: card(store, store.resolve(name), f"my-{name}") for name in STAGES}


def front(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


# --- cards of a real run ----------------------------------------------------------------------


def test_model_cards_are_what_the_hub_reads(cards: dict[str, str], store: Store) -> None:
    for name, stat in (
        ("pretrain", "validation_bits_per_byte"),
        ("finetune", "held_out_bits_per_byte"),
    ):
        data = ModelCard(cards[name]).data
        assert (data.library_name, data.pipeline_tag) == ("transformers", "text-generation")
        assert data.language == ["en"] and "phusa" in data.tags
        (result,) = data.eval_results or []
        assert result.metric_type == "bits_per_byte"
        assert result.metric_value == store.resolve(name).stats[stat]
        assert data.license is None and data.base_model is None
    assert "tokenizer(prompt, return_tensors" in cards["pretrain"]
    assert ModelCard(cards["tokenizer"]).data.eval_results is None


def test_the_example_speaks_the_models_language(cards: dict[str, str], store: Store) -> None:
    """A base goes on with words of a document that was held out, a tuned one is asked a question
    that was; `prompt` is what the lines that load the model say to it."""
    texts = store.files(store.resolve("dedup"), "documents/")
    held_out = documents_in(store.files(store.resolve("shard"), "validation/"))
    found = find_rows(texts, "document_id", held_out, ("text",))
    firsts = {json.dumps(" ".join(row["text"].split()[:4])[:40]) for row in found}
    assert re.findall(r"^prompt = (.*)$", cards["pretrain"], re.M)[0] in firsts
    (pairs,) = store.files(store.resolve("finetune"), "pairs/validation.parquet")
    asked = pq.read_table(pairs)["prompt"].to_pylist()
    assert f"prompt = {json.dumps(asked[0])}" in cards["finetune"]
    assert "prompt =" not in cards["tokenizer"]


def test_an_example_in_vietnamese_and_none_of_what_was_taken_down(tmp_path: Path) -> None:
    rows = [
        document(1, language="en", text="One in a minority language"),
        document(2, language="vi", text="`Taken` down", url="https://gone.example.org/"),
        document(3, language="vi", text="Hạt gạo `làng` ta có vị phù sa"),
    ]
    clean = seal(tmp_path, "clean", "20261121-02", documents(*rows))
    span = pa.struct([("document_id", pa.string()), ("start", pa.int32()), ("end", pa.int32())])
    spans = [[{"document_id": str(n), "start": 0, "end": 1}] for n in (1, 2, 3)]
    files: dict[str, pa.Table | bytes] = {
        "validation/a.parquet": pa.table({"spans": pa.array(spans, pa.list_(span))})
    }
    shard = seal(tmp_path, "shard", "20261121-03", files, inputs=(clean,))
    base = seal(tmp_path, "pretrain", "20261121-04", {"config.json": b"{}"}, inputs=(shard,))
    store = Store(tmp_path)
    assert 'prompt = "Taken down"' in card(store, base, "out")
    forget(store, "https://gone.example.org/", "asked")
    assert 'prompt = "Hạt gạo làng ta"' in card(store, base, "out")


def test_dataset_cards_are_what_the_hub_reads(cards: dict[str, str]) -> None:
    for name in ("crawl", "clean", "dedup", "shard"):
        data = DatasetCard(cards[name]).data
        assert data.size_categories == ["n<1K"] and data.license is None
        assert data.task_categories == ["text-generation"]
        configs = front(cards[name])["configs"]
        assert [c["config_name"] for c in configs if c.get("default")] == [
            configs[0]["config_name"]
        ]
    assert front(cards["clean"])["configs"][0] == {
        "config_name": "documents",
        "data_files": [{"split": "train", "path": "documents/*.parquet"}],
        "default": True,
    }
    assert front(cards["clean"])["language"] == ["en"] and "language" not in front(cards["crawl"])


def test_the_lineage_is_told_in_order(cards: dict[str, str], store: Store) -> None:
    told = _rows(cards["finetune"], "How it was made")
    made = [store.resolve(name) for name in STAGES]
    assert [row[0] for row in told] == [f"`{manifest.label}`" for manifest in made]
    for row, manifest in zip(told, made, strict=True):
        stage = STAGES[manifest.stage]
        assert row[1:5] == [
            f"`{manifest.digest[:12]}`",
            stage.says,
            f"{manifest.rows_in:,} {stage.unit_in}",
            type_of(manifest).amount(manifest),
        ]
        dropped = [f"{count:,} `{reason}`" for reason, count in stage.dropped(manifest).items()]
        assert row[5] == ", ".join(dropped)
    assert "1 `http_404`" in told[0][5] and told[1][5] == "1 `no_text`, 1 `too_few_words`"


def _rows(text: str, section: str) -> list[list[str]]:
    """Give the cells of the first table of a section."""
    body = text.partition(f"## {section}")[2].partition("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_scores_stand_beside_the_simple_models(cards: dict[str, str], store: Store) -> None:
    shard, base = store.resolve("shard").stats, store.resolve("pretrain").stats
    tuned = store.resolve("finetune").stats

    def score(value: Any) -> str:
        return f"{value:.4g} |"

    text = cards["pretrain"]
    assert "| unigram tokens | " + score(shard["unigram_bits_per_byte"]) in text
    assert "| xz -9 | " + score(shard["xz_bits_per_byte"]) in text
    assert "documents | this model | " + score(base["validation_bits_per_byte"]) in text
    text = cards["finetune"]
    assert "documents | its base model | " + score(base["validation_bits_per_byte"]) in text
    assert "names | its base model | " + score(tuned["held_out_bits_per_byte_before"]) in text
    assert "names | this model | " + score(tuned["held_out_bits_per_byte"]) in text
    assert "bits per byte |" not in cards["clean"]


def test_the_whole_configuration_is_in_it(cards: dict[str, str], store: Store) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", cards["shard"], re.S)
    found = yaml.safe_load(block)
    assert len(found) == 6
    for label, stage in found.items():
        manifest = store.resolve(label)
        assert stage["config"] == manifest.config and stage["digest"] == manifest.digest
        assert stage["source_sha256"] == manifest.code.source_sha256


def test_columns_are_described(cards: dict[str, str]) -> None:
    for name, schema in (("dedup", DOCUMENT), ("clean", REJECT)):
        for field in schema:
            says = field.metadata[b"description"].decode().replace("|", "\\|")
            assert f"| `{field.name}` | `{field.type}` | {says} |" in cards[name]


def test_every_card_says_where_it_came_from_and_what_is_not_known(
    cards: dict[str, str], store: Store, home: Path
) -> None:
    for name, text in cards.items():
        manifest = store.resolve(name)
        assert manifest.label in text and f"{manifest.created:%d %B %Y}" in text
        assert "phusa does not know them" in text and "license" not in front(text)
        assert "http://127.0.0.1" in text  # the seeds
        assert manifest.run.host not in text and str(home) not in text
        assert f"phusa show {manifest.label}" in text
        assert text.endswith("</details>\n") and "\n\n\n" not in text and "None" not in text
        assert text.count("```") % 2 == 0


# --- cards of artifacts that are out of the ordinary ------------------------------------------


def document(number: int, **says: Any) -> dict[str, Any]:
    plain = dict.fromkeys(DOCUMENT.names, "x") | {"url": f"https://docs.example.org/{number}"}
    numbers = {
        "language_score": 1.0,
        "num_words": 1,
        "repeated_share": 0.0,
        "pii": [],
        "quality": 0.5,
    }
    return {**plain, **numbers, "document_id": str(number), "language": "en", **says}


def documents(*rows: dict[str, Any]) -> dict[str, pa.Table | bytes]:
    table = pa.Table.from_pylist(list(rows), DOCUMENT)
    return {"documents/part-00000-of-00001.parquet": table}


def secretive(root: Path, **says: Any) -> Manifest:
    source = {
        "kind": "web",
        "seeds": ["https://me:hunter2@docs.example.org/start?api_key=abc123&page=2"],
        "max_depth": 3,
        "max_pages": 100,
        "exclude": ["/private/.*"],
        "cookie_path": "/srv/people/me/cookies.txt",
    }
    crawl = seal(root, "crawl", "20261121-01", {"rejects.parquet": b""}, config={"source": source})
    rows = [document(i, language="no" if i < 40 else "en") for i in range(150)]
    rows += [document(200, language="la", url="https://other.example.org:8080/x")]
    facts = {"config": {"languages": ["no", "en", "vi"]}, **says}
    return seal(root, "clean", "20261121-02", documents(*rows), inputs=(crawl,), **facts)


def test_nothing_private_is_in_it(tmp_path: Path) -> None:
    text = card(Store(tmp_path), secretive(tmp_path), "out")
    for secret in (HOST, "hunter2", "me:h", "me@d", "abc123", "/srv/people", str(tmp_path)):
        assert secret not in text, secret
    assert "https://docs.example.org/start?api_key=…&page=2" in text
    assert "- /private/.*" in text and "cookie_path: cookies.txt" in text


def test_what_is_public_of_a_configuration() -> None:
    before = {"path": "/a/b/", "folders": ["c:\\x\\y"], "pattern": "/a/.*", "n": 3, "on": True}
    after = {"path": "b", "folders": ["y"], "pattern": "/a/.*", "n": 3, "on": True}
    assert public(before) == after
    assert public({"path": "s3://bucket/a"}) == {"path": "s3://bucket/a"}
    assert public("https://x/?a=1&Access_Token=zzz#top") == "https://x/?a=1&Access_Token=…#top"


def test_languages_and_hosts_are_counted(tmp_path: Path) -> None:
    manifest = secretive(tmp_path)
    text = card(Store(tmp_path), manifest, "out")
    assert front(text)["language"] == ["en", "no"]  # one document of 151 in Latin is not listed
    for row in ("`en` | 110", "`no` | 40", "`la` | 1", "`docs.example.org` | 150"):
        assert f"| {row} |" in text
    assert "| `other.example.org` | 1 |" in text


def test_a_remote_corpus_is_not_fetched_for_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"config.json": b"{}"}
    base = seal(tmp_path, "pretrain", "20261121-03", dict(model), inputs=(secretive(tmp_path),))
    store = Store(tmp_path)
    assert provenance(store, base).languages == {"en": 110, "no": 40, "la": 1}
    store.address = "s3://bucket/prefix"
    asked: list[str] = []
    monkeypatch.setattr(store, "files", lambda manifest, prefix: asked.append(prefix) or [])
    found = provenance(store, base)
    assert not asked and not found.hosts
    assert front(card(store, base, "out"))["language"] == ["en", "no", "vi"]  # as configured


def test_a_lineage_with_holes(tmp_path: Path) -> None:
    clean = secretive(tmp_path)
    dedup = seal(tmp_path, "dedup", "20261121-03", documents(document(1)), inputs=(clean,))
    (tmp_path / "versions" / "clean" / clean.version / "manifest.json").unlink()
    text = card(Store(tmp_path), dedup, "out")
    assert f"| `{clean.label}` | no longer in the store |" in text
    base = seal(tmp_path, "pretrain", "20261121-04", {"config.json": b"{}"}, inputs=(dedup,))
    (file,) = (tmp_path / "versions" / "dedup").rglob("*.parquet")
    file.unlink()  # collected: the manifest stays
    text = card(Store(tmp_path), base, "out")
    assert dedup.label in text and "language" not in front(text)


def test_checks_and_takedowns_are_said(tmp_path: Path) -> None:
    check = CheckResult(
        measure="share|kept",
        value=0.25,
        last=None,
        bounds={},
        severity="warn",
        passed=False,
        says="",
    )
    manifest = secretive(tmp_path, checks=(check,), forgotten=("one", "two"))
    text = card(Store(tmp_path), manifest, "out")
    assert "| share\\|kept | 0.25 | no |" in text
    assert _rows(text, "How it was made")[-1][5].endswith("2 takedowns")


def test_a_card_of_another_version_keeps_to_what_it_knows(tmp_path: Path) -> None:
    manifest = seal(tmp_path, "dedup", "20261121-01", documents(document(1)), config={"new": 1})
    assert "new: 1" in card(Store(tmp_path), manifest, "out")


def test_a_card_of_a_stage_that_is_not_known_here(tmp_path: Path) -> None:
    clean = secretive(tmp_path)
    files = {"pairs/part-0.parquet": pa.table({"question": ["why"]}), "report.json": b"{}"}
    says = {"stage": "match", "type": "matches", "config": {"n": 1}}
    manifest = seal(tmp_path, "mine", "20261121-05", files, inputs=(clean,), **says)
    text = card(Store(tmp_path), manifest, "out")
    data = DatasetCard(text).data
    assert data.language == ["en", "no"] and data.task_categories is None
    assert [config["config_name"] for config in data.to_dict()["configs"]] == ["pairs"]
    assert "| `question` | `string` |" in text and "Matches: 1 rows" in text
    row = _rows(text, "How it was made")[-1]
    assert (row[0], row[2:5]) == ("`mine@20261121-05`", ["`match`", "0 rows", "1 rows"])


def test_small_words() -> None:
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
    bounds = [0, 999, 1000, 99_999, 100_000, 10**6, 10**9 - 1, 10**9]
    assert [size_category(rows) for rows in bounds] == [
        "n<1K",
        "n<1K",
        "1K<n<10K",
        "10K<n<100K",
        "100K<n<1M",
        "1M<n<10M",
        "100M<n<1B",
        "n>1B",
    ]
