"""What a kind of artifact is: its unit, its tables, and how people and tools look into it.

Stages declare what they take and make by these types, and everything that asks about artifacts
(listing, trace, diff, export, takedown, pages in the UI) loops over types, never over stages. What
a type does not answer is answered here, plainly: an artifact of a type that nothing is known of
still has a row, a page and a lineage.

Types are imported by every command, so pyarrow, torch and the rest are imported inside methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from storage.manifest import FileEntry, InputRef, Manifest

if TYPE_CHECKING:
    from pandas import DataFrame
    from pyarrow import Table as ArrowTable
    from pyarrow.dataset import Dataset

    from storage.errors import RequestError
    from storage.lineage import Node
    from storage.store import Store
    from storage.takedown import Forgotten
    from tasks.artifacts.excerpts import Excerpts, Wanted
    from tasks.lm.generate import LanguageModel

TRAIN = "train"
"""The split of a table that has no other."""

Files = Callable[[str], Sequence[Path]]
"""An artifact's files under a prefix."""

Form = Literal["dataset", "tokenizer", "model"]
"""What an artifact is to its ecosystem: what loads it once it is exported."""


@dataclass(frozen=True)
class ExportForm:
    """A form for programs that cannot read an artifact's own files: what lies in its folder, and
    Python that reads it, as in `ArtifactType.load`."""

    says: str
    load: str


@dataclass(frozen=True)
class Table:
    """One table of an artifact: for each split a Parquet file, or a folder (`name/`) of them."""

    name: str
    splits: Mapping[str, str]
    says: str

    def rows(self, manifest: Manifest) -> dict[str, int]:
        """Count the rows of each split that has any."""
        counts = {
            split: sum(entry.rows or 0 for entry in manifest.files if _lies_in(entry, place))
            for split, place in self.splits.items()
        }
        return {split: count for split, count in counts.items() if count}


def _lies_in(entry: FileEntry, place: str) -> bool:
    return entry.path.startswith(place) if place.endswith("/") else entry.path == place


def table(name: str, place: str, says: str) -> Table:
    """Describe a table of one split."""
    return Table(name, {TRAIN: place}, says)


class Finding(Protocol):
    """What one artifact knows of a page or a document; its fields are the JSON of a trace."""

    def lines(self) -> Iterator[str]:
        """Tell it to people, a line for each fact."""


@dataclass(frozen=True)
class Score:
    """A figure by which models are compared, in bits per byte: less is better.

    `text` says what was measured, `subject` who reached it; `own` is the model that is asked about,
    the others are what it is to beat.
    """

    text: str
    subject: str
    value: float
    own: bool = False


def score(
    stats: Mapping[str, object], stat: str, text: str, subject: str, *, own: bool = False
) -> list[Score]:
    """Give the score that a manifest's stat is, or none if it was not measured."""
    value = stats.get(stat)
    return [Score(text, subject, float(value), own)] if isinstance(value, int | float) else []


@dataclass(frozen=True)
class Learnt:
    """What training read of each of `documents`: so much of what its type `learns`, by id."""

    documents: Artifact
    amounts: Mapping[str, int]


@dataclass(frozen=True)
class Held:
    """What of a takedown one artifact holds: ids of pages or documents, and so many rows of it.

    `unit` names the rows, where that is not the type's. `found` is what else the type wants to know
    of it where it is asked what a model saw, or rewritten.
    """

    ids: frozenset[str] = frozenset()
    amount: int = 0
    unit: str = ""
    found: object = None


@dataclass(frozen=True)
class Saw:
    """What a model saw of a takedown. None: it was not counted, or cannot be any more.

    A tokenizer saw `documents`, a model `tokens` of documents, an adapter `pairs` and, through its
    `base`, tokens.
    """

    documents: int | None = None
    tokens: int | None = None
    pairs: int | None = None
    base: str | None = None


