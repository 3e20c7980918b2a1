"""Which documents go, and the evidence, against brute force."""

from __future__ import annotations

import itertools
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from storage.parquet import write_rows
from storage.records import DOCUMENT, DUPLICATE
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.keys import read_keys, sign_shard
from tasks.dedup.methods import Exact, MinHash, SameUrl
from tasks.dedup.work import DedupWork, deduplicate
from tests.tasks.dedup.conftest import Dedup, Row, document

VOCABULARY = [f"word{n}" for n in range(400)]
SIZE = 5


def _shingles(text: str, size: int = SIZE) -> frozenset[tuple[str, ...]]:
    words = text.lower().split()
    return frozenset(tuple(words[i : i + size]) for i in range(max(len(words) - size + 1, 1)))


def _jaccard(a: frozenset[Any], b: frozenset[Any]) -> float:
    return len(a & b) / len(a | b)


def _planted(num_families: int = 60, seed: int = 7) -> list[Row]:
    """Families of documents: a first one, and copies with more and more words changed."""
    draw = random.Random(seed)
    rows = []
    for family in range(num_families):
        words = draw.choices(VOCABULARY, k=draw.randrange(60, 160))
        for copy, changes in enumerate((0, 0, 1, 2, 3, 6)):
            changed = list(words)
            for at in draw.sample(range(len(words)), changes):
                changed[at] = draw.choice(VOCABULARY)
            if copy == 1:
                changed = [word.upper() for word in changed]
            rows.append(document(f"http://a/{family}/{copy}/{'x' * copy}", " ".join(changed)))
    draw.shuffle(rows)
    return rows


@pytest.fixture
def planted() -> list[Row]:
    return _planted()


def test_against_brute_force(dedup: Dedup, planted: list[Row]) -> None:
    config = DedupConfig()
    done = dedup(planted, config, num_shards=3)
    texts = {row["document_id"]: _shingles(row["text"]) for row in planted}
    kept = {row["document_id"] for row in done.kept}
    dropped = {row["document_id"] for row in done.dropped}
    assert kept | dropped == set(texts)
    assert not kept & dropped
    assert len(dropped) > 150

    for row in done.dropped:
        exact = _jaccard(texts[row["document_id"]], texts[row["kept_id"]])
        assert row["similarity"] == exact >= config.threshold
        assert row["kept_id"] in kept

    over = {
        (a, b)
        for a, b in itertools.combinations(sorted(texts), 2)
        if _jaccard(texts[a], texts[b]) >= config.threshold
    }
    missed = [pair for pair in over if kept.issuperset(pair)]
    assert len(missed) <= 0.05 * len(over), f"{len(missed)} of {len(over)} pairs missed"


def test_a_document_goes_only_for_a_kept_one_that_it_truly_resembles(dedup: Dedup) -> None:
    """A ~ B ~ C but not A ~ C: no cluster drifts from A to C by way of B."""
    words = [f"w{n}" for n in range(104)]
    a = document("http://a/aaa", " ".join([*words, "end", "end"]))  # the longest: looked at first
    b = document("http://a/b", " ".join([*(f"b{n}" for n in range(6)), *words[6:], "end"]))
    c = document("http://a/c", " ".join([*b["text"].split()[:-9], *(f"c{n}" for n in range(9))]))
    ab, bc, ac = (
        _jaccard(_shingles(x["text"]), _shingles(y["text"])) for x, y in ((a, b), (b, c), (a, c))
    )
    threshold = (ac + min(ab, bc)) / 2
    assert ac < threshold < min(ab, bc)
    done = dedup([a, b, c], DedupConfig(threshold=threshold))
    assert done.kept_urls == {"http://a/aaa", "http://a/c"}
    assert [(row["url"], row["kept_url"]) for row in done.dropped] == [("http://a/b", a["url"])]

    b_first = [a | {"num_words": 1}, b | {"num_words": 9}, c | {"num_words": 2}]
    done = dedup(b_first, DedupConfig(threshold=threshold))
    assert done.kept_urls == {"http://a/b"}
    assert {row["kept_id"] for row in done.dropped} == {b["document_id"]}


def test_output_depends_neither_on_order_nor_on_shards(dedup: Dedup) -> None:
    rows = _planted(20)
    first = dedup(rows)
    for num_shards, seed in ((1, 1), (2, 2), (5, 3)):
        other = dedup(random.Random(seed).sample(rows, len(rows)), num_shards=num_shards)
        assert other.evidence == first.evidence
        assert other.kept_urls == first.kept_urls
    assert dedup(rows).evidence == first.evidence


