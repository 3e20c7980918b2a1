"""Which files a source reads, on a disk or under s3://, always in the same order."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath

from storage.backends import Backend
from storage.errors import Fault, RequestError

_WILD = re.compile(r"[*?\[]")
S3 = "s3://"
_LISTS = (".paths", ".paths.gz")
_SHOWN = 5


@dataclass(frozen=True)
class Input:
    """A file to read: its name, which is the same on every machine, and where it lies."""

    name: str
    address: str


def find_inputs(
    paths: Sequence[str], suffixes: Sequence[str], prefix: str | None = None
) -> list[Input]:
    """Find the files that `paths` name: files, folders (by suffix, with all below them) and globs.

    With a `prefix`, also lists of files (`*.paths`, `*.paths.gz`), each line joined to it. In the
    order of `paths`, folders and globs sorted, each file once; hidden files are left. Raises
    RequestError for all paths without a file, and for two files of one name.
    """
    found: dict[str, Input] = {}
    faults: list[Fault] = []
    for path in paths:
        try:
            is_list = prefix is not None and path.endswith(_LISTS)
            files = _listed(path, prefix or "") if is_list else _files(path, suffixes)
        except RequestError as error:
            faults += error.faults
            continue
        for file in files:
            found.setdefault(file.address, file)
        if not files:
            faults.append(_missing(path, suffixes))
    if faults:
        raise RequestError(faults)
    twice = [name for name, num in Counter(f.name for f in found.values()).items() if num > 1]
    if twice:
        names = f"{len(twice)} names twice, such as {twice[0]}"
        remedy = "Give the folder that holds both: names are the paths below what is given."
        expected = "files with distinct names"
        raise RequestError(Fault("crawl.source", names, expected, remedy, "same_names"))
    return list(found.values())


def _listed(path: str, prefix: str) -> list[Input]:
    """Read the files of a list; whether those in a bucket are there, reading will tell."""
    start = f"{prefix.rstrip('/')}/" if prefix else ""
    files = [Input(line, f"{start}{line}") for line in _lines(path)]
    local = (file.address for file in files if not file.address.startswith(S3))
    absent = [address for address in local if not Path(address).is_file()]
    if absent:
        found = f"{len(absent)} of {len(files)} files absent, such as {', '.join(absent[:_SHOWN])}"
        remedy = "Fetch them, or set crawl.source.prefix to where they lie."
        where = f"crawl.source: {path}"
        raise RequestError(Fault(where, found, "files that exist", remedy, "missing_file"))
    return files


@contextmanager
def local_file(file: Input, scratch: Path) -> Iterator[Path]:
    """Open the input as a local file; one in a bucket is copied to `scratch` for the while.

    Raises RequestError if it is not there.
    """
    if not file.address.startswith(S3):
        if not Path(file.address).is_file():
            raise RequestError(_missing(file.address, ()))
        yield Path(file.address)
        return
    copy = scratch / f"input{PurePosixPath(file.name).suffix}"
    try:
        with copy.open("wb") as target:
            for chunk in _chunks(file.address):
                target.write(chunk)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _lines(path: str) -> list[str]:
    """Read the lines of a text file, unpacked if its name ends with `.gz`, without empty ones."""
    try:
        if path.startswith(S3):
            data = b"".join(_chunks(path))
        else:
            data = Path(path).expanduser().read_bytes()
        text = (gzip.decompress(data) if path.endswith(".gz") else data).decode()
    except FileNotFoundError:
        raise RequestError(_missing(path, ())) from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        remedy = "Fetch it again."
        raise RequestError(Fault(path, str(error), "a list of paths", remedy)) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _files(path: str, suffixes: Sequence[str]) -> list[Input]:
    if path.startswith(S3):
        return _in_bucket(path, suffixes)
    place = Path(path).expanduser()
    if place.is_dir():
        return [_input(name, str(place / name)) for name in sorted(_below(place, suffixes))]
    if place.is_file():
        return [_input(place.name, str(place))]
    if not _WILD.search(path):
        return []
    root = Path(_fixed(place.as_posix()))
    matches = sorted(root.glob(place.relative_to(root).as_posix()))
    return [_input(m.relative_to(root).as_posix(), str(m)) for m in matches if m.is_file()]


def _input(name: str, address: str) -> Input:
    """A name's bytes need not be UTF-8; those that are not are written out."""
    return Input(os.fsencode(name).decode(errors="backslashreplace"), address)


def _below(folder: Path, suffixes: Sequence[str]) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if _is_wanted(name, suffixes) and (Path(root) / name).is_file():
                yield (Path(root) / name).relative_to(folder).as_posix()


def _is_wanted(name: str, suffixes: Sequence[str]) -> bool:
    return not name.startswith(".") and name.lower().endswith(tuple(suffixes))


def _in_bucket(path: str, suffixes: Sequence[str]) -> list[Input]:
    """One with a known suffix is a file, of which reading will tell whether it is there."""
    bucket, _, key = path.removeprefix(S3).partition("/")
    if not _WILD.search(key) and key.lower().endswith(tuple(suffixes)):
        return [Input(PurePosixPath(key).name, path)]
    root = _fixed(key) if _WILD.search(key) else key.rstrip("/")
    names = _bucket(bucket).sizes(root)
    prefix = f"{root}/" if root else ""
    if _WILD.search(key):
        chosen = [name for name in names if fnmatchcase(f"{prefix}{name}", key)]
    else:
        chosen = [name for name in names if _is_wanted(PurePosixPath(name).name, suffixes)]
    return [Input(name, f"{S3}{bucket}/{prefix}{name}") for name in sorted(chosen)]


def _fixed(pattern: str) -> str:
    """Return the folders of a glob before its first wild card."""
    parts = pattern.split("/")
    wild = next(i for i, part in enumerate(parts) if _WILD.search(part))
    return "/".join(parts[:wild]) or ("/" if pattern.startswith("/") else "")


@lru_cache(maxsize=4)
def _bucket(name: str) -> Backend:
    """A client takes 0.3 s to make."""
    from storage.backends.s3 import S3Backend  # aiobotocore: 0.5 s, and only wanted here

    return S3Backend(f"{S3}{name}")


def _chunks(address: str) -> Iterator[bytes]:
    bucket, _, key = address.removeprefix(S3).partition("/")
    try:
        yield from _bucket(bucket).chunks(key)
    except FileNotFoundError:
        raise RequestError(_missing(address, ())) from None


def _missing(path: str, suffixes: Sequence[str]) -> Fault:
    kinds = f" ({', '.join(suffixes)})" if suffixes else ""
    found, code = "no such file", "missing_file"
    if not path.startswith(S3) and Path(path).expanduser().is_dir():
        found, code = "a folder without such a file", "empty_folder"
    remedy = "Check the spelling, and that this machine can see it."
    expected = f"a file or a folder of files{kinds}"
    return Fault(f"crawl.source: {path}", found, expected, remedy, code)
