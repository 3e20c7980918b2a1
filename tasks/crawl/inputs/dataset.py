"""The rows of a dataset, by the `datasets` library, without a word to any hub.

The library would fetch whatever it does not find: a path that is a hub's, a URL in `data_files` or
in a dataset card. All three are refused before it is asked, and its own offline switch is on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import yaml

from storage.errors import Fault, RequestError
from tasks.crawl.inputs.found import Found, bad
from tasks.crawl.inputs.rows import RowReader
from tasks.crawl.inputs.tables import check_columns
from tasks.crawl.inputs.text import modified

if TYPE_CHECKING:
    from tasks.crawl.sources.dataset import DatasetSource

Row = Mapping[str, Any]

_DAMAGE = (pa.ArrowException, OSError, EOFError, ValueError)
_UNDATED = datetime.fromtimestamp(0, UTC)
_LOCAL = "a dataset on this machine"
_DOWNLOAD = "Download it first: `hf download --repo-type dataset NAME --local-dir FOLDER`."


def check_local(source: DatasetSource) -> None:
    """Raise RequestError for anything that is not on this machine."""
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as FORMATS

    folder = Path(source.path).expanduser()
    if not folder.exists() and source.path not in FORMATS:
        found = f"{source.path}: no folder here, and no format"
        raise RequestError(Fault("crawl.source.path", found, _LOCAL, _DOWNLOAD))
    if source.path in FORMATS and not folder.exists() and not source.data_files:
        remedy = f"Name the files that are {source.path}."
        raise RequestError(Fault("crawl.source.data_files", "nothing", "files or globs", remedy))
    remote = [one for one in (*source.data_files, *_card_files(folder)) if "://" in one]
    if remote:
        found = ", ".join(remote[:5])
        raise RequestError(Fault("crawl.source.data_files", found, _LOCAL, _DOWNLOAD))


def _card_files(folder: Path) -> Iterator[str]:
    """Every text in the `configs` of a dataset's card, where its files are named."""
    card = folder / "README.md"
    if not card.is_file():
        return
    _, marker, rest = card.read_text(errors="replace").partition("---\n")
    try:
        facts = yaml.safe_load(rest.partition("\n---")[0]) if marker else None
    except yaml.YAMLError:
        return
    yield from _texts(facts.get("configs") if isinstance(facts, dict) else None)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def read_dataset(name: str, source: DatasetSource, scratch: Path) -> Iterator[Found]:
    """The pages of a dataset; reading ends where it is damaged.

    Raises RequestError for a configuration, split or column that it does not have.
    """
    reader = RowReader(name, source, _written(source))
    number = 0
    damage = _damage()
    with _offline():
        rows = iter(_rows(source, scratch))
        try:
            first = next(rows, None)
            if first is not None:
                check_columns(name, list(first), source)
            for row in itertools.chain([] if first is None else [first], rows):
                yield reader.read(number, row)
                number += 1
        except damage as error:
            yield bad(reader.place(number), str(error), "a whole dataset")


def _rows(source: DatasetSource, scratch: Path) -> Iterable[Row]:
    import datasets

    folder = Path(source.path).expanduser()
    path = str(folder) if folder.exists() else source.path
    damage = _damage(KeyError)
    try:
        if (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
            saved = datasets.load_from_disk(path)
            rows: Iterable[Row] = saved[source.split] if isinstance(saved, dict) else saved
            return rows
        rows = datasets.load_dataset(
            path,
            source.name,
            split=source.split,
            data_files=list(source.data_files) or None,
            cache_dir=str(scratch / "datasets"),
            streaming=True,
        )
    except damage as error:
        remedy = "Check path, name, split and data_files."
        found = " ".join(str(error).split())[:300]
        raise RequestError(Fault("crawl.source", found, _LOCAL, remedy)) from error
    return rows


def _damage(*more: type[Exception]) -> tuple[type[Exception], ...]:
    from datasets.exceptions import DatasetsError

    return (*_DAMAGE, DatasetsError, *more)


def _written(source: DatasetSource) -> datetime:
    """When the dataset, or the first of its files, was last written; 1970 if that is not known."""
    places = (Path(one).expanduser() for one in (source.path, *source.data_files))
    return next((modified(place) for place in places if place.exists()), _UNDATED)


@contextmanager
def _offline() -> Iterator[None]:
    """Both libraries read the environment once, when they are imported."""
    import datasets.config
    import huggingface_hub.constants

    places: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [place.HF_HUB_OFFLINE for place in places]
    for place in places:
        place.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value
