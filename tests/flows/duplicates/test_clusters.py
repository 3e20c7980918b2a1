"""`phusa dedup`: clusters as a person and a program see them, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.manifest import Manifest
from storage.records import DOCUMENT, DUPLICATE, ORIGIN, SCORE
from storage.store import Store
from tests.flows.conftest import Cli
from tests.flows.sealed import seal

Row = dict[str, Any]
TEXT = "the river carries silt down to the delta where rice grows every year"
KEPT = "aaaa" + "0" * 28
NIGHT = "20261120-010101-000-aaaa"


def document(document_id: str, url: str, text: str) -> Row:
    facts = {"title": "", "extractor": "x", "language": "en", "language_score": 0.9, "pii": []}
    facts |= {"date": "", "author": "", "licence": "", "canonical": ""}
    counts = {"num_words": len(text.split()), "repeated_share": 0.0, "quality": -1.0}
    return {"document_id": document_id, "url": url, "text": text, **facts, **counts}


def duplicate(of: Row, kept: Row, similarity: float, method: str, kept_in: str = "") -> Row:
    ids = {"document_id": of["document_id"], "kept_id": kept["document_id"]}
    urls = {"url": of["url"], "kept_url": kept["url"]}
    return {**ids, **urls, "kept_in": kept_in, "similarity": similarity, "method": method}


A = document(KEPT, "http://a.example/river", f"{TEXT} anew")
NEAR = document("bbbb" + "0" * 28, "http://b.example/near", TEXT.replace("silt", "\x1b[31mmud"))
SAME = document("bbbc" + "0" * 28, "http://c.example/same", f"{TEXT}  anew")
OTHER = document("aaab" + "0" * 28, "http://a.example/other", "something else")
COPY = document("cccc" + "0" * 28, "http://d.example/copy", "something else")
ALONE = document("dddd" + "0" * 28, "http://a.example/alone", "nothing like it")
EARLIER = document("eeee" + "0" * 28, "http://a.example/old", f"{TEXT} in March")
LATE = document("ffff" + "0" * 28, "http://a.example/late", f"{TEXT} in May")

DROPS = [
    duplicate(SAME, A, 1.0, "exact"),
    duplicate(NEAR, A, 0.81, "minhash"),
    duplicate(COPY, OTHER, 1.0, "exact"),
    duplicate(LATE, EARLIER, 0.9, "minhash", f"dedup@{NIGHT}"),
]


def put(root: Path) -> Manifest:
    """An earlier deduplication, then a cleaning and its deduplication against that one."""
    documents = "documents/part-00000-of-00001.parquet"

    def table(*rows: Row) -> pa.Table:
        return pa.Table.from_pylist(list(rows), schema=DOCUMENT)

    config: dict[str, Any] = {"threshold": 0.8, "keep": ["longest", "shortest_url"]}

    def cleaning(version: str, *cleaned: Row) -> Manifest:
        origins = [{"document_id": d["document_id"], "page_id": d["url"]} for d in cleaned]
        files: dict[str, pa.Table | bytes] = {
            documents: table(*cleaned),
            "origins/part-00000-of-00001.parquet": pa.Table.from_pylist(origins, schema=ORIGIN),
        }
        return seal(root, "clean", version, files)

    files: dict[str, pa.Table | bytes] = {
        documents: table(EARLIER),
        "duplicates.parquet": pa.Table.from_pylist([], schema=DUPLICATE),
    }
    seal(root, "dedup", NIGHT, files, inputs=(cleaning(NIGHT, EARLIER),), config=config)
    clean = cleaning("20261121-010101-000-bbbb", A, NEAR, SAME, OTHER, COPY, ALONE, LATE)
    files = {
        documents: table(A, OTHER, ALONE),
        "duplicates.parquet": pa.Table.from_pylist(DROPS, schema=DUPLICATE),
    }
    version = "20261121-020202-000-cccc"
    return seal(root, "dedup", version, files, inputs=(clean,), config=config)


@pytest.fixture
def made(tmp_path: Path) -> Manifest:
    return put(tmp_path)


def show(cli: Cli, root: Path, *words: str, code: int = 0) -> Any:
    said = cli("dedup", "show", *words, "--store", root, *(["--json"] if code == 0 else []))
    assert said.code == code, said
    return json.loads(said.out) if code == 0 else said.err


@pytest.mark.parametrize("words", [("dedup",), ("dedup", "top")])
def test_the_biggest_clusters(cli: Cli, tmp_path: Path, made: Manifest, words: Any) -> None:
    said = cli(*words, "--count", "2", "--store", tmp_path)
    assert said.code == 0 and made.label in said.out
    lines = said.out.splitlines()[2:4]
    assert lines[0].split() == ["aaaa00000000", "3", "81.0%", A["url"]]
    assert lines[1].split() == ["aaab00000000", "2", "100.0%", OTHER["url"]]
    told = json.loads(cli(*words, "--store", tmp_path, "--json").out)
    assert [(one["kept_id"], one["num_dropped"]) for one in told] == [
        (KEPT, 2),
        (OTHER["document_id"], 1),
        (EARLIER["document_id"], 1),
    ]
    assert told[2]["kept_in"] == f"dedup@{NIGHT}"


def test_nothing_was_dropped(cli: Cli, tmp_path: Path, made: Manifest) -> None:
    said = cli("dedup", "top", "--of", f"dedup@{NIGHT}", "--store", tmp_path)
    assert said.code == 0 and "dropped no duplicate" in said.out


@pytest.mark.parametrize(
    "asked",
    [KEPT, "aaaa", "bbbb", A["url"], NEAR["url"], "c.example/same", "HTTP://A.example/river"],
)
def test_a_cluster_has_many_names(cli: Cli, tmp_path: Path, made: Manifest, asked: str) -> None:
    assert show(cli, tmp_path, asked)["kept_id"] == KEPT


def test_a_program_gets_why_and_what_differs(cli: Cli, tmp_path: Path, made: Manifest) -> None:
    told = show(cli, tmp_path, "aaaa")
    assert (told["artifact"], told["threshold"], told["num_dropped"]) == (made.label, 0.8, 2)
    assert told["keep"] == ["longest", "shortest_url"] and told["problems"] == []
    near, same = told["members"]  # the least alike first
    assert (near["url"], near["similarity"], near["method"]) == (NEAR["url"], 0.81, "minhash")
    assert near["decision"] == {"rule": "longest", "kept": 14, "dropped": 13}
    changed = [(p["where"], p["text"].strip()) for p in near["difference"]["pieces"]]
    alone = [change for change in changed if change[0] != "both"]
    assert alone == [("kept", "silt"), ("dropped", "\x1b[31mmud"), ("kept", "anew")]
    assert same["difference"]["pieces"] == []
    assert same["decision"]["rule"] == "shortest_url"
    assert len(show(cli, tmp_path, "aaaa", "--most", "1")["members"]) == 1
    lines = show(cli, tmp_path, "aaaa", "--diff", "lines")["members"][0]["difference"]
    assert (lines["unit"], lines["only_kept"], lines["only_dropped"]) == ("lines", 1, 1)


def test_a_person_sees_marks_and_no_escape_codes(cli: Cli, tmp_path: Path, made: Manifest) -> None:
    said = cli("dedup", "show", "aaaa", "--store", tmp_path)
    assert said.code == 0 and "\x1b" not in said.out
    assert f"kept     {A['url']}" in said.out
    assert "81.0% alike, found by minhash; longest: 14 words before 13 words" in said.out
    assert "the river carries [-silt-] {+[31mmud+} down to" in said.out
    assert "the same text, white space aside" in said.out
    said = cli("dedup", "show", "aaaa", "--most", "1", "--store", tmp_path)
    assert "1 more, as much alike or more; --most 2 shows all" in said.out


def test_all_rules_equal_is_the_lower_id(cli: Cli, tmp_path: Path, made: Manifest) -> None:
    (copy,) = show(cli, tmp_path, "cccc")["members"]
    assert copy["decision"]["rule"] == "shortest_url"  # …/copy against …/other
    assert (copy["decision"]["kept"], copy["decision"]["dropped"]) == (22, 21)


def test_what_an_earlier_corpus_keeps(cli: Cli, tmp_path: Path, made: Manifest) -> None:
    told = show(cli, tmp_path, "eeee")
    (late,) = told["members"]
    assert told["kept_in"] == f"dedup@{NIGHT}" and late["decision"] is None
    changed = [p["text"].strip() for p in late["difference"]["pieces"] if p["where"] != "both"]
    assert changed == ["March", "May"]
    said = cli("dedup", "show", "eeee", "--store", tmp_path).out
    assert f"in the earlier corpus dedup@{NIGHT}" in said
    assert f"dedup@{NIGHT} keeps what it has" in said

    shutil.rmtree(tmp_path / "versions" / "dedup" / NIGHT)
    told = show(cli, tmp_path, "eeee")
    assert told["members"][0]["difference"] is None
    assert told["problems"][0].startswith(f"dedup@{NIGHT}: data no longer in the store")


def test_texts_that_gc_took_are_said_to_be_gone(cli: Cli, tmp_path: Path, made: Manifest) -> None:
    clean = made.inputs["clean"]
    shutil.rmtree(tmp_path / "versions" / "clean" / clean.version / "data")
    told = show(cli, tmp_path, "aaaa")
    assert [m["difference"] for m in told["members"]] == [None, None]
    assert [m["decision"] for m in told["members"]] == [None, None]
    assert told["problems"] == [
        f"{clean.label}: data no longer in the store; its texts cannot be shown"
    ]
    said = cli("dedup", "show", "aaaa", "--store", tmp_path)
    assert said.code == 0 and "not known without the texts" in said.out


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("9999", "no cluster of '9999'"),
        (ALONE["document_id"], "no duplicate of 'dddd"),
        (ALONE["url"], "no duplicate of 'http://a.example/alone', which was kept"),
        ("http://a.example/rivet", "Did you mean http://a.example/river, http://a.example/other"),
        ("ftp://x", "one of 3 clusters. `phusa dedup top` lists some"),
    ],
)
def test_what_is_no_cluster(
    cli: Cli, tmp_path: Path, made: Manifest, asked: str, says: str
) -> None:
    assert says in show(cli, tmp_path, asked, code=2)


def test_a_beginning_of_several_ids(cli: Cli, tmp_path: Path, made: Manifest) -> None:
    twin = {**A, "document_id": "aaaa" + "1" * 28}
    rows = [*DROPS, duplicate(COPY, twin, 1.0, "exact")]
    files: dict[str, pa.Table | bytes] = {
        "duplicates.parquet": pa.Table.from_pylist(rows, schema=DUPLICATE)
    }
    seal(tmp_path, "dedup", "20261122-020202-000-cccc", files)
    refused = show(cli, tmp_path, "aaaa", code=2)
    assert f"2 clusters that 'aaaa' may name: {KEPT}, {twin['document_id']}" in refused


def test_a_trace_says_the_same(cli: Cli, tmp_path: Path, made: Manifest) -> None:
    config = {"threshold": 0.8, "keep": [{"kind": "source", "urls": ["a"]}, "longest"]}
    files: dict[str, pa.Table | bytes] = {
        "documents/part-00000-of-00001.parquet": pa.Table.from_pylist([A], schema=DOCUMENT),
        "duplicates.parquet": pa.Table.from_pylist(DROPS, schema=DUPLICATE),
    }
    inputs = (Store(tmp_path).resolve("clean"),)
    seal(tmp_path, "dedup", "20261122-020202-000-cccc", files, inputs=inputs, config=config)
    said = cli("trace", NEAR["document_id"], "--store", tmp_path)
    assert said.code == 0, said.err
    assert f"to {A['url']}, which comes first by source, longest" in said.out
    said = cli("trace", LATE["document_id"], "--store", tmp_path).out
    assert f"to {EARLIER['url']}, which dedup@{NIGHT} holds" in said


def test_only_deduplications_have_clusters(cli: Cli, tmp_path: Path, made: Manifest) -> None:
    said = cli("dedup", "top", "--of", "clean", "--store", tmp_path)
    assert said.code == 2 and "expected a deduplication" in said.err


def test_the_curve(cli: Cli, tmp_path: Path, recipe: Path, made: Manifest) -> None:
    told = json.loads(cli("dedup", "curve", "--json").out)
    assert (told["threshold"], told["bands"], told["rows"], told["num_perm"]) == (0.8, 16, 7, 112)
    assert told["recall"] == pytest.approx(1 - (1 - 0.8**7) ** 16) == told["points"][80]
    assert told["points"][0] == 0 and told["points"][100] == 1 and told["expected"] is None

    png = tmp_path / "curve.png"
    words = ("--threshold", "0.7", "--bands", "20", "--rows", "5", "--png", png)
    said = cli("dedup", "curve", recipe, *words, "--of", "clean", "--store", tmp_path)
    assert said.code == 0 and png.read_bytes()[:4] == b"\x89PNG"
    assert "20 bands of 5 rows, 100 of 112 functions" in said.out
    assert "▲" in said.out and "threshold 0.7" in said.out
    assert "expected among 7 documents, from all pairs:" in said.out
    plot = [line.partition("│")[2] for line in said.out.splitlines() if "│" in line]
    heights = [sum(row[at : at + 1] not in ("", " ") for row in plot) for at in range(50)]
    assert len(plot) == 10 and heights == sorted(heights) and heights[-1] == 10

    more = json.loads(cli("dedup", "curve", "--num-perm", "256", "--json").out)
    assert more["num_perm"] == 256 and more["recall"] >= 0.97


def test_bands_that_do_not_fit_are_refused_at_once(cli: Cli) -> None:
    said = cli("dedup", "curve", "--threshold", "1.5", "--num-perm", "3")
    assert said.code == 2 and "--threshold: found 1.5" in said.err
    assert "--num-perm: found 3" in said.err
    said = cli("dedup", "curve", "--bands", "20")
    assert said.code == 2 and "expected both, or neither" in said.err


def test_scores_decide_where_the_policy_asks_for_them(cli: Cli, tmp_path: Path) -> None:
    """Cleaned documents have none: they are those that the documents were given later."""
    documents = {"documents/a.parquet": pa.Table.from_pylist([A, NEAR], schema=DOCUMENT)}
    clean = seal(tmp_path, "clean", NIGHT, dict(documents))
    rows = [
        {"document_id": d["document_id"], "url": d["url"], "language": "en", "score": score}
        for d, score in ((A, 0.75), (NEAR, 0.5))
    ]
    scores = {"scores/a.parquet": pa.Table.from_pylist(rows, schema=SCORE)}
    quality = seal(tmp_path, "quality", NIGHT, dict(scores), inputs=(clean,))
    files: dict[str, pa.Table | bytes] = {
        "duplicates.parquet": pa.Table.from_pylist(DROPS[1:2], schema=DUPLICATE)
    }
    config = {"threshold": 0.8, "keep": ["best_quality"]}
    seal(tmp_path, "dedup", NIGHT, files, inputs=(clean, quality), config=config)
    (near,) = show(cli, tmp_path, "aaaa")["members"]
    assert near["decision"] == {"rule": "best_quality", "kept": 0.75, "dropped": 0.5}
