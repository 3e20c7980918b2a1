"""New versions without what was taken down, each made once and after those that it is made from.

Where a stage says how, its version is rewritten, so that nothing is fetched, extracted or trained
anew; what follows is built by the stage's own flow, as the next run would. What was trained stays.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

import pyarrow as pa
from pydantic import JsonValue, ValidationError

from flows.gates import check
from flows.stages import STAGES, open_artifact, type_of
from flows.takedown import check_forgotten
from flows.takedown.search import Search
from storage import takedown
from storage.errors import (
    CorpusTooSmall,
    DamagedArtifact,
    GateFailed,
    NothingLeft,
    UnknownArtifact,
)
from storage.layout import recipe_key
from storage.manifest import CheckResult, InputRef, Manifest, fingerprint
from storage.sealing import Draft, commit
from storage.store import Store
from storage.takedown import NOTHING
from storage.workspace import Workspace
from tasks.checks import Made
from tasks.config import Config, from_identity
from tasks.progress import note
from tasks.stage import Rewriting

REWRITTEN_FROM = "rewritten_from"
"""The stat that names the version that a rewritten one takes the place of."""

Build = Callable[[Manifest, Config, Mapping[str, Manifest]], Manifest]
"""Builds a version like that one, with this configuration, from these inputs."""


class CannotRewrite(Exception):
    """There is no version without what was taken down.

    `is_damaged`: not because none can be, but because what it would be made from is broken.
    """

    def __init__(self, why: str, *, is_damaged: bool = False) -> None:
        super().__init__(why)
        self.is_damaged = is_damaged


def can_follow(manifest: Manifest) -> bool:
    """Say whether a new version of it can be made: its stage is known, and trains no model."""
    stage = STAGES.get(manifest.stage)
    return stage is not None and (not stage.trains or stage.rewrite is not None)


class Successors:
    """Of each version the one that takes its place: another, or itself where nothing changes.

    `search` knows all takedowns: what is made anew leaves out everything that was ever taken down.
    `held` are the labels of those versions that the one being purged is in.
    """

    def __init__(
        self,
        store: Store,
        search: Search,
        held: Iterable[str],
        manifests: Iterable[Manifest],
        build: Build,
    ) -> None:
        self._store, self._search, self._build = store, search, build
        self._held = frozenset(held)
        self._earlier = {
            str(m.stats[REWRITTEN_FROM]): m for m in manifests if REWRITTEN_FROM in m.stats
        }
        self._known = takedown.read(store.backend)
        self._of: dict[str, Manifest] = {}
        self._of_content: dict[tuple[str, str], Manifest] = {}
        self.made: dict[str, Manifest] = {}
        """By the label of what it takes the place of; also what a killed attempt had made."""
        self.failed: dict[str, CannotRewrite] = {}

    def of(self, manifest: Manifest) -> Manifest:
        """Give the version that takes its place. Raises CannotRewrite."""
        label = manifest.label
        if label in self.failed:
            raise self.failed[label]
        if label not in self._of:
            try:
                self._of[label] = self._find(manifest) if can_follow(manifest) else manifest
            except CannotRewrite as error:
                self.failed[label] = error
                raise
            if self._of[label].label != label:
                self.made[label] = self._of[label]
                self._of_content[manifest.name, manifest.digest] = self._of[label]
        return self._of[label]

    def _find(self, old: Manifest) -> Manifest:
        earlier = self._earlier.get(old.label)
        if earlier is not None and self._store.is_whole(earlier):
            self._carry_marks(old, earlier)  # a kill may have come between the two
            return self.of(earlier)
        is_held = self._is_held(old)
        try:
            inputs = self._inputs(old)
        except CannotRewrite:
            if is_held:
                raise
            return old
        is_changed = any(new.digest != old.inputs[name].digest for name, new in inputs.items())
        if not is_held and not is_changed:
            return old
        gone = [m.label for m in (old, *inputs.values()) if not self._store.is_whole(m)]
        if gone:
            if not is_held:
                return old
            raise CannotRewrite(f"{', '.join(gone)} is damaged or gone", is_damaged=True)
        made = self._make(old, inputs)
        assert not self._search.of(made).ids, f"{made.label} still holds what was taken down"
        return made

    def _is_held(self, manifest: Manifest) -> bool:
        if manifest.label in self._held:
            return True
        recorded = self._known.held_by([manifest])
        return bool(recorded) and not self._store.is_whole(manifest)

    def _inputs(self, old: Manifest) -> dict[str, Manifest]:
        """Give what the new version is made from, by recorded name; nothing if it was trained.

        A tokenizer that was trained on the very documents goes with them; one that was chosen by
        hand (`--input`) stays as it was.
        """
        if STAGES[old.stage].trains:
            return {}
        found, digests = {}, {reference.digest for reference in old.inputs.values()}
        for name, reference in old.inputs.items():
            try:
                source = self._store.manifest(reference.name, reference.version)
            except (UnknownArtifact, DamagedArtifact) as error:
                raise CannotRewrite(f"{reference.label} is gone", is_damaged=True) from error
            learnt_from = {r.digest for r in source.inputs.values()}
            is_own = not type_of(source).is_trained or learnt_from <= digests
            same = self._of_content.get((reference.name, source.digest))
            found[name] = (same or self.of(source)) if is_own else source
        return found

    def _make(self, old: Manifest, inputs: Mapping[str, Manifest]) -> Manifest:
        try:
            if STAGES[old.stage].rewrite is not None:
                return self._rewrite(old, inputs)
            return self._build(old, config_of(old), inputs)
        except ValidationError as error:
            why = f"its configuration cannot be read any more ({error.errors()[0]['msg']})"
            raise CannotRewrite(why) from error
        except (NothingLeft, CorpusTooSmall, GateFailed) as error:
            raise CannotRewrite(str(error)) from error
        except (DamagedArtifact, pa.ArrowException) as error:
            raise CannotRewrite(str(error), is_damaged=True) from error

    def _rewrite(self, old: Manifest, inputs: Mapping[str, Manifest]) -> Manifest:
        """Seal what the next run would reuse: under the fingerprint of what it is made from now, or
        its own where that stays. It keeps its predecessor's code and place among the versions."""
        key, references, left_out = old.fingerprint, old.inputs, NOTHING
        if inputs:
            left_out = check_forgotten(STAGES[old.stage], inputs, self._known)
            digests = {name: manifest.digest for name, manifest in inputs.items()}
            version = old.code.stage_version
            key = fingerprint(old.stage, version, old.config, digests, left_out.rules)
            present = self._store.find(old.stage, key)
            if present is not None:
                return present
            references = {
                name: InputRef(name=m.name, version=m.version, digest=m.digest)
                for name, m in inputs.items()
            }

        def waiting(holder: str) -> None:
            note(f"{old.name}: another run is building the same artifact ({holder}); waiting")

        with self._store.building(old.stage, key, [old.label], waiting) as found:
            if not self._store.is_whole(old):
                raise DamagedArtifact(
                    f"{old.label} was taken meanwhile; run the same command again"
                )
            shutil.rmtree(found.root)  # what a killed build left there
            workspace = Workspace(found.root)
            workspace.begin_attempt()
            given = {
                port.name: open_artifact(self._store, manifest)
                for name, manifest in inputs.items()
                if (port := STAGES[old.stage].port(name)) is not None
            }
            source, held = open_artifact(self._store, old), self._search.of(old)
            if not held.ids and old.label in self._search.unreadable:
                raise DamagedArtifact(f"{old.label}: {self._search.unreadable[old.label]}")
            job = Rewriting(source, held, given, left_out, workspace)
            made = self._commit(_draft(job, key, references), job)
        self._carry_marks(old, made)
        return made

    def _commit(self, draft: Draft, job: Rewriting) -> Manifest:
        """Seal it; the reference stays with a newer version that holds nothing."""
        present = self._store.find(draft.stage, draft.fingerprint)
        made = commit(self._store, job.workspace, draft, replace=True)
        if present is None or present.label == job.old.label or self._search.of(present).ids:
            return made
        key = recipe_key(draft.stage, draft.fingerprint)
        self._store.backend.swap(key, present.reference, made.reference)
        return made

    def _carry_marks(self, old: Manifest, new: Manifest) -> None:
        if type_of(old).is_trained:
            takedown.carry_marks(self._store.backend, old, new)


