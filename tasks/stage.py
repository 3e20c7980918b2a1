"""What a stage is, what it takes and makes, and what its build is given: the seam of the house.

A stage is one folder under `tasks/`. Its `config.py` ends with one `Stage`; the registry
(`flows/stages.py`) lists it in one line, and flows, forms, deployments, plans, pages and the
reference are derived from that. `task.py` holds its build, the only place with Prefect in it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from storage.manifest import Manifest, fingerprint
from storage.takedown import NOTHING, Forgotten
from tasks.artifacts.artifact import Artifact, ArtifactType, Held
from tasks.checks import Made
from tasks.config import Config, identity
from tasks.foresight import Forecast, Known, Machine
from tasks.page import Section

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

    from storage.store import Store
    from storage.workspace import Workspace

T = TypeVar("T")

Measures = Callable[[Made, Made | None], dict[str, float | None]]


@dataclass(frozen=True)
class Port:
    """An input of a stage: so many artifacts of a type.

    `recorded_as` is its name in manifests and fingerprints, where that is an older one; a port for
    `many` is recorded as NAME-1, NAME-2 and so on. One that is `optional` or for `many` takes
    nothing where a recipe names nothing. A port that `names` its artifacts itself has a knob of its
    own name: artifacts of other recipes, and all that those were given by the same port. What comes
    by a port that is `made_with` another has to be made from what comes by that one: scores are of
    some documents, sequences of a tokenizer's tokens.
    """

    name: str
    type: ArtifactType
    how: Literal["one", "optional", "many"] = "one"
    recorded_as: str = ""
    names: bool = False
    made_with: str = ""

    @property
    def key(self) -> str:
        return self.recorded_as or self.name

    def keys(self, count: int) -> list[str]:
        """Name `count` inputs as manifests record them."""
        return (
            [f"{self.key}-{n}" for n in range(1, count + 1)] if self.how == "many" else [self.key]
        )

    def holds(self, key: str) -> bool:
        """Say whether a manifest's input of that name was given by this port."""
        stem, _, number = key.rpartition("-")
        return stem == self.key and number.isdigit() if self.how == "many" else key == self.key

    def parameter(self, found: Sequence[Any]) -> Any:
        """Give what comes by this port as a flow takes it: a list, or the one, "" for none."""
        if self.how == "many":
            return list(found)
        return found[0] if found else ""


@dataclass(frozen=True)
class Outcome:
    """What a build says of its files: rows it took and made, and its figures."""

    rows_in: int
    rows_out: int
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What a build is given."""

    stage: Stage
    config: Any
    inputs: Mapping[str, tuple[Artifact, ...]]
    """By the port's name."""
    workspace: Workspace
    store: Store
    recipe: str
    instance: str
    force: bool = False
    forgotten: Forgotten = NOTHING
    """What to leave out: content that was taken down and that the inputs hold."""

    @property
    def work(self) -> Path:
        """Name the folder that tasks write to."""
        return self.workspace.root

    @property
    def tracking(self) -> Path:
        """Name where training leaves its TensorBoard files: they are watched while it goes on."""
        name, key = self.workspace.root.parts[-2:]
        return self.store.tensorboard / self.recipe / f"{name}-{key[:8]}"

    def input(self, port: str) -> Artifact:
        """Give the artifact of a port for one."""
        (found,) = self.inputs[port]
        return found

    def files(self, port: str, prefix: str) -> list[Path]:
        """List files under `prefix` of the artifact of a port, sorted."""
        return self.input(port).files(prefix)

    def folder(self, port: str, prefix: str = "") -> Path:
        """Name the data folder of the artifact of a port, with at least the files of `prefix`."""
        return self.input(port).folder(prefix)


@dataclass(frozen=True)
class Rewriting:
    """What a rewrite is given: a version to be made anew without content that was taken down."""

    old: Artifact
    held: Held
    """What of that content is in it."""
    inputs: Mapping[str, Artifact]
    """By the port's name, those that hold none; empty where it stays made from what it was."""
    forgotten: Forgotten
    """What to leave out besides: content that the inputs hold, or may hold."""
    workspace: Workspace


