"""What an artifact is to its ecosystem (model, tokenizer or dataset), and which file goes where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from storage.errors import Fault, RequestError
from storage.manifest import FileEntry, Manifest

Kind = Literal["model", "tokenizer", "dataset"]
TRAIN = "train"


@dataclass(frozen=True)
class Table:
    """One configuration of a dataset: for each split a Parquet file, or a folder of them."""

    name: str
    splits: Mapping[str, str]
    says: str

    def rows(self, manifest: Manifest) -> dict[str, int]:
        """Rows of each split that has any; the others cannot be loaded."""
        counts = {
            split: sum(entry.rows or 0 for entry in manifest.files if _belongs(entry, place))
            for split, place in self.splits.items()
        }
        return {split: count for split, count in counts.items() if count}


# The first table of a stage is what `load_dataset` gives without a name.
TABLES: dict[str, tuple[Table, ...]] = {
    "crawl": (
        Table("pages", {TRAIN: "pages/"}, "one row for each page, its body left to `warc/`"),
        Table("fetches", {TRAIN: "fetches/"}, "when each page was fetched, and where in `warc/`"),
        Table("rejects", {TRAIN: "rejects.parquet"}, "URLs that gave no page, and why"),
        Table("hosts", {TRAIN: "hosts.parquet"}, "what was asked of each host, and how it went"),
    ),
    "clean": (
        Table("documents", {TRAIN: "documents/"}, "the text of each page that was kept"),
        Table("rejects", {TRAIN: "rejects/"}, "pages that were dropped, and why"),
        Table("origins", {TRAIN: "origins/"}, "which page of the crawl a document came from"),
        Table("signals", {TRAIN: "signals/"}, "what was measured of each text, kept or not"),
    ),
    "quality": (
        Table("scores", {TRAIN: "scores/"}, "the score of each document, where one is on"),
        Table("rejects", {TRAIN: "rejects/"}, "documents that scored too low"),
    ),
    "dedup": (
        Table("documents", {TRAIN: "documents/"}, "the documents without their duplicates"),
        Table("duplicates", {TRAIN: "duplicates.parquet"}, "what was dropped in favour of what"),
        Table("cut_lines", {TRAIN: "cuts/lines/"}, "lines that were cut out of documents"),
        Table("cut_passages", {TRAIN: "cuts/substring/"}, "passages that were cut out"),
        Table("contaminated", {TRAIN: "contaminated/"}, "what stood in an evaluation set"),
    ),
    "shard": (
        Table(
            "sequences",
            {TRAIN: "train/", "validation": "validation/"},
            "token ids, and which positions come from which document",
        ),
    ),
}
PAIRS = Table(
    "pairs",
    {TRAIN: "pairs/train.parquet", "validation": "pairs/validation.parquet"},
    "the questions and answers that the adapter was taught, and those held out",
)
STEPS = "pairs/steps.parquet"
_OTHERS: dict[str, Kind] = {"pretrain": "model", "finetune": "model", "tokenizer": "tokenizer"}
MERGED = "merged/"  # what lies under it goes to the root of a fine-tuned model's folder


def kind_of(manifest: Manifest) -> Kind:
    """What an artifact is exported as. Raises RequestError for one that has no such form."""
    if manifest.name in TABLES:
        return "dataset"
    if manifest.name in _OTHERS:
        return _OTHERS[manifest.name]
    known = ", ".join([*TABLES, *_OTHERS])
    remedy = "Its own folder in the store is readable as it is: `phusa show` lists the files."
    raise RequestError(Fault("phusa export", manifest.label, f"one of {known}", remedy))


def layout(manifest: Manifest) -> dict[str, FileEntry]:
    """The artifact's files by the path that each gets in the exported folder.

    Tables without a row stay behind: `datasets` 5 cannot read them (ArrowInvalid).
    """
    kind_of(manifest)
    return {
        entry.path.removeprefix(MERGED) if manifest.name == "finetune" else entry.path: entry
        for entry in manifest.files
        if entry.rows != 0
    }


def data_files(table: Table, manifest: Manifest) -> list[dict[str, str]]:
    """The `data_files` of a dataset card: where `datasets` finds each split."""
    return [
        {"split": split, "path": pattern(table.splits[split])} for split in table.rows(manifest)
    ]


def pattern(place: str) -> str:
    """A table's place as `datasets` and people write it: `documents/*.parquet`."""
    return f"{place}*.parquet" if place.endswith("/") else place


def _belongs(entry: FileEntry, place: str) -> bool:
    return entry.path.startswith(place) if place.endswith("/") else entry.path == place