def _draft(job: Rewriting, key: str, inputs: Mapping[str, InputRef]) -> Draft:
    """Rewrite its files in the workspace. Raises NothingLeft."""
    old = job.old.manifest
    rewrite = STAGES[old.stage].rewrite
    assert rewrite is not None
    made = rewrite(job)
    if made.rows_out == 0:
        shutil.rmtree(job.workspace.root)
        raise NothingLeft(f"{old.label} has nothing else in it")
    facts: dict[str, JsonValue] = {**old.stats, **made.stats, REWRITTEN_FROM: old.label}
    return Draft(
        name=old.name,
        stage=old.stage,
        type=job.old.type.name,
        fingerprint=key,
        config=old.config,
        inputs=inputs,
        rows_in=made.rows_in,
        rows_out=made.rows_out,
        stats=facts,
        code=old.code,
        run=old.run.model_copy(update={"host": socket.gethostname(), "flow_run_id": None}),
        checks=_checks(old, Made(made.rows_in, made.rows_out, facts)),
        forgotten=job.forgotten.rules,
        place=_place_after(old.version),
    )


def config_of(manifest: Manifest) -> Config:
    """Read the configuration of an artifact, with its bounds and the defaults of what is not kept.

    Raises ValidationError if this phusa cannot read it.
    """
    checks = [{"measure": c.measure, "severity": c.severity, **c.bounds} for c in manifest.checks]
    model = STAGES[manifest.stage].config
    try:
        return from_identity(model, manifest.config | ({"checks": checks} if checks else {}))
    except ValidationError:  # a measure that there is no more
        return from_identity(model, manifest.config)


def _checks(old: Manifest, made: Made) -> tuple[CheckResult, ...]:
    """Judge it as a first version: that it is smaller than the last one is what was asked for."""
    try:
        return check(STAGES[old.stage], config_of(old), made, None)
    except ValidationError:
        return ()


def _place_after(version: str) -> datetime | None:
    """Give the place just behind the version that it replaces: what is newer stays so."""
    try:
        return datetime.strptime(version[:19], "%Y%m%d-%H%M%S-%f") + timedelta(milliseconds=1)
    except ValueError:
        return None