class Artifact:
    """A sealed artifact in its store, as its type sees it: its files, and what it was made from."""

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        kind: ArtifactType,
        opener: Callable[[Store, Manifest], Artifact],
    ) -> None:
        self.store, self.manifest, self.type = store, manifest, kind
        self._opener = opener

    @property
    def label(self) -> str:
        return self.manifest.label

    def is_whole(self) -> bool:
        """Say whether all of its files are there, and gc has not begun to take them."""
        return self.store.is_whole(self.manifest)

    def has(self, prefix: str) -> bool:
        """Say whether it has a file at, or under, `prefix`."""
        return any(entry.path.startswith(prefix) for entry in self.manifest.files)

    def files(self, prefix: str) -> list[Path]:
        """List its files under `prefix`, fetched where the store is remote, sorted."""
        return self.store.files(self.manifest, prefix)

    def folder(self, prefix: str = "") -> Path:
        """Name the local folder that holds at least its files under `prefix`."""
        return self.store.folder(self.manifest, prefix)

    def first_rows(self, prefix: str, columns: Sequence[str], count: int) -> list[dict[str, Any]]:
        """Read the first rows of the first file under `prefix` that has any.

        One file is fetched from a remote store, and of it one batch is decoded. Rows lie in the
        order of their ids, which are hashes: the first are as good a draw as any, and the same in
        every run.
        """
        import pyarrow.parquet as pq

        entry = next((e for e in self.manifest.files if e.path.startswith(prefix) and e.rows), None)
        if entry is None:
            return []
        (path,) = self.files(entry.path)
        with pq.ParquetFile(path, buffer_size=1 << 16) as file:
            batch = next(file.iter_batches(batch_size=count, columns=list(columns)))
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows

    @property
    def tables(self) -> dict[str, dict[str, int]]:
        """Count the rows of its tables, by split; one may be there and have none."""
        found: dict[str, dict[str, int]] = {}
        for table in self.type.tables_in(self.manifest):
            rows = table.rows(self.manifest)
            splits = [split for split, place in table.splits.items() if self.has(place)]
            if splits:
                found[table.name] = {split: rows.get(split, 0) for split in splits}
        return found

    def dataset(self, table: str = "", *, split: str = "") -> Dataset:
        """Open a table of it, the first by default, as an Arrow dataset: for more than fits in
        memory. Raises UnknownArtifact if it has no such table or split."""
        from pyarrow.dataset import dataset

        known = self.tables
        name = table or next(iter(known), "")
        splits = known.get(name, {})
        if not splits or (split and split not in splits):
            self._refuse_table(f"{name}, split {split}" if splits else name or "no table")
        (found,) = (t for t in self.type.tables_in(self.manifest) if t.name == name)
        chosen = [split] if split else list(splits)
        return dataset([path for each in chosen for path in self.files(found.splits[each])])

    def _refuse_table(self, found: str) -> None:
        from storage.errors import Fault, UnknownArtifact

        known = (f"{name} ({', '.join(splits)})" for name, splits in self.tables.items())
        expected = f"one of {'; '.join(known) or 'none: it has no tables'}"
        remedy = "`files(prefix)` lists what else lies in it."
        raise UnknownArtifact(Fault(self.label, found, expected, remedy, "unknown_table"))

    def table(
        self, table: str = "", *, split: str = "", columns: Sequence[str] | None = None
    ) -> ArrowTable:
        """Read a table of it, the first by default; `split` and `columns` make it less."""
        return self.dataset(table, split=split).to_table(columns and list(columns))

    def pandas(
        self, table: str = "", *, split: str = "", columns: Sequence[str] | None = None
    ) -> DataFrame:
        """Read a table of it as `table` does, into a data frame."""
        return self.table(table, split=split, columns=columns).to_pandas()

    def model(self) -> LanguageModel:
        """Load the model in it: a torch module that also takes and gives text, by `generate`.

        Raises RequestError if it has none.
        """
        return self.type.model(self)

    def lineage(self) -> Node:
        """Give the tree of all that it was made from."""
        from storage.lineage import ancestors

        return ancestors(self.store, self.manifest)

    def __repr__(self) -> str:
        return f"<{self.label}: {self.type.amount(self.manifest)}>"

    def open(self, reference: InputRef) -> Artifact:
        """Open one of its inputs. Raises UnknownArtifact or DamagedArtifact."""
        found = self.store.manifest(reference.name, reference.version)
        return self._opener(self.store, found)

    def inputs(self, kind: ArtifactType | None = None) -> Iterator[Artifact]:
        """Open those of its inputs that can serve as `kind` and whose manifests can be read."""
        from storage.errors import DamagedArtifact, UnknownArtifact

        for reference in self.manifest.inputs.values():
            try:
                found = self.open(reference)
            except (UnknownArtifact, DamagedArtifact):
                continue
            if kind is None or found.type.serves(kind):
                yield found

    def input(self, kind: ArtifactType) -> Artifact:
        """Open the first input that can serve as `kind`. Raises UnknownArtifact if none is left."""
        from storage.errors import Fault, UnknownArtifact

        found = next(self.inputs(kind), None)
        if found is None:
            names = ", ".join(r.label for r in self.manifest.inputs.values()) or "nothing"
            remedy = "Run the recipe again: it builds what is gone."
            what = f"no {kind.name} that it was made from"
            raise UnknownArtifact(Fault(self.label, what, f"one of {names}", remedy))
        return found