@dataclass(frozen=True)
class Stage:
    """A kind of work, and what everything outside of its folder has to know of it.

    `says` is what it does, in one sentence. `version` is raised by hand when the same configuration
    and inputs give another result. `measures` are what its gates are set on. `score` is the stat by
    which a version is compared with the one it would replace, less being better.

    `takes` names the unit of rows in, where that is not the first port's. `selects`: its rows out
    are some of its rows in; `drops` are stats that count what it dropped, with the reason, beside
    those by reason (`rejected`, `dropped`). `parts` are stats that together are a whole.

    `leaves_out`: a run of it drops content that was taken down; other stages take only inputs
    without any. `rewrite` seals a version anew without such content, where building it again would
    fetch, extract or train again. `sections` makes parts of its run's page that its type lacks.

    `forecast` says what a build is expected to make and take that was never made before.

    `grows`: its memory follows its inputs' size. `maps`: its tasks are shards that a cluster can
    take. `trains`: it is work for a GPU.
    """

    name: str
    says: str
    config: type[Config]
    version: int
    output: ArtifactType
    build: Callable[[Job], Outcome]
    measures: Measures
    ports: tuple[Port, ...] = ()
    score: str | None = None
    takes: str = ""
    selects: bool = False
    drops: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    leaves_out: bool = False
    rewrite: Callable[[Rewriting], Outcome] | None = None
    sections: Callable[[Artifact], Iterable[Section]] | None = None
    forecast: Callable[[Known, Machine], Forecast | None] | None = None
    grows: bool = True
    maps: bool = False
    trains: bool = False

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def unit_in(self) -> str:
        """Name the unit of its rows in."""
        return self.takes or (self.ports[0].type.unit if self.ports else "rows")

    def port(self, name: str) -> Port | None:
        """Give the port of a name, or the one that a manifest's input of that name came by."""
        found = (p for p in self.ports if p.name == name or p.holds(name))
        return next(found, None)

    def dropped(self, manifest: Manifest) -> dict[str, int]:
        """Count the rows that an artifact left out, by reason, the most frequent first.

        Rows that are missing without a reason are named too: that would be a bug of the stage.
        """
        if not self.selects:
            return {}
        stats = manifest.stats
        found: dict[str, int] = {}
        for counts in (stats.get("rejected"), stats.get("dropped")):
            found |= {k: int(str(v)) for k, v in counts.items()} if isinstance(counts, dict) else {}
        found |= {r: int(str(stats[stat])) for stat, r in self.drops.items() if stat in stats}
        unexplained = manifest.rows_in - manifest.rows_out - sum(found.values())
        found |= {"no reason was kept": unexplained} if unexplained else {}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def fingerprint(
        self, config: Config, input_digests: Mapping[str, str], forgotten: Iterable[str] = ()
    ) -> str:
        """Give the cache key of this stage for a configuration and its inputs' content.

        `input_digests` are by the names that inputs are recorded under; `forgotten` are the
        takedowns that they hold content of.
        """
        return fingerprint(self.name, self.version, identity(config), input_digests, forgotten)

    @property
    def source_sha256(self) -> str:
        """Give a digest of the stage's own code, recorded beside each artifact to warn of drift."""
        return _source_sha256(self.config.__module__)


_LOOKED_AT = ("checks.py", "page.py", "pictures.py")
"""Files that judge and show what a stage made, and have no part in it."""


@cache
def _source_sha256(module: str) -> str:
    """Digest the folder of a stage's config and what stages share: what makes artifacts."""
    folder = Path(cast("str", sys.modules[module].__file__)).parent
    digest = hashlib.sha256()
    for root in (folder, *(Path(__file__).parent / shared for shared in ("lm", "similarity"))):
        for file in sorted(root.rglob("*.py")):
            if file.name not in _LOOKED_AT:
                digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


# --- what builds are written with -----------------------------------------------------------------


def handed(future: PrefectFuture[T]) -> T:
    """Pass a future as the argument of a task: Prefect waits for it and hands its result over."""
    return cast("T", future)


def results(futures: Iterable[PrefectFuture[T]]) -> list[T]:
    """Wait for tasks and raise the error of the first that failed.

    To be asked of upstream tasks first: one that only waited for a failed task says no more than
    that it is not ready.
    """
    return [future.result() for future in futures]


def count_rows(paths: Iterable[Path]) -> int:
    """Count rows of Parquet files, from their footers."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in paths)
