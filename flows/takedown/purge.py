"""Taking content out of a store: new versions without it, then the aliases, then the old ones go.

In this order a kill leaves whole artifacts and all that an alias means; the same command goes on
from there. Nothing is taken that a live build reads.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from flows.stages import STAGES
from flows.takedown.record import Found, every_manifest
from flows.takedown.search import Search
from flows.takedown.successors import Build, CannotRewrite, Successors, can_follow
from storage import takedown
from storage.aliases import Register
from storage.errors import Fault, PhusaError, RequestError
from storage.gc import GRACE, live_builds
from storage.layout import data_key
from storage.manifest import Manifest
from storage.sealing import bury, quarantined, withdraw
from storage.store import Store
from storage.takedown import Forgotten, Takedown, Takedowns
from tasks.artifacts.pages import PAGES
from tasks.crawl.catalogue import DATABASE, Catalogue
from tasks.progress import note


@dataclass(frozen=True)
class Plan:
    """What a purge will do. `makes` get a new version, all of `buries` go."""

    takedown: Takedown
    makes: tuple[str, ...]
    buries: tuple[str, ...]
    withdraws: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Tell it to people."""
        yield from ("", "purge")
        yield from (f"  {label}: a new version without it, then it goes" for label in self.makes)
        old = [label for label in self.buries if label not in self.makes]
        yield from (f"  {label}: goes; it is neither the newest nor named" for label in old[::-1])
        yield from (f"  {label}: goes from quarantine" for label in self.withdraws)
        if self.makes:
            yield "  what was made from these is built again where it changes"


@dataclass(frozen=True)
class Purged:
    """What a purge did. `made` are new versions by what they take the place of; `left` are
    artifacts that still hold it, each with the reason."""

    made: dict[str, str]
    aliases: tuple[str, ...]
    buried: tuple[str, ...]
    withdrawn: tuple[str, ...]
    dropped: tuple[str, ...]
    left: dict[str, str]

    def lines(self) -> Iterator[str]:
        """Tell people what was done beyond new versions, which were said as they were made."""
        yield from (f"alias {moved}" for moved in self.aliases)
        if gone := [*self.buried, *self.withdrawn]:
            yield f"gone: {', '.join(gone)}; manifests are kept"
        yield from (f"dropped {line}" for line in self.dropped)
        if not self.left:
            yield "no data in the store holds it any more"
            return
        yield "still there:"
        yield from (f"  {label}: {problem}" for label, problem in self.left.items())