@pytest.mark.parametrize(
    ("keep", "url"),
    [
        (("longest", "shortest_url"), "http://a/longest"),
        (("shortest_url", "longest"), "http://a/s"),
        (("least_repeated", "longest"), "http://a/least"),
        (("longest",), "http://a/longest"),
        (("best_quality",), "http://a/s"),
        (("newest",), "http://a/longest"),
        (("oldest",), "http://a/s"),
        (("canonical", "longest"), "http://a/least"),
        (({"kind": "source", "urls": ["//b/", "least"]},), "http://a/least"),
    ],
)
def test_the_keep_rules_count_in_order(dedup: Dedup, keep: tuple[Any, ...], url: str) -> None:
    text = " ".join(VOCABULARY[:50])
    rows = [
        document("http://a/s", text, repeated_share=0.25, quality=0.9, date="2024-01-09"),
        document("http://a/least", text, quality=-1.0),
        document("http://a/longest", text, num_words=51, repeated_share=0.5, date="2025-01-01"),
    ]
    for row in rows[0], rows[2]:
        row["canonical"] = "http://a/least"
    done = dedup(rows, DedupConfig.model_validate({"keep": keep}))
    assert done.kept_urls == {url}
    assert {row["kept_url"] for row in done.dropped} == {url}


@pytest.mark.parametrize("keep", [(), ("longest", "shortest_url", "least_repeated")])
def test_ties_go_by_id(dedup: Dedup, keep: tuple[str, ...]) -> None:
    rows = [document(f"http://a/{n}", "one text for all of these pages") for n in range(5)]
    done = dedup(rows, DedupConfig.model_validate({"keep": keep}))
    assert [row["document_id"] for row in done.kept] == [min(row["document_id"] for row in rows)]


def test_equally_similar_kept_documents_tie_by_id(dedup: Dedup) -> None:
    words = VOCABULARY[:60]
    kept = [document(f"http://a/{n}", " ".join([f"x{n}"] * 6 + words)) for n in range(4)]
    last = document("http://a/last", " ".join(words))
    done = dedup([*kept, last], DedupConfig(threshold=0.9))
    assert [row["kept_id"] for row in done.dropped] == [min(row["document_id"] for row in kept)]


def test_the_most_similar_kept_document_is_named(dedup: Dedup) -> None:
    words = VOCABULARY[:100]
    before, after = [f"b{n}" for n in range(20)], [f"a{n}" for n in range(20)]
    far = document("http://a/far", " ".join([*before, *words]))
    near = document("http://a/near", " ".join([*words, *after]))
    both = document("http://a/both", " ".join([*before[8:], *words, *after[:16]]), num_words=1)
    for threshold in (0.75, 0.8):
        done = dedup([far, near, both], DedupConfig(threshold=threshold))
        assert [(row["url"], row["kept_url"]) for row in done.dropped] == [
            ("http://a/both", "http://a/near")
        ]


def test_short_and_empty_documents(dedup: Dedup) -> None:
    texts = ["", "", "!?", "hello", "Hello!", "hello world", "world hello", "a b c d"]
    done = dedup([document(f"http://a/{n}", text) for n, text in enumerate(texts)])
    assert sorted(row["text"].lower().strip("!?") for row in done.kept) == sorted(
        ["", "hello", "hello world", "world hello", "a b c d"]
    )
    assert {row["similarity"] for row in done.dropped} == {1.0}


def test_exact_alone_drops_equal_words_only(dedup: Dedup) -> None:
    text = " ".join(VOCABULARY[:80])
    rows = [
        document("http://a/1", text),
        document("http://a/22", text.upper() + "!"),
        document("http://a/333", text + " more"),
    ]
    exact = dedup(rows, DedupConfig(methods=(Exact(),), threshold=0.5))
    assert exact.kept_urls == {"http://a/1", "http://a/333"}
    assert [(row["url"], row["method"]) for row in exact.dropped] == [("http://a/22", "exact")]
    both = dedup(rows, DedupConfig(threshold=0.5))
    assert len(both.kept) == 1


def test_the_first_method_that_found_a_pair_is_named(dedup: Dedup) -> None:
    rows = [document(f"http://a/{n}", " ".join(VOCABULARY[:80])) for n in range(2)]
    for methods in ((Exact(), MinHash()), (MinHash(), Exact())):
        done = dedup(rows, DedupConfig(methods=methods))
        assert done.dropped[0]["method"] == methods[0].kind


def test_a_stated_address_is_believed_where_the_texts_agree(dedup: Dedup) -> None:
    words = VOCABULARY[:60]
    page = document("http://a/1", " ".join(words))
    printed = document("http://a/print?id=1", " ".join([*words[8:], "back", "to", "the", "page"]))
    other = document("http://a/2", " ".join(VOCABULARY[100:160]))
    for row in printed, other:  # the other's template gives one address for every page
        row["canonical"] = page["url"]
    config = DedupConfig(methods=(SameUrl(),), keep=("canonical",))
    done = dedup([printed, other, page], config)
    assert done.kept_urls == {page["url"], other["url"]}
    (dropped,) = done.dropped
    assert (dropped["kept_url"], dropped["method"]) == (page["url"], "url")
    assert dropped["similarity"] == _jaccard(_shingles(page["text"]), _shingles(printed["text"]))
    alone = DedupConfig(methods=(SameUrl(canonical=False),), keep=("canonical",))
    assert not dedup([printed, other, page], alone).dropped


