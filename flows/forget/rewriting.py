"""How a crawl, a cleaning and an adapter are sealed anew without what was taken down."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from pydantic import JsonValue, ValidationError

from flows.holding import Search
from flows.stages import STAGES, check
from flows.takedown import check_forgotten
from storage import takedown
from storage.errors import DamagedArtifact, NothingLeft
from storage.layout import recipe_key
from storage.manifest import CheckResult, InputRef, Manifest, fingerprint
from storage.parquet import read_columns, read_table, shard_name, strings, write_table
from storage.sealing import Draft, commit
from storage.store import Store
from storage.workspace import Workspace
from tasks.checks import Made
from tasks.clean.clean import TABLES, CleanPaths, count_reasons, describe
from tasks.clean.rewrite import CleanedShard, rewrite_shard
from tasks.config import Config
from tasks.crawl.index import Crawled, write_crawl
from tasks.crawl.rewrite import SealedShard, read_rejects
from tasks.progress import note

REWRITTEN_FROM = "rewritten_from"
"""The stat that names the version that a rewritten one takes the place of."""

Write = Callable[[Workspace], dict[str, Any]]


class Rewriter:
    """Seals new versions; each keeps its predecessor's recipe, code and place among the versions.

    `search` knows all takedowns, not only the one that is being purged.
    """

    def __init__(self, store: Store, search: Search) -> None:
        self._store, self._search = store, search

    def crawl(self, old: Manifest) -> Manifest:
        """A crawl without the pages, under the same fingerprint: the next run reuses it."""
        pages, fetches, rejects, warc, hosts = (
            self._store.files(old, prefix)
            for prefix in ("pages/", "fetches/", "rejects", "warc/", "hosts")
        )
        rules = self._search.pages(old)
        if not rules:
            raise DamagedArtifact(f"{old.label}: {self._search.unreadable.get(old.label)}")

        def write(workspace: Workspace) -> dict[str, Any]:
            shards = [SealedShard(*paths) for paths in zip(pages, fetches, strict=True)]
            rows = [row for path in hosts for row in read_table([path]).to_pylist()]
            crawled = Crawled(shards, read_rejects(rejects), warc, rows)
            return write_crawl(workspace, crawled, lambda page: rules.get(page.page_id))

        return self._seal(old, old.fingerprint, {}, write)

    def clean(self, old: Manifest, crawl: Manifest) -> Manifest:
        """The documents whose pages are still in `crawl`, under the fingerprint of cleaning it."""
        takedowns = takedown.read(self._store.backend)
        left_out = check_forgotten(STAGES["clean"], {"crawl": crawl}, takedowns)
        version, digests = old.code.stage_version, {"crawl": crawl.digest}
        key = fingerprint("clean", version, old.config, digests, left_out.rules)
        present = self._store.find("clean", key)
        if present is not None:
            return present
        before = self._store.manifest("crawl", old.inputs["crawl"].version)
        paths = self._store.files(crawl, "pages/")
        urls = set(read_columns(paths, ["url"])["url"].to_pylist())

        def write(workspace: Workspace) -> dict[str, Any]:
            for shard, target in _shards(before, crawl):
                source = self._cleaned(old, shard)
                rewrite_shard(source, urls, left_out, workspace, target)
            return _count(workspace, len(urls))

        inputs = {"crawl": InputRef(name="crawl", version=crawl.version, digest=crawl.digest)}
        return self._seal(old, key, inputs, write, left_out.rules)

    def finetune(self, old: Manifest) -> Manifest:
        """The same weights without the pairs that quote the documents; its marks go with it."""
        gone = strings(self._search.ids(old))

        def write(workspace: Workspace) -> dict[str, Any]:
            for entry in old.files:
                path = self._store.files(old, entry.path)[0]
                if entry.path.startswith("pairs/"):
                    table = read_table([path])
                    table = table.filter(pc.invert(pc.is_in(table["document_id"], value_set=gone)))
                    write_table(workspace, entry.path, table, volatile=entry.volatile)
                else:
                    _copy(path, workspace, entry.path, volatile=entry.volatile)
            return {"rows_in": old.rows_in, "rows_out": old.rows_out}

        made = self._seal(old, old.fingerprint, old.inputs, write)
        takedown.carry_marks(self._store.backend, old, made)
        return made

    def _cleaned(self, clean: Manifest, shard: str) -> CleanedShard:
        found = (self._store.files(clean, f"{table}/{shard}") for table in TABLES)
        return CleanedShard(*(paths[0] if paths else None for paths in found))

    def _seal(
        self,
        old: Manifest,
        key: str,
        inputs: Mapping[str, InputRef],
        write: Write,
        forgotten: tuple[str, ...] = (),
    ) -> Manifest:
        """Build in the work folder of this fingerprint; what a killed build left there goes."""

        def waiting(holder: str) -> None:
            note(f"{old.name}: another run is building the same artifact ({holder}); waiting")

        with self._store.building(old.name, key, [old.label], waiting) as found:
            if not self._store.is_whole(old):
                raise DamagedArtifact(
                    f"{old.label} was taken meanwhile; run the same command again"
                )
            shutil.rmtree(found.root)
            workspace = Workspace(found.root)
            workspace.begin_attempt()
            stats = write(workspace)
            rows_in, rows_out = stats.pop("rows_in"), stats.pop("rows_out")
            if rows_out == 0:
                shutil.rmtree(workspace.root)
                raise NothingLeft(f"{old.label} has nothing else in it")
            facts: dict[str, JsonValue] = {**old.stats, **stats, REWRITTEN_FROM: old.label}
            draft = Draft(
                name=old.name,
                fingerprint=key,
                config=old.config,
                inputs=inputs,
                rows_in=rows_in,
                rows_out=rows_out,
                stats=facts,
                code=old.code,
                run=old.run.model_copy(update={"host": socket.gethostname(), "flow_run_id": None}),
                checks=_checks(old, Made(rows_in, rows_out, facts)),
                forgotten=forgotten,
                place=_place_after(old.version),
            )
            return self._commit(workspace, draft, old)

    def _commit(self, workspace: Workspace, draft: Draft, old: Manifest) -> Manifest:
        """Seal it; the reference stays with a newer version that holds nothing."""
        present = self._store.find(draft.name, draft.fingerprint)
        made = commit(self._store, workspace, draft, replace=True)
        if present is not None and present.label != old.label and not self._search.ids(present):
            key = recipe_key(draft.name, draft.fingerprint)
            self._store.backend.swap(key, present.version.encode(), made.version.encode())
        return made


def config_of(manifest: Manifest) -> Config:
    """The configuration of an artifact, with its bounds and the defaults of what is not kept.

    Raises ValidationError if this phusa cannot read it.
    """
    checks = [{"measure": c.measure, "severity": c.severity, **c.bounds} for c in manifest.checks]
    model = STAGES[manifest.name].config
    try:
        return model.model_validate({**manifest.config, **({"checks": checks} if checks else {})})
    except ValidationError:  # a measure that there is no more
        return model.model_validate(manifest.config)


def _checks(old: Manifest, made: Made) -> tuple[CheckResult, ...]:
    """Judged as a first version: that it is smaller than the last one is what was asked for."""
    try:
        return check(STAGES[old.name], config_of(old), made, None)
    except ValidationError:
        return ()


def _place_after(version: str) -> datetime | None:
    """Just behind the version whose place it takes: what is newer stays so."""
    try:
        return datetime.strptime(version[:19], "%Y%m%d-%H%M%S-%f") + timedelta(milliseconds=1)
    except ValueError:
        return None


def _shards(before: Manifest, after: Manifest) -> list[tuple[str, CleanPaths]]:
    """The files of a cleaning of `before`, and what cleaning `after` calls them.

    A cleaning numbers the page files that are there; one without a page is not.
    """
    old, new = ([e.path for e in m.files if e.path.startswith("pages/")] for m in (before, after))
    return [
        (
            shard_name("", old.index(path), len(old)).removeprefix("/"),
            CleanPaths.of(index, len(new)),
        )
        for index, path in enumerate(new)
    ]


def _count(workspace: Workspace, num_pages: int) -> dict[str, Any]:
    """What the stage's own flow says of its files."""
    documents, rejects = (
        sorted((workspace.data / folder).glob("part-*.parquet"))
        for folder in ("documents", "rejects")
    )
    rows = sum(entry.rows or 0 for entry in workspace.entries() if entry.path.startswith("doc"))
    facts = {"rows_in": num_pages, "rows_out": rows, "dropped": count_reasons(rejects)}
    return {**facts, **describe(documents)}


def _copy(path: Path, workspace: Workspace, target: str, *, volatile: bool) -> None:
    with workspace.writing(target, volatile=volatile) as stream, path.open("rb") as source:
        shutil.copyfileobj(source, stream, 1 << 20)