class Purge:
    """One purge of what `found` says, in the store as it is now."""

    def __init__(self, store: Store, found: Found) -> None:
        self._store, self._taken, self._found = store, found.takedown, found
        everything, in_quarantine = every_manifest(store)
        self._everything = everything
        labels = {holder.artifact for holder in found.holders}
        held = [manifest for manifest in everything if manifest.label in labels]
        self._quarantined = [m for m in held if m.label in in_quarantine]
        sealed = [m for m in held if m.label not in in_quarantine]
        self._sealed = [m for m in sealed if m.stage in STAGES]
        self._foreign = {m.label: _foreign(m) for m in sealed if m.stage not in STAGES}
        self._current = self._choose_current(in_quarantine)
        self._why = f"takedown {self._taken.id}: {self._taken.rule}"

    def plan(self) -> Plan:
        """Say what is going to be done. Raises RequestError if a live build is in the way."""
        self._check_unused()
        current = {manifest.label for manifest in self._current}
        labels = [manifest.label for manifest in self._sealed]
        return Plan(
            self._taken,
            makes=tuple(label for label in labels if label in current),
            buries=tuple(labels),
            withdraws=tuple(manifest.label for manifest in self._quarantined),
        )

    def carry_out(self, build: Build) -> Purged:
        """Do it. `build` makes the versions that are built, not filtered."""
        known = takedown.read(self._store.backend)
        search = Search(self._store, self._everything, known.forgotten)
        wanted = Forgotten((self._taken,))
        documents = Search(self._store, self._everything, wanted).documents
        held = [manifest.label for manifest in self._sealed]
        successors = Successors(self._store, search, held, self._everything, build)
        for manifest in self._current:
            try:
                new = successors.of(manifest)
            except CannotRewrite as error:
                note(f"{manifest.label}: no new version: {error}")
                continue
            if new.label != manifest.label:
                note(f"{manifest.label} → {new.label}")
        self._note_late(list(successors.made.values()), known)
        moved = self._move_aliases(successors)
        left = self._damaged(successors)
        buried = self._bury([m for m in reversed(self._sealed) if m.label not in left], left)
        withdrawn = self._withdraw(left)
        gone = [m for m in self._everything if m.label in {*buried, *withdrawn}]
        dropped = drop_leftovers(self._store, wanted, documents, gone, self._why)
        return Purged(
            made={old: new.label for old, new in successors.made.items()},
            aliases=tuple(moved),
            buried=tuple(buried),
            withdrawn=tuple(withdrawn),
            dropped=tuple(dropped),
            left=left | self._foreign | dict(self._found.unreadable),
        )

    def _choose_current(self, in_quarantine: frozenset[str]) -> list[Manifest]:
        """Choose the newest whole version of each name of each recipe, and what an alias means."""
        sealed = [m for m in self._everything if m.label not in in_quarantine]
        newest: dict[tuple[str, str], str] = {}
        for manifest in sorted(sealed, key=lambda m: m.version, reverse=True):
            group = (manifest.name, manifest.run.recipe)
            if group not in newest and self._store.is_whole(manifest):
                newest[group] = manifest.label
        chosen = self._store.aliases.read().held() | set(newest.values())
        return [m for m in sealed if can_follow(m) and m.label in chosen]

    def _check_unused(self) -> None:
        held = {m.label for m in (*self._sealed, *self._quarantined)}
        faults = []
        for key, lease in live_builds(self._store).items():
            name = key.split("/")[1]
            crawls = name in STAGES and STAGES[name].output.serves(PAGES)
            used = sorted(held.intersection(lease.uses))
            found = f"a build of {name} that reads {', '.join(used)} ({lease})"
            if not used and crawls and lease.since < self._taken.at.timestamp():
                found = f"a crawl that began before the takedown ({lease})"
            elif not used:
                continue
            remedy = "Wait until it is done, or stop it; then run the same command again."
            faults.append(Fault("--purge", found, "no build that reads or fetches it", remedy))
        if faults:
            raise RequestError(faults)

    def _note_late(self, made: Sequence[Manifest], known: Takedowns) -> None:
        """Note what was taken down by someone else meanwhile: it was not left out."""
        for one in takedown.read(self._store.backend).all:
            if one not in known.all:
                search = Search(self._store, made, Forgotten((one,)))
                held = [manifest for manifest in made if search.of(manifest).ids]
                takedown.add_holders(self._store.backend, one, held)

    def _move_aliases(self, successors: Successors) -> list[str]:
        moved = []
        for old in self._sealed:
            new = successors.made.get(old.label)
            if new is not None and new.name == old.name:
                names = self._store.aliases.replace(old.name, old.version, new.version, self._why)
                moved += [f"{old.name}@{name} → {new.label}" for name in names]
        return moved

    def _damaged(self, successors: Successors) -> dict[str, str]:
        """Give what could have a new version, were it not for damage: it stays, and is told of."""
        labels = {manifest.label for manifest in self._sealed}
        return {
            label: f"no new version: {error}. Build it again with --force, then purge again"
            for label, error in successors.failed.items()
            if error.is_damaged and label in labels
        }

    def _bury(self, manifests: Sequence[Manifest], left: dict[str, str]) -> list[str]:
        """Take them, those first that were made from others; what is in use or named stays.

        As gc does: they are marked beside the aliases, looked at once more, and doomed.
        """
        aliases, run = self._store.aliases, f"takedown {self._taken.id}"
        free = [manifest.label for manifest in manifests]

        def choose(register: Register) -> Iterable[str]:
            stay = register.held() | self._used()
            return [label for label in free if label not in stay]

        condemned = aliases.condemn(run, choose, stale=GRACE)
        try:
            doomed = aliases.doom(run, choose)
        except BaseException:  # interrupted, say: what was marked is to be of use again at once
            with contextlib.suppress(PhusaError, OSError):
                aliases.absolve(run, condemned)
            raise
        for manifest in manifests:
            if manifest.label in doomed:
                bury(self._store, manifest.name, manifest.version, self._why)
            else:
                left[manifest.label] = self._why_kept(manifest)
        stones = self._store.backend.sizes("tombstones")
        aliases.dropped([one for one in doomed if f"{one.replace('@', '/')}.json" in stones])
        return [label for label in free if label in doomed]

    def _withdraw(self, left: dict[str, str]) -> list[str]:
        """Take those in quarantine, unless a run has let one of them through just now."""
        withdrawn = []
        for manifest in self._quarantined:
            if withdraw(self._store, manifest.name, manifest.version, self._why):
                withdrawn.append(manifest.label)
            else:
                left[manifest.label] = "it was sealed meanwhile; run the same command again"
        return withdrawn

    def _used(self) -> set[str]:
        return {label for lease in live_builds(self._store).values() for label in lease.uses}

    def _why_kept(self, manifest: Manifest) -> str:
        names = self._store.aliases.read().of(manifest.name, manifest.version)
        if names:
            return f"no version can take its place, and {', '.join(names)} means it"
        return "a build began to read it; run the same command again when it is done"


