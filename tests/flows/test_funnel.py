"""`phusa clean funnel`: what a cleaning dropped, for people, for programs, in pictures."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pyarrow as pa
import pytest

from flows.funnel import find_cleaning
from storage.errors import RequestError
from storage.records import DOCUMENT, signals_schema
from storage.store import Store
from tasks.clean.config import CleanConfig
from tasks.clean.filters import Length, UrlBlocklist
from tasks.clean.pictures import draw_funnel, draw_histograms
from tasks.config import identity
from tests.flows.cleaned import seal_cleaned
from tests.flows.conftest import Cli
from tests.flows.sealed import seal
from tests.tasks.clean.test_clean import PAGES

VERSION = "20261121-020101-000-bbbb"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a cleaning of the stage's own test pages."""
    place = tmp_path_factory.mktemp("funnel")
    seal_cleaned(place / "store", place)
    return place / "store"


def test_people_see_steps_reasons_and_examples(root: Path, cli: Cli) -> None:
    said = cli("clean", "funnel", "--store", root, "--by", "language")
    assert said.code == 0 and f"{8} of {len(PAGES)} kept" in said.out
    lines = [line.split() for line in said.out.splitlines()]
    steps = [line[1] for line in lines if line[:1] == ["│"]]
    assert steps[:5] == ["pages", "text", "language", "length", "repetition"]
    assert "too_few_words" in said.out and "num_words >= 20" in said.out
    assert "http://a/short  5, not >= 20" in said.out
    assert "by language" in said.out and "│ vi " in said.out
    domains = cli("clean", "funnel", f"clean@{VERSION}", "--store", root, "--by", "domain")
    assert "│ a " in domains.out


def test_programs_get_all_of_it(root: Path, cli: Cli) -> None:
    told = json.loads(cli("clean", "funnel", "--store", root, "--json", "--examples", "1").out)
    assert told["artifact"] == f"clean@{VERSION}" and told["pages"] == len(PAGES)
    drops = {drop["reason"]: drop for step in told["steps"] for drop in step["drops"]}
    found = [drops["too_few_words"][name] for name in ("dropped", "broken_by", "alone")]
    assert found == [1, 2, 1]  # the other one's language came before
    assert drops["no_text"]["dropped"] == 2 and len(drops["no_text"]["examples"]) == 1
    assert sum(drop["dropped"] for drop in drops.values()) == told["pages"] - told["kept"]
    assert {part["name"] for part in told["domains"]} == {"a"}


def test_one_language_alone(root: Path, cli: Cli) -> None:
    told = json.loads(cli("clean", "funnel", "--store", root, "--json", "--language", "vi").out)
    assert (told["language"], told["pages"], told["kept"]) == ("vi", 1, 1)
    assert [step["name"] for step in told["steps"]] == ["language", "length", "repetition"]
    said = cli("clean", "funnel", "--store", root, "--language", "tlh")
    assert said.code == 2 and "no text in 'tlh'" in said.err and "vi" in said.err


def test_pictures_are_written(root: Path, cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pictures"
    assert cli("clean", "funnel", "--store", root, "--png", folder).code == 0
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["funnel.png", "signals-length.png", "signals-repetition.png"]
    for name in names:
        png = (folder / name).read_bytes()
        width, height = struct.unpack(">II", png[16:24])
        assert png[:4] == b"\x89PNG" and 600 <= width <= 1100 and 300 <= height <= 1400
        assert len(png) < 300_000
    (tmp_path / "file").write_text("")
    said = cli("clean", "funnel", "--store", root, "--png", tmp_path / "file")
    assert said.code == 2 and "--png: found" in said.err


def test_the_same_counts_are_the_same_picture(root: Path) -> None:
    cleaning = find_cleaning(Store(root), "clean")
    found, signals = cleaning.funnel(), cleaning.histograms()
    assert draw_funnel(found, "a") == draw_funnel(found, "a")
    assert draw_histograms(signals[:1], [], "a") == draw_histograms(signals[:1], [], "a")


# --- what has no funnel ---------------------------------------------------------------------------


def test_one_that_kept_no_signals_is_refused_with_a_remedy(tmp_path: Path, cli: Cli) -> None:
    documents = {"documents/a.parquet": pa.Table.from_pylist([], schema=DOCUMENT)}
    seal(tmp_path, "clean", VERSION, dict(documents))
    said = cli("clean", "funnel", "--store", tmp_path)
    assert said.code == 2 and "no table of signals" in said.err
    assert "phusa run RECIPE --only clean" in said.err


def test_a_configuration_of_another_time_is_refused(tmp_path: Path) -> None:
    signals = {"signals/a.parquet": pa.Table.from_pylist([], schema=signals_schema([]))}
    seal(tmp_path, "clean", VERSION, dict(signals), config={"filters": [{"kind": "gone"}]})
    with pytest.raises(RequestError, match="a configuration that this phusa cannot read"):
        find_cleaning(Store(tmp_path), "clean")
    config = identity(CleanConfig(filters=(Length(),)))
    seal(tmp_path, "clean", VERSION.replace("bbbb", "cccc"), dict(signals), config=config)
    with pytest.raises(RequestError, match="signals without num_words"):
        find_cleaning(Store(tmp_path), f"clean@{VERSION.replace('bbbb', 'cccc')}")


def test_what_is_in_quarantine_can_be_asked_about(tmp_path: Path, cli: Cli) -> None:
    made = seal_cleaned(tmp_path / "store", tmp_path, PAGES[:9])
    held = tmp_path / "store" / "quarantine" / "clean" / f"{VERSION}.json"
    held.parent.mkdir(parents=True)
    manifest = tmp_path / "store" / "versions" / "clean" / VERSION / "manifest.json"
    manifest.rename(held)
    said = cli("clean", "funnel", made.label, "--store", tmp_path / "store")
    assert said.code == 0 and "8 of 9 kept" in said.out
    for wrong in ("clean", "clean@20261122"):
        assert cli("clean", "funnel", wrong, "--store", tmp_path / "store").code == 2


def test_other_stages_have_no_funnel(root: Path) -> None:
    with pytest.raises(RequestError, match="expected clean, or clean@VERSION"):
        find_cleaning(Store(root), "crawl")


def test_lists_that_are_gone_are_not_asked_for(tmp_path: Path) -> None:
    """A manifest keeps a list's digest, and not where it lay."""
    (tmp_path / "hosts.txt").write_text("bad.example\n")
    hosts = UrlBlocklist.model_validate({"hosts": [{"path": str(tmp_path / "hosts.txt")}]})
    seal_cleaned(tmp_path / "store", tmp_path, PAGES[:2], CleanConfig(filters=(hosts,)))
    (tmp_path / "hosts.txt").unlink()
    found = find_cleaning(Store(tmp_path / "store"), "clean").funnel()
    assert [step.name for step in found.steps] == ["text", "url_blocklist"] and found.kept == 2
