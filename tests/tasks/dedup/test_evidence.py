"""What is read out of evidence: clusters, similarities, domains, and why a document stayed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.records import DOCUMENT, DUPLICATE
from tasks.artifacts.documents import find_deduplicated
from tasks.dedup.config import FirstSource, KeepRule
from tasks.dedup.evidence import (
    DomainPair,
    DomainRepeats,
    biggest_clusters,
    copying_domains,
    find_clusters,
    read_evidence,
    repeating_domains,
    similarities,
)
from tasks.dedup.ranking import Decision, decide, rule_columns
from tasks.domains import domains_of
from tests.tasks.dedup.conftest import Row, document


def dropped(number: int, kept: int, **says: Any) -> Row:
    plain = {"url": f"http://a.example/{number}", "kept_url": f"http://b.example/{kept}"}
    ids = {"document_id": f"{number:032x}", "kept_id": f"{kept:032x}"}
    return {**ids, **plain, "kept_in": "", "similarity": 0.9, "method": "minhash", **says}


@pytest.fixture
def many() -> list[Row]:
    draw = np.random.default_rng(0)
    kept = (draw.zipf(1.5, 500) % 90).tolist()
    near = np.round(draw.uniform(0.7, 1, 500), 3).tolist()
    return [
        dropped(number + 1000, of, similarity=similarity)
        for number, (of, similarity) in enumerate(zip(kept, near, strict=True))
    ]


def evidence(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=DUPLICATE)


@pytest.mark.parametrize("count", [1, 5, 1000])
def test_the_biggest_clusters_are_those_counted_row_by_row(many: list[Row], count: int) -> None:
    sizes = Counter(row["kept_id"] for row in many)
    expected = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:count]
    found = biggest_clusters(evidence(many), count)
    assert [(one.kept_id, one.num_dropped) for one in found] == expected
    for one in found:
        of = [row for row in many if row["kept_id"] == one.kept_id]
        assert one.least_similarity == min(row["similarity"] for row in of)
        assert one.kept_url == of[0]["kept_url"]


def test_no_duplicates_are_no_clusters() -> None:
    nothing = evidence([])
    assert biggest_clusters(nothing, 5) == [] and similarities(nothing) == []
    none = domains_of(nothing["url"])
    assert repeating_domains({"a.example": 1}, none, none, 5) == []
    assert copying_domains(none, none, 5) == []


def test_a_cluster_is_found_by_ids_and_urls() -> None:
    rows = [dropped(0xAB << 120, 0xCD << 120), dropped(0xCD << 112, 0xEF << 120)]
    table = evidence(rows)
    first, second = (row["kept_id"] for row in rows)
    assert find_clusters(table, prefix="cd") == [first]
    assert find_clusters(table, prefix="ab") == [first]  # a dropped document's id
    assert find_clusters(table, prefix="00cd") == [second]
    assert find_clusters(table, prefix="") == [first, second]
    assert find_clusters(table, prefix="99") == []
    assert find_clusters(table, urls=[rows[1]["url"]]) == [second]
    assert find_clusters(table, urls=["http://x/", rows[0]["kept_url"]]) == [first]


def test_similarities_by_method() -> None:
    near = {"minhash": [0.8, 0.805, 0.29, 1.0], "exact": [1.0, 1.0]}
    rows = [
        dropped(number, 1, similarity=s, method=method)
        for method, values in near.items()
        for number, s in enumerate(values)
    ]
    exact, minhash = similarities(evidence(rows))
    assert (exact.method, exact.identical, exact.counts.sum(), exact.total) == ("exact", 2, 0, 2)
    assert (minhash.identical, minhash.total) == (1, 4)
    assert {int(n): int(minhash.counts[n]) for n in np.flatnonzero(minhash.counts)} == {
        29: 1,
        80: 2,
    }


def test_domains_that_repeat_and_copy() -> None:
    one, other = "http://www.one.com/", "https://x.other.co.uk:81/"
    pairs = [(one, one), (one, other), (one, other), (other, one), ("http://[::1]/", one)]
    rows = [dropped(n, 1, url=a, kept_url=b) for n, (a, b) in enumerate(pairs)]
    table = evidence(rows)
    went, instead = domains_of(table["url"]), domains_of(table["kept_url"])
    assert repeating_domains({"one.com": 7}, went, instead, 2) == [
        DomainRepeats("one.com", documents=10, dropped=3, for_own=1),
        DomainRepeats("[::1]", documents=1, dropped=1, for_own=0),
    ]
    assert copying_domains(went, instead, 1) == [DomainPair("one.com", "other.co.uk", 2, 1)]
    assert len(copying_domains(went, instead, 9)) == 2


RULES: tuple[KeepRule, ...] = (
    FirstSource(urls=("^https://good", "^https://fair")),
    "longest",
    "least_repeated",
    "shortest_url",
)


def test_the_rule_that_decided_is_the_first_that_tells_two_apart() -> None:
    kept = document("https://good/aa", "one two three")
    others = [
        document("https://fair/aa", "one two three"),
        document("https://bad/aaaaaa", "one two three"),
        document("https://good/aa", "one two"),
        document("https://good/aa", "one two three", repeated_share=0.5),
        document("https://good/aaa", "one two three"),
        document("https://good/aa", "one two three", document_id="f" * 32),
    ]
    table = pa.Table.from_pylist([kept, *others], schema=DOCUMENT).select(rule_columns(RULES))
    assert decide(RULES, table) == [
        Decision("source", "^https://good", "^https://fair"),
        Decision("source", "^https://good", None),
        Decision("longest", 3, 2),
        Decision("least_repeated", 0.0, 0.5),
        Decision("shortest_url", 15, 16),
        Decision("id", kept["document_id"], "f" * 32),
    ]


def test_evidence_without_kept_in_can_be_read(tmp_path: Path) -> None:
    rows = [dropped(1, 2)]
    path = tmp_path / "old.parquet"
    pq.write_table(evidence(rows).drop_columns(["kept_in"]), path)
    assert read_evidence([path], ["kept_in", "url"]).to_pylist() == [
        {"url": rows[0]["url"], "kept_in": ""}
    ]
    files = {"duplicates.parquet": [path]}
    found = find_deduplicated(lambda table: files.get(table, []), [rows[0]["document_id"]], {})
    assert found.dropped[0].kept_in == ""
    pq.write_table(evidence([dropped(1, 2, kept_in="dedup@3")]), path)
    found = find_deduplicated(lambda table: files.get(table, []), [rows[0]["document_id"]], {})
    assert found.dropped[0].kept_in == "dedup@3"