def _foreign(manifest: Manifest) -> str:
    return f"stage {manifest.stage} is not known here; purge with a phusa that knows it"


# --- what is no artifact --------------------------------------------------------------------------


def drop_leftovers(
    store: Store,
    forgotten: Forgotten,
    documents: frozenset[str],
    gone: Iterable[Manifest],
    why: str,
) -> list[str]:
    """Drop cached copies of the artifacts that are gone, and what of other leftovers may hold it:
    dead attempts, and scratch.

    `documents` are the ids of all documents that are `forgotten`. Returns a line for each of the
    latter. What a live build works on is left alone.
    """
    for manifest in gone:
        store.cache.drop(manifest.name, manifest.version, manifest.files)
    return [
        *(f"unsealed data: {label}" for label in _withdraw_unsealed(store, why)),
        *(f"data of a version that was taken: {label}" for label in _finish_burials(store, why)),
        *(f"abandoned work: {folder}" for folder in _drop_work(store, forgotten, documents)),
    ]


def _withdraw_unsealed(store: Store, why: str) -> Iterator[str]:
    """Take data of attempts that died before they were sealed. A live one goes on under another
    name."""
    held = {manifest.label for manifest in quarantined(store)}
    for name in store.names():
        for version in store.unsealed(name):
            label = f"{name}@{version}"
            if label not in held and withdraw(store, name, version, why):
                yield label


def _finish_burials(store: Store, why: str) -> Iterator[str]:
    """Take data of versions with a tombstone: a kill may have come between the two."""
    for path in store.backend.sizes("tombstones"):
        name, _, file = path.partition("/")
        version = file.removesuffix(".json")
        if store.backend.sizes(data_key(name, version)):
            bury(store, name, version, why)
            yield f"{name}@{version}"


def _drop_work(store: Store, forgotten: Forgotten, documents: frozenset[str]) -> Iterator[Path]:
    for folder in sorted(store.work.glob("*/*/")):
        stage = STAGES.get(folder.parent.name)
        if stage is not None and stage.trains and stage.rewrite is None:
            continue  # a model's holds no text, and goes on from there
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            if folder.is_dir() and _may_hold(folder, forgotten, documents):
                shutil.rmtree(folder)
                yield folder


def _may_hold(folder: Path, forgotten: Forgotten, documents: frozenset[str]) -> bool:
    """Say whether something in a work folder is known to hold it, or cannot be read."""
    collected = folder / "scratch" / DATABASE
    if collected.exists():
        with Catalogue(collected.parent) as catalogue:
            urls = (page.url for page in catalogue.pages())
            return any(forgotten.covers(url) or url in forgotten.page_urls for url in urls)
    return any(_names(path, forgotten, documents) for path in folder.rglob("*.parquet"))


def _names(path: Path, forgotten: Forgotten, documents: frozenset[str]) -> bool:
    try:
        names = set(pq.read_schema(path).names)
        table = pq.read_table(path, columns=[*{"url", "document_id", "spans"} & names])
    except (pa.ArrowException, OSError):  # a kill came while it was written
        return True
    if "spans" in names:
        spans = pc.list_flatten(table["spans"].combine_chunks())
        return not documents.isdisjoint(spans.field("document_id").to_pylist())
    ids = table["document_id"].to_pylist() if "document_id" in names else []
    urls = table["url"].to_pylist() if "url" in names else []
    return not documents.isdisjoint(ids) or any(map(forgotten.covers, urls))