class Walk(Protocol):
    """What a trace has found so far, as the types ask it: later artifacts build on earlier ones."""

    urls: set[str]
    ids: set[str]

    def key(self) -> tuple[Literal["url", "document_id"], set[str]]:
        """Name the column that is looked for, and its values."""

    def learn(self, documents: Iterable[tuple[str, str]]) -> None:
        """Add (document id, URL) pairs to what is looked for from here on."""

    def known(self, artifact: Artifact, kind: ArtifactType) -> Finding | None:
        """Give what its first input of `kind` knew. Raises InputGone if that could not be asked."""


class InputGone(Exception):
    """What an artifact was made from cannot be read, so what it saw is not known."""


class TakedownSearch(Protocol):
    """What was taken down, as the types ask it; docs/takedown.md has the whole."""

    artifacts: Sequence[Artifact]
    """All that are searched."""

    gave: dict[str, set[str]]
    """By page: the documents that cleanings made of it, kept or dropped, as far as is known yet."""

    @property
    def forgotten(self) -> Forgotten:
        """Give the takedowns that are looked for."""

    @property
    def documents(self) -> frozenset[str]:
        """Give the ids of all documents that are covered, as far as their URLs are known."""

    def covered(self, paths: Iterable[Path]) -> frozenset[str]:
        """Give the covered ones of the documents or pages that tables name with their URLs."""

    def held(self, artifact: Artifact) -> Held:
        """Give what an artifact holds; each content is read once. Nothing if it is unreadable."""

    def reading(self, artifact: Artifact) -> AbstractContextManager[None]:
        """Note, and go on, if an artifact cannot be read: it may hold something."""


