"""What the `datasets` library opens, and that it never asks the network."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import datasets
import datasets.config
import pytest

from storage.errors import RequestError
from tasks.crawl.sources import DatasetSource
from tests.tasks.crawl.sources.reading import read_all

ROWS = [{"text": f"text {i}", "url": f"http://a.test/{i}"} for i in range(5)]
TEXTS = [row["text"] for row in ROWS]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise AssertionError(f"the network was asked: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "set"
    path.mkdir()
    (path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def _texts(source: DatasetSource, tmp_path: Path) -> list[str]:
    pages, rejects = read_all(source, tmp_path / "scratch")
    assert rejects == []
    return [page.body.decode() for page in pages.values()]


def test_a_folder(folder: Path, tmp_path: Path) -> None:
    pages, _ = read_all(DatasetSource(path=str(folder)), tmp_path / "scratch")
    assert list(pages) == [f"file:///set/{i}" for i in range(5)]
    assert [page.body.decode() for page in pages.values()] == TEXTS
    pages, _ = read_all(DatasetSource(path=str(folder), url_column="url"), tmp_path / "scratch")
    assert list(pages) == [row["url"] for row in ROWS]


def test_a_format_and_files(folder: Path, tmp_path: Path) -> None:
    files = (str(folder / "*.jsonl"),)
    assert _texts(DatasetSource(path="json", data_files=files), tmp_path) == TEXTS
    (folder / "x.txt").write_text("one\ntwo\n")
    source = DatasetSource(path="text", data_files=(str(folder / "x.txt"),))
    assert _texts(source, tmp_path) == ["one", "two"]


def test_configurations_and_splits(folder: Path, tmp_path: Path) -> None:
    (folder / "other.jsonl").write_text('{"text": "other"}\n')
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files: data.jsonl\n"
        "- config_name: other\n  data_files:\n  - split: test\n    path: other.jsonl\n---\n# x\n"
    )
    assert _texts(DatasetSource(path=str(folder), name="main"), tmp_path) == TEXTS
    other = DatasetSource(path=str(folder), name="other", split="test")
    assert _texts(other, tmp_path) == ["other"]


def test_what_save_to_disk_wrote(tmp_path: Path) -> None:
    made = datasets.Dataset.from_list(ROWS)
    made.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"test": made}).save_to_disk(str(tmp_path / "many"))
    assert _texts(DatasetSource(path=str(tmp_path / "one")), tmp_path) == TEXTS
    many = DatasetSource(path=str(tmp_path / "many"), split="test")
    assert _texts(many, tmp_path) == TEXTS


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"path": "HuggingFaceFW/fineweb"}, "no folder here, and no format"),
        ({"path": "none"}, "no folder here, and no format"),
        ({"path": "json"}, "data_files: found nothing"),
        ({"path": "json", "data_files": ("https://a.test/x.jsonl",)}, "https://a.test/x.jsonl"),
        ({"path": "json", "data_files": ("hf://datasets/x/y.jsonl",)}, "hf://datasets"),
    ],
)
def test_what_is_elsewhere_is_refused(knobs: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        DatasetSource(**knobs).inputs()


@pytest.mark.parametrize("files", ["https://a.test/x.jsonl", "[{split: train, path: 'hf://x/y'}]"])
def test_a_card_that_leads_elsewhere_is_refused(folder: Path, files: str) -> None:
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {files}\n---\n"
    (folder / "README.md").write_text(card)
    with pytest.raises(RequestError, match="expected a dataset on this machine"):
        DatasetSource(path=str(folder)).inputs()


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"split": "test"}, "test"),
        ({"name": "other"}, "other"),
        ({"data_files": ("none.jsonl",)}, "none.jsonl"),
        ({"text_column": "body"}, "expected a column body"),
    ],
)
def test_what_the_dataset_does_not_have(
    folder: Path, tmp_path: Path, knobs: dict[str, Any], says: str
) -> None:
    with pytest.raises(RequestError, match=says):
        read_all(DatasetSource(path=str(folder), **knobs), tmp_path / "scratch")


def test_a_damaged_file_ends_it(folder: Path, tmp_path: Path) -> None:
    (folder / "more.jsonl").write_text('{"text": \n')
    pages, rejects = read_all(DatasetSource(path=str(folder)), tmp_path / "scratch")
    assert [page.body.decode() for page in pages.values()] == TEXTS
    assert [(r.url, r.reason) for r in rejects] == [("set#5", "bad_record")]


def test_the_offline_switch_is_put_back(folder: Path, tmp_path: Path) -> None:
    before = datasets.config.HF_HUB_OFFLINE
    source = DatasetSource(path=str(folder))
    rows = source.read(source.inputs()[0], tmp_path)
    next(rows)
    assert datasets.config.HF_HUB_OFFLINE is True
    list(rows)
    assert datasets.config.HF_HUB_OFFLINE is before
