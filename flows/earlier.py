"""What an earlier artifact of a stage can lend to one that has to be built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from flows.stages import STAGES, source_sha256
from storage.errors import DamagedArtifact, PhusaError
from storage.manifest import FileEntry, Manifest
from storage.parquet import shard_name
from storage.store import Store
from tasks.clean.earlier import EarlierShard, SealedFile
from tasks.config import Config, identity
from tasks.crawl.previous_crawl import EarlierCrawl
from tasks.progress import note

DRIFT = "code_drift"
"""The stat that says so for good: the note of one night would be gone with the next."""

_TABLES = ("documents", "rejects", "signals")


def made_alike(store: Store, name: str, config: Config, recipe: str) -> Manifest | None:
    """The newest whole artifact of a stage that this version of the stage made with this
    configuration from inputs that are whole, too; one of `recipe` before all others. Or None.
    """
    version, plain = STAGES[name].version, identity(config)
    alike = [
        found
        for found in store.scan(name)
        if isinstance(found, Manifest)
        and found.code.stage_version == version
        and found.config == plain
    ]
    alike.sort(key=lambda found: (found.run.recipe == recipe, found.version), reverse=True)
    return next((found for found in alike if _is_whole(store, found)), None)


def _is_whole(store: Store, manifest: Manifest) -> bool:
    try:
        inputs = [store.manifest(i.name, i.version) for i in manifest.inputs.values()]
    except PhusaError:  # gone, damaged, or of a newer phusa: no use to this build
        return False
    return all(store.is_whole(one) for one in (manifest, *inputs))


@dataclass(frozen=True)
class EarlierCleaning:
    """A cleaning whose outcome is copied for the pages that did not change."""

    label: str
    shards: Mapping[str, EarlierShard]
    """By the name of the crawl's file that holds the shard's pages."""
    drifted: bool
    """Whether other code of the same stage version made some of it."""

    def lending(self, pages: str) -> Sequence[EarlierShard]:
        """The shards that may hold the pages of a crawl's file of this name.

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


def earlier_crawl(store: Store, recipe: str) -> EarlierCrawl | None:
    """The recipe's last crawl with its files here, or None: what it has need not be sent again.

    On a remote store what is not cached yet is fetched.
    """
    crawl = store.latest("crawl", recipe)
    if crawl is None or crawl.code.stage_version != STAGES["crawl"].version:
        return None
    if not store.is_whole(crawl):
        return None
    try:
        pages, fetches = (store.files(crawl, f"{table}/") for table in ("pages", "fetches"))
        return EarlierCrawl(crawl.label, pages, fetches, store.folder(crawl, "warc/") / "warc")
    except DamagedArtifact as error:
        note(f"crawl: passed over {crawl.label}, whose files cannot be read: {error}")
        return None


def earlier_cleaning(store: Store, config: Config, recipe: str) -> EarlierCleaning | None:
    """The cleaning that can lend most, with its files here, or None.

    On a remote store what is not cached yet is fetched: text and page table, about a tenth of the
    WARC files that cleaning fetches in any case.
    """
    clean = made_alike(store, "clean", config, recipe)
    if clean is None:
        return None
    crawl = store.manifest("crawl", clean.inputs["crawl"].version)
    try:
        pages = _files(store, crawl, "pages")
        made = {path: file for part in _TABLES for path, file in _files(store, clean, part).items()}
    except DamagedArtifact as error:
        note(f"clean: passed over {clean.label}, whose files cannot be read: {error}")
        return None
    shards = {
        path.removeprefix("pages/"): EarlierShard(
            file, *(made.get(shard_name(table, index, len(pages))) for table in _TABLES)
        )
        for index, (path, file) in enumerate(pages.items())
    }
    drifted = DRIFT in clean.stats or clean.code.source_sha256 != source_sha256("clean")
    return EarlierCleaning(clean.label, shards, drifted)


def _files(store: Store, manifest: Manifest, table: str) -> dict[str, SealedFile]:
    """The files of one table, by their path in the artifact, sorted."""
    prefix = f"{table}/"
    folder = store.folder(manifest, prefix)

    def sealed(entry: FileEntry) -> SealedFile:
        return SealedFile(folder / entry.path, entry.sha256)

    return {e.path: sealed(e) for e in manifest.files if e.path.startswith(prefix)}
