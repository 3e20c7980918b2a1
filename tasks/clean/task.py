"""How cleaning is placed: one task for each shard of pages, a large one in a process of its own.

Threads share one lock on Python. What cleaning does beside extraction (2 ms of 4 a page, half of it
in fastText and regular expressions) would let no number of them clean more than some 400 pages/s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import JsonValue

from storage.errors import DamagedArtifact, NothingLeft, PhusaError
from storage.manifest import FileEntry, Manifest
from storage.parquet import shard_name
from storage.store import Store
from storage.takedown import NOTHING, Forgotten
from storage.workspace import Workspace
from tasks.children import call_in_child
from tasks.clean.clean import (
    CleanPaths,
    PageShard,
    clean_shard,
    count_reasons,
    count_reused,
    count_trimmed,
    describe,
)
from tasks.clean.config import CleanConfig
from tasks.clean.earlier import EarlierShard, SealedFile
from tasks.config import identity
from tasks.progress import note, track
from tasks.stage import Job, Outcome, count_rows, results

_WORTH_A_PROCESS = 1000
"""Pages, which take 6 s of CPU time; for a process to begin takes 1.2."""


DRIFT = "code_drift"
"""The stat that says so for good: the note of one night would be gone with the next."""

_LENT = ("documents", "rejects", "signals")


def build(job: Job) -> Outcome:
    """Clean all shards of pages; what an earlier cleaning made of unchanged pages is copied."""
    config, port = job.config, "pages"
    pages, fetches = job.files(port, "pages/"), job.files(port, "fetches/")
    warc = job.folder(port, "warc/") / "warc"
    shards = [PageShard(page, fetch, warc) for page, fetch in zip(pages, fetches, strict=True)]
    lender = None if job.force else find_lender(job)
    lent = [() if lender is None else lender.lending(page.name) for page in pages]
    futures = [
        clean_pages.submit(number, len(shards), shard, config, job.work, job.forgotten, known)
        for number, (shard, known) in enumerate(zip(shards, lent, strict=True), 1)
    ]
    documents = results(futures)
    rows_in, rows_out = count_rows(pages), count_rows(documents)
    reasons = count_reasons(sorted((job.workspace.data / "rejects").glob("part-*.parquet")))
    if rows_out == 0:
        raise NothingLeft(
            f"none of {rows_in} pages became a document (dropped: {reasons}); expected at "
            f"least one. Loosen {job.instance}.filters or {job.instance}.languages, or choose "
            f"another {job.instance}.extractor."
        )
    reused = {} if lender is None else lender.account(count_reused(job.workspace), rows_in)
    found = {"dropped": reasons, **describe(documents), **reused}
    if trimmed := count_trimmed(job.workspace):
        found["trimmed_lines"] = trimmed
    return Outcome(rows_in, rows_out, found)


@dataclass(frozen=True)
class Lender:
    """A cleaning whose outcome is copied for the pages that did not change."""

    label: str
    shards: Mapping[str, EarlierShard]
    """By the name of the crawl's file that holds the shard's pages."""
    drifted: bool
    """Whether other code of the same stage version made some of it."""

    def lending(self, pages: str) -> Sequence[EarlierShard]:
        """Give the shards that may hold the pages of a crawl's file of this name.

        A page's shard follows from its URL: with as many shards as before, it is one.
        """
        one = self.shards.get(pages)
        return tuple(self.shards.values()) if one is None else (one,)

    def account(self, reused: int, pages: int) -> dict[str, JsonValue]:
        """Tell of how many pages it came of use; the stats that say so."""
        note(f"clean: {reused} of {pages} pages are as {self.label} found them: copied from there")
        stats: dict[str, JsonValue] = {"reused_pages": reused}
        if reused:
            stats["reused_from"] = self.label
        if reused and self.drifted:
            stats[DRIFT] = True
            note(
                "clean: the code that cleaned some of them was changed since, without a new "
                "version of the stage: --force clean cleans all pages again"
            )
        return stats


def find_lender(job: Job) -> Lender | None:
    """Find the newest whole cleaning that this version of the stage made with this configuration
    from a crawl that is whole, too; one of the recipe before all others, and then of the instance.

    On a remote store what is not cached yet is fetched: text and page table, about a tenth of the
    WARC files that cleaning fetches in any case.
    """
    store, plain = job.store, identity(job.config)
    alike = [
        found
        for name in {job.instance, job.stage.name}
        for found in store.scan(name)
        if isinstance(found, Manifest)
        and (found.stage, found.code.stage_version) == (job.stage.name, job.stage.version)
        and found.config == plain
    ]
    alike.sort(
        key=lambda m: (m.run.recipe == job.recipe, m.name == job.instance, m.version), reverse=True
    )
    for cleaning in alike:
        crawl = _whole_crawl(store, cleaning)
        if crawl is not None and store.is_whole(cleaning):
            break
    else:
        return None
    try:
        pages = _sealed(store, crawl, "pages")
        made = {path: file for t in _LENT for path, file in _sealed(store, cleaning, t).items()}
    except DamagedArtifact as error:
        note(f"clean: passed over {cleaning.label}, whose files cannot be read: {error}")
        return None
    shards = {
        path.removeprefix("pages/"): EarlierShard(
            file, *(made.get(shard_name(table, index, len(pages))) for table in _LENT)
        )
        for index, (path, file) in enumerate(pages.items())
    }
    drifted = DRIFT in cleaning.stats or cleaning.code.source_sha256 != job.stage.source_sha256
    return Lender(cleaning.label, shards, drifted)


def _whole_crawl(store: Store, cleaning: Manifest) -> Manifest | None:
    """The crawl that a cleaning read, if it is there; each cleaning reads one."""
    (reference,) = cleaning.inputs.values()
    try:
        crawl = store.manifest(reference.name, reference.version)
    except PhusaError:  # gone, damaged, or of a newer phusa: no use to this build
        return None
    return crawl if store.is_whole(crawl) else None


def _sealed(store: Store, manifest: Manifest, table: str) -> dict[str, SealedFile]:
    """The files of one table, by their path in the artifact, sorted."""
    prefix = f"{table}/"
    folder = store.folder(manifest, prefix)

    def sealed(entry: FileEntry) -> SealedFile:
        return SealedFile(folder / entry.path, entry.sha256)

    return {e.path: sealed(e) for e in manifest.files if e.path.startswith(prefix)}


@task(task_run_name="clean shard {number} of {count}", cache_policy=NO_CACHE)
def clean_pages(
    number: int,
    count: int,
    shard: PageShard,
    config: CleanConfig,
    work: Path,
    forgotten: Forgotten = NOTHING,
    earlier: Sequence[EarlierShard] = (),
) -> Path:
    """Clean one shard of pages; returns the documents file."""
    paths = CleanPaths.of(number - 1, count)
    workspace = Workspace(work)
    total = pq.read_metadata(shard.pages).num_rows
    alone = total >= _WORTH_A_PROCESS
    run = partial(call_in_child, clean_shard) if alone else clean_shard
    with track(f"clean shard {number} of {count}", total, "pages") as bar:
        run(
            shard,
            config,
            workspace,
            paths,
            advance=bar.advance,
            forgotten=forgotten,
            earlier=earlier,
        )
    return workspace.data / paths.documents
