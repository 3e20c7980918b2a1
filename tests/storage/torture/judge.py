"""What must hold at every instant, whoever was killed where.

The judge looks at the raw store after each call that wrote something, and keeps a copy of every
file of every artifact from the moment at which its manifest appeared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from storage import layout
from storage.aliases import Register
from storage.manifest import Manifest, is_withdrawn
from storage.sealing import quarantined
from storage.store import Store
from storage.verify import verify
from tests.storage.torture.actors import ALIAS, texts
from tests.storage.torture.world import Actor, Call, World


@dataclass
class Sealed:
    """An artifact as it was when its manifest appeared."""

    manifest: Manifest
    files: dict[str, bytes]
    owed: frozenset[str] = frozenset()
    """Ancestors that must be there as long as this is the newest of its name."""


@dataclass
class Judge:
    world: World
    sealed: dict[str, Sealed] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    """Taken down or damaged by us: nobody can ask for these."""
    entered: dict[str, frozenset[str]] = field(default_factory=dict)
    promised: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """By artifact name and version: what was whole when the alias moved there."""
    tombs: set[str] = field(default_factory=set)
    doomed: set[str] = field(default_factory=set)
    """All that ever were: what is sealed goes only so."""
    holders: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.raw = self.world.raw
        self.store = Store("", backend=self.raw)

    # --- after each call ----------------------------------------------------------------------

    def after(self, actor: Actor, call: Call | None) -> None:
        if call is not None:
            self._note(actor, call)
        if actor.reads and actor.name not in self.entered:
            self.entered[actor.name] = self._standing(self._above(actor.reads))
        if call is not None and call.op in ("create", "swap", "put_file", "delete"):
            self._check_owed(actor, call)
        self._judge_readers()
        if isinstance(actor.result, Manifest) and actor.result.label not in self.sealed:
            self._wrong(f"{actor.name} ended with {actor.result.label}, which is not sealed")
        assert not self.world.violations, "\n".join(self.world.violations)

    def _wrong(self, what: str) -> None:
        self.world.violate(what)

    def _note(self, actor: Actor, call: Call) -> None:
        point, parts = call.point, call.key.split("/")
        if point == "create manifest":
            self._note_sealed(actor, parts[1], parts[2])
        elif point == "create tombstones":
            self._note_tomb(actor, f"{parts[1]}@{parts[2].removesuffix('.json')}")
        elif point == "swap aliases":
            self._note_doomed(actor)
            self._note_aliases()
        elif point in ("delete data", "put_file data"):
            self._check_data(f"{parts[1]}@{parts[2]}", call)

    def _note_sealed(self, actor: Actor, name: str, version: str) -> None:
        data = self.raw.read(layout.manifest_key(name, version))
        label = f"{name}@{version}"
        if data is None or is_withdrawn(data):
            if label in self.sealed:
                self._wrong(f"{actor.name} took the manifest of {label} away")
            return
        manifest = Manifest.model_validate_json(data)
        if label in self.sealed:
            if manifest != self.sealed[label].manifest:
                self._wrong(f"{actor.name} changed the manifest of {label}")
            return
        files = {e.path: self._file(manifest, e.path) for e in manifest.files}
        for entry in manifest.files:
            if hashlib.sha256(files[entry.path]).hexdigest() != entry.sha256:
                self._wrong(f"{actor.name} sealed {label} without the whole of {entry.path}")
        if self._is_buried(label):
            self._wrong(f"{actor.name} sealed {label}, which is buried")
        above = self._above(r.label for r in manifest.inputs.values())
        leans = self._above(actor.reads)
        self.sealed[label] = Sealed(manifest, files, self._standing(above & leans))

    def _note_tomb(self, actor: Actor, label: str) -> None:
        if not self._is_buried(label) or label in self.tombs:
            return
        self.tombs.add(label)
        if actor.kind == "bury":
            self.removed.add(label)
            return
        if label not in self.sealed:
            name, _, version = label.partition("@")
            data = self.raw.read(layout.manifest_key(name, version))
            if data is None or not is_withdrawn(data):
                self._wrong(f"{actor.name} buried {label}, which may still be sealed")
        elif label not in self.doomed:
            self._wrong(f"{actor.name} buried {label}, which was not doomed")

    def _note_doomed(self, actor: Actor) -> None:
        """A build dooms what it has sealed only if another holds the same."""
        doomed = set(self._register().doomed)
        for label in doomed - self.doomed if actor.kind == "build" else ():
            mine = self.sealed[label].manifest
            twins = [
                other
                for other, known in self.sealed.items()
                if known.manifest.fingerprint == mine.fingerprint
                and known.manifest.digest == mine.digest
                and other != label
                and self._is_whole(other)
            ]
            if not twins:
                self._wrong(f"{actor.name} doomed {label}, the last of its content")
        self.doomed |= doomed

    def _note_aliases(self) -> None:
        for name, version in self._holders().items():
            if self.holders.get(name) != version and version is not None:
                self.promised[name, version] = self._standing(self._above([f"{name}@{version}"]))
                if f"{name}@{version}" not in self.promised[name, version] | self.removed:
                    self._wrong(f"{name}@{ALIAS} moved to {version}, which is not whole")
            self.holders[name] = version

    # --- what must stay -----------------------------------------------------------------------

    def _check_owed(self, actor: Actor, call: Call) -> None:
        owed: list[tuple[str, frozenset[str]]] = [
            (f"the live build {a.name}", self.entered[a.name])
            for a in self.world.living
            if a.reads and a.name in self.entered
        ]
        owed += [
            (f"{name}@{ALIAS}", self.promised[name, version])
            for name, version in self.holders.items()
            if version is not None
        ]
        for name in sorted({s.manifest.name for s in self.sealed.values()}):
            newest = self._newest(name)
            if newest is not None:
                owed.append((f"the newest {newest.manifest.label}", newest.owed))
        for owner, labels in owed:
            lost = [each for each in labels - self.removed if not self._is_whole(each)]
            if lost:
                self._wrong(f"{actor.name}, {call.op} {call.key}: took {lost} from {owner}")

    def _newest(self, name: str) -> Sealed | None:
        """The newest whole version; None if a newer one was removed by us."""
        labels = sorted((s for s in self.sealed if s.startswith(f"{name}@")), reverse=True)
        for label in labels:
            if label in self.removed:
                return None
            if self._is_whole(label):
                return self.sealed[label]
        if labels:
            self._wrong(f"no version of {name} is left")
        return None

    def _check_data(self, label: str, call: Call) -> None:
        known = self.sealed.get(label)
        if known is None or label in self.removed or self._is_buried(label):
            return
        for path, data in known.files.items():
            if self._read(known.manifest, path) != data:
                self._wrong(f"{call.op} {call.key} changed {path} of {label}, which is sealed")

    def _judge_readers(self) -> None:
        while self.world.gone:
            who, label = self.world.gone.pop()
            if label not in self.removed and not self._is_buried(label):
                self._wrong(f"{who} found {label} and could not read it")
        while self.world.seen:
            who, manifest, files = self.world.seen.pop()
            known = self.sealed.get(manifest.label)
            if known is None:
                self._wrong(f"{who} saw {manifest.label}, which is not sealed")
            elif known.files != files and manifest.label not in self.removed:
                self._wrong(f"{who} read other bytes of {manifest.label} than were sealed")

    # --- at every pause, as an independent reader sees it -------------------------------------

    def look(self) -> None:
        """Nothing is visible that is not sealed and whole."""
        for name in self.store.names():
            for version in self.store.versions(name):
                if f"{name}@{version}" not in self.sealed:
                    self._wrong(f"{name}@{version} is visible and was never sealed")
            newest = self.store.latest(name)
            if newest is not None and not self._is_whole(newest.label):
                self._wrong(f"latest is {newest.label}, which is not whole")
        for path, version in self._references().items():
            name, _, key = path.partition("/")
            if version and f"{name}@{version}" not in self.sealed:
                self._wrong(f"the reference {path} names {version}, which is not sealed")
            found = self.store.find(name, key)
            if found is not None and not self._is_whole(found.label):
                self._wrong(f"find gave {found.label}, which is not whole")
            if found is not None and found.fingerprint != key:
                self._wrong(f"find gave {found.label} for another fingerprint")
        for name, version in self.holders.items():
            label = f"{name}@{version}"
            if version is not None and label not in self.removed and not self._is_whole(label):
                self._wrong(f"{name}@{ALIAS} means {version}, which is not whole")
        assert not self.world.violations, "\n".join(self.world.violations)

    def check_references(self) -> None:
        """Each names a version that is whole, or none."""
        for path, version in self._references().items():
            label = f"{path.partition('/')[0]}@{version}"
            damaged = label in self.removed and not self._is_buried(label)
            assert not version or self._is_whole(label) or damaged, f"{path} names {label}"

    def rest(self) -> None:
        """All have ended, and builders and gc went through without a fault."""
        register = self._register()
        assert not register.going(), f"marks stayed: {register.going()}"
        self.check_references()
        held = {m.label for m in quarantined(self.store)}
        for name in self.store.names():
            for version in self.raw.children(f"versions/{name}"):
                label, key = f"{name}@{version}", layout.data_key(name, version)
                if label in self.sealed and not self._is_buried(label):
                    continue
                left = self.raw.sizes(key)
                assert not left or label in held, f"data of {label} stayed: {left}"
        for label in held:
            assert not self._is_buried(label), f"{label} is in quarantine and buried"
        labels = {damage.label for damage in verify(self.store, deep=True)}
        assert labels <= self.removed, f"damaged: {labels - self.removed}"

    def check_content(self, manifest: Manifest, odd: bool) -> None:
        """A build at the end gave what its fingerprint says."""
        assert self._is_whole(manifest.label), f"{manifest.label} is not whole"
        for path, text in texts(manifest.name, manifest.fingerprint).items():
            data = self._file(manifest, path).decode()
            assert data.startswith(text) if odd else data == text, (manifest.label, path)

    # --- the raw store ------------------------------------------------------------------------

    def _read(self, manifest: Manifest, path: str) -> bytes | None:
        return self.raw.read(f"{layout.data_key(manifest.name, manifest.version)}/{path}")

    def _file(self, manifest: Manifest, path: str) -> bytes:
        return self._read(manifest, path) or b""

    def _is_buried(self, label: str) -> bool:
        name, _, version = label.partition("@")
        return self.raw.read(layout.tombstone_key(name, version)) is not None

    def _is_whole(self, label: str) -> bool:
        known = self.sealed.get(label)
        if known is None or self._is_buried(label):
            return False
        return all(self._read(known.manifest, p) == data for p, data in known.files.items())

    def _above(self, labels: object) -> frozenset[str]:
        """These and all they were made from."""
        found: set[str] = set()
        waiting = list(labels)  # type: ignore[call-overload]
        while waiting:
            label = waiting.pop()
            if label not in found:
                found.add(label)
                known = self.sealed.get(label)
                waiting += [r.label for r in known.manifest.inputs.values()] if known else []
        return frozenset(found)

    def _standing(self, labels: frozenset[str]) -> frozenset[str]:
        return frozenset(label for label in labels if self._is_whole(label))

    def _register(self) -> Register:
        data = self.raw.read(layout.ALIASES)
        return Register() if data is None else Register.model_validate_json(data)

    def _holders(self) -> dict[str, str | None]:
        register = self._register()
        return {name: register.holder(name, ALIAS) for name in register.moves}

    def _references(self) -> dict[str, str]:
        paths = self.raw.sizes("refs/recipes")
        return {path: (self.raw.read(f"refs/recipes/{path}") or b"").decode() for path in paths}
