"""Taking content out of a store: new versions without it, then the aliases, then the old ones go.

In this order a kill leaves whole artifacts and all that an alias means; the same command goes on
from there. Nothing is taken that a live build reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flows.forget.leftovers import drop_leftovers
from flows.forget.record import Found, every_manifest
from flows.forget.successors import REWRITTEN, Build, CannotRewrite, Successors
from flows.holding import Search
from storage import takedown
from storage.aliases import Register
from storage.errors import Fault, PhusaError, RequestError
from storage.gc import GRACE, live_builds
from storage.manifest import Manifest
from storage.sealing import bury, withdraw
from storage.store import Store
from storage.takedown import Forgotten, Takedown, Takedowns
from tasks.progress import note


@dataclass(frozen=True)
class Plan:
    """What a purge will do. `makes` get a new version, all of `buries` go."""

    takedown: Takedown
    makes: tuple[str, ...]
    buries: tuple[str, ...]
    withdraws: tuple[str, ...]


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


class Purge:
    """One purge of what `found` says, in the store as it is now."""

    def __init__(self, store: Store, found: Found) -> None:
        self._store, self._taken, self._found = store, found.takedown, found
        everything, in_quarantine = every_manifest(store)
        self._everything = everything
        held = {holder.artifact for holder in found.holders}
        self._sealed = [m for m in everything if m.label in held and m.label not in in_quarantine]
        self._quarantined = [m for m in everything if m.label in held & in_quarantine]
        self._current = self._choose_current(in_quarantine)
        self._why = f"takedown {self._taken.id}: {self._taken.rule}"

    def plan(self) -> Plan:
        """What is going to be done. Raises RequestError if a live build is in the way."""
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
            left=left | dict(self._found.unreadable),
        )

    def _choose_current(self, in_quarantine: frozenset[str]) -> list[Manifest]:
        """The newest whole version of each stage of each recipe, and what an alias means."""
        sealed = [m for m in self._everything if m.label not in in_quarantine]
        chosen = self._store.aliases.read().held()
        seen = set[tuple[str, str]]()
        for manifest in reversed(sealed):
            group = (manifest.name, manifest.run.recipe)
            if group not in seen and self._store.is_whole(manifest):
                seen.add(group)
                chosen.add(manifest.label)
        return [m for m in sealed if m.name in REWRITTEN and m.label in chosen]

    def _check_unused(self) -> None:
        held = {m.label for m in (*self._sealed, *self._quarantined)}
        faults = []
        for key, lease in live_builds(self._store).items():
            name = key.split("/")[1]
            used = sorted(held.intersection(lease.uses))
            found = f"a build of {name} that reads {', '.join(used)} ({lease})"
            if not used and name == "crawl" and lease.since < self._taken.at.timestamp():
                found = f"a crawl that began before the takedown ({lease})"
            elif not used:
                continue
            remedy = "Wait until it is done, or stop it; then run the same command again."
            faults.append(Fault("--purge", found, "no build that reads or fetches it", remedy))
        if faults:
            raise RequestError(faults)

    def _note_late(self, made: Sequence[Manifest], known: Takedowns) -> None:
        """What was taken down by someone else meanwhile was not left out."""
        for one in takedown.read(self._store.backend).all:
            if one not in known.all:
                search = Search(self._store, made, Forgotten((one,)))
                takedown.add_holders(self._store.backend, one, [m for m in made if search.ids(m)])

    def _move_aliases(self, successors: Successors) -> list[str]:
        moved = []
        for old in self._sealed:
            new = successors.made.get(old.label)
            if new is not None and new.name == old.name:
                names = self._store.aliases.replace(old.name, old.version, new.version, self._why)
                moved += [f"{old.name}@{name} → {new.label}" for name in names]
        return moved

    def _damaged(self, successors: Successors) -> dict[str, str]:
        """What could have a new version, were it not for damage: it stays, and is spoken of."""
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