def test_a_stated_address_is_looked_for_in_earlier_corpora(dedup: Dedup) -> None:
    config = DedupConfig(methods=(SameUrl(), Exact()))
    earlier = dedup([document("http://a/1", " ".join(VOCABULARY[:60]))], config).index
    printed = document("http://a/print", " ".join(VOCABULARY[2:60]), canonical="http://a/1")
    (dropped,) = dedup([printed], config, earlier=[earlier]).dropped
    assert (dropped["kept_url"], dropped["kept_in"]) == ("http://a/1", earlier.label)


def test_vietnamese_words_that_differ_in_tone_are_different(dedup: Dedup) -> None:
    low = " ".join(f"ma{n} mà bàn ghề cà phề" for n in range(30))
    high = low.replace("à", "á").replace("ề", "ế")
    rows = [document("http://a/1", low), document("http://a/2", high)]
    assert len(dedup(rows, DedupConfig(threshold=0.3)).kept) == 2


def test_the_threshold_itself_counts_as_duplicate(dedup: Dedup) -> None:
    words = [f"w{n}" for n in range(24)]  # 20 shingles
    a = document("http://a/aa", " ".join([*words, "end"]))  # 21 shingles, 20 of them shared
    b = document("http://a/b", " ".join(words))
    assert len(dedup([a, b], DedupConfig(threshold=20 / 21)).kept) == 1
    assert len(dedup([a, b], DedupConfig(threshold=20 / 21 + 1e-9)).kept) == 2


def test_evidence_follows_its_schema_and_is_sorted(dedup: Dedup) -> None:
    rows = _planted(10)
    done = dedup(rows)
    table = pq.read_table(done.root / "dedup" / "data" / "duplicates.parquet")
    assert table.schema.equals(DUPLICATE)
    ids = table["document_id"].to_pylist()
    assert ids == sorted(set(ids))
    urls = {row["document_id"]: row["url"] for row in rows}
    for row in done.dropped:
        assert urls[row["document_id"]] == row["url"]
        assert urls[row["kept_id"]] == row["kept_url"]


def test_kept_rows_stay_as_they_were_and_in_order(dedup: Dedup) -> None:
    rows = [document(f"http://a/{n}", f"{n} " * 10 + "of its own") for n in range(5)]
    assert dedup(rows).kept == rows
    assert dedup([]).kept == []


def test_finished_work_is_skipped(dedup: Dedup) -> None:
    done = dedup(_planted(3))
    files = [path for path in (done.root / "dedup").rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files if path.suffix == ".safetensors"}
    deduplicate(done.work)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_every_step_can_be_the_last_before_a_kill(dedup: Dedup) -> None:
    """Whatever is in scratch, what comes out is the same."""
    whole = dedup(_planted(6), num_shards=2)
    scratch = sorted((whole.root / "dedup" / "scratch").rglob("*.*"))
    assert len(scratch) > 10
    evidence = whole.evidence
    for path in scratch:
        path.unlink()
        torn = path.with_name(f".tmp-torn-{path.name}")  # what a kill -9 leaves
        torn.write_bytes(b"torn")
        shutil.rmtree(whole.root / "dedup" / "notes")
        deduplicate(DedupWork(whole.work.documents, (), whole.work.config, whole.work.root))
        assert whole.evidence == evidence


def test_keys_are_a_column_for_each_band_and_one_for_exact(tmp_path: Path) -> None:
    workspace, config = Workspace(tmp_path), DedupConfig()
    write_rows(workspace, "d.parquet", _planted(2), DOCUMENT)
    sign_shard(workspace.data / "d.parquet", config, tmp_path / "keys.safetensors")
    assert read_keys(tmp_path / "keys.safetensors").shape == (config.num_columns, 12)
    assert config.num_columns == 1 + MinHash().banding(config.threshold)[0]


def test_five_thousand_identical_documents_are_quick(dedup: Dedup) -> None:
    rows = [document(f"http://a/{n}", "the same short page for everyone") for n in range(5000)]
    begin = time.process_time()
    assert len(dedup(rows).dropped) == 4999
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("num_own", [10, 14, 40])
def test_boilerplate_does_not_make_unlike_documents_slow(dedup: Dedup, num_own: int) -> None:
    """4 000 pages whose menu is most of their text: of every pair, almost a duplicate."""
    menu = " ".join(VOCABULARY[:100])
    rows = [
        document(f"http://a/{n}", " ".join([menu, *(f"p{n}w{w}" for w in range(num_own))]))
        for n in range(4000)
    ]
    begin = time.process_time()
    dropped = dedup(rows).dropped
    assert time.process_time() - begin < 8
    alike = _jaccard(_shingles(rows[0]["text"]), _shingles(rows[1]["text"])) >= 0.8
    assert alike == (num_own == 10)
    assert len(dropped) > 3900 if alike else not dropped
