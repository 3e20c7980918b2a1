"""The same website, crawled by us and by wget: after cleaning, the documents are the same bytes."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import astuple
from pathlib import Path

import pytest

from storage.parquet import read_table, shard_name
from storage.workspace import Workspace
from tasks.clean.clean import CleanPaths, PageShard, clean_shard
from tasks.clean.config import CleanConfig
from tasks.clean.extractors import Resiliparse
from tasks.crawl.index import write_index
from tasks.crawl.ingest import ingest
from tasks.crawl.live.crawler import crawl
from tasks.crawl.sources.warc import WarcSource
from tests.site import TinySite
from tests.tasks.crawl.knobs import web_source

_SHARDS = 2
_SOME_FILES_WERE_ERRORS = 8  # exit status of wget: the site has a link to a page that is missing
needs_wget = pytest.mark.skipif(shutil.which("wget") is None, reason="wget is not installed")


def _wget(url: str, folder: Path, *options: str) -> Path:
    """The WARC file that wget writes of a site."""
    command = ["wget", "--quiet", "--recursive", "--level=inf", "--no-parent", "-erobots=off"]
    command += [f"--directory-prefix={folder / 'tree'}", f"--warc-file={folder / 'site'}"]
    folder.mkdir()
    done = subprocess.run([*command, *options, url], timeout=60)
    assert done.returncode in (0, _SOME_FILES_WERE_ERRORS)
    return next(folder.glob("site.warc*"))


def _cleaned(crawled: Workspace, folder: Path) -> list[bytes]:
    """The files of documents, and the rejects as rows of text, of an indexed crawl."""
    write_index(crawled, _SHARDS)
    cleaned, config = Workspace(folder), CleanConfig(extractor=Resiliparse(), filters=())
    files = []
    for index in range(_SHARDS):
        pages, fetches = (shard_name(kind, index, _SHARDS) for kind in ("pages", "fetches"))
        paths = CleanPaths.of(index, _SHARDS)
        data = crawled.data
        shard = PageShard(data / pages, data / fetches, data / "warc")
        clean_shard(shard, config, cleaned, paths)
        files += [(cleaned.data / name).read_bytes() for name in astuple(paths)]
    assert read_table(sorted((cleaned.data / "documents").iterdir())).num_rows > 40
    return files


@needs_wget
@pytest.mark.parametrize("options", [(), ("--no-warc-compression",), ("--warc-cdx",)], ids=str)
def test_wget_and_we_find_the_same(tmp_path: Path, options: tuple[str, ...]) -> None:
    ours, theirs = Workspace(tmp_path / "ours"), Workspace(tmp_path / "theirs")
    with TinySite() as site:
        latin = "<meta charset=iso-8859-1><title>Café</title><p>" + "Le café est à côté. " * 30
        site.pages["/silt.latin.html"] = latin.encode("latin-1")
        site.pages["/"] += b'<a href="silt.latin.html">x</a>'
        crawl(web_source(site.url), ours.scratch)
        file = _wget(site.url, tmp_path / "wget", *options)
    ingest(WarcSource(paths=(str(file),)), theirs.scratch)
    assert _cleaned(theirs, tmp_path / "cleaned-2") == _cleaned(ours, tmp_path / "cleaned-1")
