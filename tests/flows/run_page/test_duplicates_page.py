"""The duplicates on the page of a deduplication's run."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from flows.run_page import publish_page
from storage.manifest import Manifest
from storage.store import Store
from tasks.dedup.evidence import Histogram
from tasks.dedup.page import draw_similarities
from tests.flows.duplicates.test_clusters import NIGHT, A, put
from tests.flows.run_page.conftest import Shown


@pytest.fixture
def made(tmp_path: Path) -> Manifest:
    return put(tmp_path)


def publish(root: Path, manifest: Manifest, action: str = "built") -> None:
    publish_page(Store(root), manifest, action=action, reason="because")


def test_it_shows_methods_clusters_and_domains(
    tmp_path: Path, made: Manifest, shown: Shown
) -> None:
    publish(tmp_path, made)
    page = shown["dedup"]
    assert shown.notes == [] and "could not be made" not in page
    assert "| exact | 2 | 2 | 0 |\n| minhash | 2 | 0 | 1 |" in page
    cluster = "3 documents, at least 81.0% alike; phusa dedup show aaaa00000000"
    assert f"```text\n{cluster}\n{A['url']}\n\nthe river carries silt" in page
    assert f"http://a.example/old, in dedup@{NIGHT}\n```" in page
    repeats = page.partition("Domains that repeat themselves most:\n\n```text\n")[2].split("\n")
    assert repeats[0].split() == ["domain", "dropped", "share", "of", "for", "its", "own"]
    assert [line.split() for line in repeats[1:5]] == [
        ["a.example", "1", "25.0%", "4", "1"],
        *([f"{name}.example", "1", "100.0%", "1", "0"] for name in "bcd"),
    ]
    copies = page.partition("Domains that have the same as another:\n\n```text\n")[2].split("\n")
    assert [line.split() for line in copies[1:4]] == [
        ["a.example", f"{name}.example", "0", "1"] for name in "bcd"
    ]
    assert f"phusa dedup top --of {made.label}" in page
    png = base64.b64decode(page.partition("data:image/png;base64,")[2].partition(")")[0])
    assert struct.unpack(">II", png[16:24]) == (720, 320)


def test_what_comes_from_the_web_stays_text(tmp_path: Path, made: Manifest, shown: Shown) -> None:
    publish(tmp_path, made)
    tokens = MarkdownIt("commonmark").enable("table").parse(shown["dedup"])
    outside = [token for token in tokens if token.type != "fence"]
    assert not [token for token in outside if "example" in token.content]


def test_nothing_dropped_or_nothing_new_has_no_section(
    tmp_path: Path, made: Manifest, shown: Shown
) -> None:
    publish(tmp_path, Store(tmp_path).resolve(f"dedup@{NIGHT}"))
    assert "## Duplicates" not in shown["dedup"]
    publish(tmp_path, made, "reused")
    assert "## Duplicates" not in shown["dedup"]


def test_evidence_that_is_gone_costs_the_section(
    tmp_path: Path, made: Manifest, shown: Shown
) -> None:
    (tmp_path / "versions/dedup" / made.version / "data/duplicates.parquet").unlink()
    publish(tmp_path, made)
    assert "This part could not be made:\n\n```text\nFileNotFoundError" in shown["dedup"]
    assert "## Duplicates" not in shown["dedup"]
    assert "## Made from" in shown["dedup"] and shown.notes == []


def test_the_picture_is_small_and_the_same_each_time() -> None:
    counts = np.random.default_rng(0).integers(0, 9000, 100)
    found = [Histogram("exact", np.zeros(100, np.int64), 10**6), Histogram("url", counts, 0)]
    png = draw_similarities(found, 0.8)
    assert png == draw_similarities(found, 0.8)
    assert png[:4] == b"\x89PNG" and len(png) < 60_000