@dataclass(frozen=True)
class ArtifactType:
    """A kind of artifact of which nothing is known but its tables; known kinds override more.

    `unit` names its rows, or what the stat `counted_in` counts. `form` says what loads it once it
    is exported. Whatever lies under `root` goes to the top of an exported folder. `also` names
    types that it can serve as. What is trained has learnt from content that cannot be taken out,
    which is counted in what it `learns`. What `lists_documents` has a row with the id and the URL
    of each document that is in it.
    A model that `chats` answers questions; another continues text.

    `loader` is the function that loads an exported folder, and `load` Python that does so and looks
    into it: imports, an empty line, the rest, which finds it in `folder` and, for a model, what to
    say to it in `prompt`. Where `load` is empty,
    `datasets` loads the tables. `forms` are others that it can be exported in. `notes` are
    sentences for people who load it, by the path or folder that has to be there.
    """

    name: str
    unit: str = "rows"
    tables: tuple[Table, ...] = ()
    form: ClassVar[Form] = "dataset"
    counted_in: ClassVar[str] = ""
    root: ClassVar[str] = ""
    also: ClassVar[tuple[str, ...]] = ()
    is_trained: ClassVar[bool] = False
    chats: ClassVar[bool] = False
    loader: ClassVar[str] = "datasets.load_dataset"
    load: ClassVar[str] = ""
    forms: ClassVar[Mapping[str, ExportForm]] = {}
    notes: ClassVar[Mapping[str, str]] = {}
    learns: ClassVar[str] = "tokens"
    lists_documents: ClassVar[bool] = False

    def serves(self, kind: ArtifactType) -> bool:
        """Say whether it can be given where `kind` is asked for."""
        return kind.name in (self.name, *self.also)

    def amount(self, manifest: Manifest) -> str:
        """Say how much it holds, in its unit."""
        found = manifest.stats.get(self.counted_in)
        return f"{found if isinstance(found, int) else manifest.rows_out:,} {self.unit}"

    def tables_in(self, manifest: Manifest) -> tuple[Table, ...]:
        """Give its tables; where a type names none, one for each folder of Parquet files."""
        if self.tables or self.form != "dataset":
            return self.tables
        places: dict[str, None] = {}
        for entry in manifest.files:
            folder, slash, file = entry.path.rpartition("/")
            if file.endswith(".parquet"):
                places[folder + slash or file] = None
        return tuple(
            table(place.removesuffix(".parquet").strip("/").replace("/", "_"), place, "")
            for place in places
        )

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give a few pieces of what is in it, as plain text; models answer `prompts`.

        All of it may come from the web: whoever shows it has to fence it.
        """
        return iter(())

    def model(self, artifact: Artifact) -> LanguageModel:
        """Load the model in it. Raises RequestError if it has none."""
        from storage.errors import Fault, RequestError

        remedy = "`phusa artifacts` lists what there is; its JSON says of which type."
        what = f"an artifact of type {self.name}, with no model in it"
        expected = "a model or an adapter"
        raise RequestError(Fault(artifact.label, what, expected, remedy, "no_model"))

    def excerpts(self, artifact: Artifact, wanted: Wanted) -> Excerpts:
        """Draw rows at random to be looked at: here, of its first table.

        Raises RequestError for what it cannot show. All of it may come from the web.
        """
        from tasks.artifacts.excerpts import Draw, Excerpt, Excerpts
        from tasks.artifacts.prose import as_yaml

        table = next(iter(self.tables_in(artifact.manifest)), None)
        if table is None or wanted.dropped or wanted.language:
            raise self.cannot_show(artifact, wanted)
        draw = Draw(wanted)
        for place in table.splits.values():
            draw.offer(artifact, place)
        found = (
            Excerpt(row.get("document_id", ""), row.get("url", ""), text=as_yaml(row))
            for row in draw.rows()
        )
        return Excerpts(draw.total, tuple(found))

    def summary(self, artifact: Artifact) -> Iterator[str]:
        """Tell what was measured of it that its stats do not say, in a few lines."""
        return iter(())

    def drift(self, old: Artifact, new: Artifact) -> Finding | None:
        """Compare the content of two of them, where that is more than their tables."""
        return None

    def cannot_show(self, artifact: Artifact, wanted: Wanted) -> RequestError:
        """Make the error that says what of it can be shown instead."""
        from storage.errors import Fault, RequestError

        of, where = f"an artifact of type {self.name}", artifact.label
        remedy = f"`phusa show {where}` says what is in it."
        if wanted.language:
            found, expected = f"{of}, which tells no language of its {self.unit}", "no --language"
        elif wanted.dropped:
            found, expected = f"{of}, which does not list what was dropped", "--kept alone"
        else:
            found, expected = f"{of}, which has no rows", "an artifact with rows"
            remedy = f"`phusa sample {where} PROMPT` writes text with it."
        return RequestError(Fault(where, found, expected, remedy, "cannot_show"))

    def scores(self, artifact: Artifact) -> list[Score]:
        """Give what a model was measured to reach, beside what it is to beat."""
        return []

    def write_form(self, artifact: Artifact, form: str, folder: Path) -> None:
        """Write its files in one of its `forms` into an empty folder.

        Raises RequestError if it does not fit into that form.
        """
        raise NotImplementedError(f"{self.name} as {form}")

    # --- following a page through it --------------------------------------------------------------

    def trace(self, artifact: Artifact, walk: Walk) -> Finding | None:
        """Tell what it knows of the page that is followed, or None."""
        return None

    def learnt(self, artifact: Artifact) -> Learnt | None:
        """Count what its training read, by document; what its base had read is not in it."""
        return None

    # --- taking content out of it -----------------------------------------------------------------

    def held(self, artifact: Artifact, search: TakedownSearch) -> Held:
        """Find what was taken down in it: in its tables, where they name documents or pages with
        their URLs."""
        places = [place for each in self.tables for place in each.splits.values()]
        ids = search.covered(path for place in places for path in artifact.files(place))
        return Held(ids, len(ids))

    def named(self, artifact: Artifact) -> Iterable[str]:
        """Name, by id alone, the documents that it holds some of without their URLs."""
        return ()

    def saw(
        self, artifact: Artifact, search: TakedownSearch, earlier: Mapping[str, Saw]
    ) -> Saw | None:
        """Count what it learnt from; `earlier` has, by label, what models before it saw."""
        return None


class Plain(ArtifactType):
    """Files of which nothing is known."""

    def held(self, artifact: Artifact, search: TakedownSearch) -> Held:
        """Find what was taken down in any of its tables."""
        ids = search.covered(p for p in artifact.files("") if p.suffix == ".parquet")
        return Held(ids, len(ids))


PLAIN = Plain("artifact")
"""The type of what no registered stage made, in a store that another phusa has written."""
