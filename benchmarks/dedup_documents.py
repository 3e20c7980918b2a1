"""Real documents for the benchmarks of dedup, and its steps one after the other, timed.

The documents are sections of the documentation that Debian installs.

Debian packages: libstdc++-12-doc, postgresql-doc-15, python3.11-doc, debian-handbook,
installation-guide-amd64; what is not there is left out. Near-duplicates are there by nature (the
same page of several classes, handbooks in languages that were translated in part), and copies with
words changed are added, the same each time.
"""

from __future__ import annotations

import gzip
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from storage.parquet import write_table
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.dedup.config import DedupConfig
from tasks.dedup.work import DedupWork, deduplicate

FOLDER = Path("/usr/share/doc")
PAGES = ("*.html", "*.html.gz")
TEXTS = ("changelog*.gz", "NEWS*", "README*", "*.txt", "*.txt.gz")
_NOT_TEXT = re.compile(r"(?s)<(script|style)\b.*?</\1>|<!--.*?-->")
_BLOCK = re.compile(r"(?i)</?(p|div|h\d|li|tr|dt|dd|pre|table|br|section)\b[^>]*>")
_TAG = re.compile(r"<[^>]*>")
# How many words of a copy are changed, each as often as the others.
_CHANGES = (0, 0, 1, 2, 4, 8, 16, 40)


def document_table(columns: Mapping[str, Any], num_rows: int) -> pa.Table:
    """Documents with these columns, and nothing in the others."""
    nothing: dict[pa.DataType, Any] = {pa.string(): "", pa.float32(): 0.0, pa.int32(): 0}
    arrays = []
    for field in DOCUMENT:
        if field.name in columns:
            values = columns[field.name]
        else:
            empty = [] if pa.types.is_list(field.type) else nothing.get(field.type)
            values = [None if field.nullable else empty] * num_rows
        plain = values if isinstance(values, pa.Array) else pa.array(values)
        arrays.append(plain.cast(field.type))
    return pa.table(arrays, DOCUMENT)


def sections(most_letters: int, patterns: Sequence[str] = PAGES) -> Iterator[tuple[str, str]]:
    """URL and text of each section of each file with such a name, in the order of their paths.

    A section is so many letters at most, cut between lines, and 400 at least.
    """
    for path in sorted({path for pattern in patterns for path in FOLDER.rglob(pattern)}):
        if not path.is_file():
            continue
        body = path.read_bytes()
        body = gzip.decompress(body) if path.suffix == ".gz" else body
        url = f"https://doc.example.org/{path.relative_to(FOLDER)}"
        whole = body.decode("utf-8", "replace")
        whole = _plain(whole) if ".html" in path.suffixes else whole
        for number, text in enumerate(_cut(whole, most_letters)):
            yield f"{url}#{number}", text


def _plain(html: str) -> str:
    text = unescape(_TAG.sub(" ", _BLOCK.sub("\n", _NOT_TEXT.sub(" ", html))))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _cut(text: str, most_letters: int) -> Iterator[str]:
    while len(text) > most_letters:
        end = text.rfind("\n", most_letters // 2, most_letters)
        end = most_letters if end < 0 else end
        yield text[:end]
        text = text[end:].lstrip()
    if len(text) >= 400:
        yield text


def with_copies(found: Sequence[tuple[str, str]], seed: int = 1) -> list[tuple[str, str]]:
    """These documents and one copy of each, in a random order; some words of most are changed."""
    draw, both = random.Random(seed), []
    for url, text in found:
        both += [(url, text), (f"{url}-copy", edited(text, draw.choice(_CHANGES), draw))]
    draw.shuffle(both)
    return both


def edited(text: str, num_changes: int, draw: random.Random) -> str:
    """The text with so many words, or less, replaced by others of its words."""
    words = text.split(" ")
    for _ in range(num_changes):
        words[draw.randrange(len(words))] = draw.choice(words)
    return " ".join(words)


def run_steps(
    documents: Sequence[Path], root: Path, num_threads: int = 2
) -> Iterator[tuple[str, float]]:
    """Name and seconds of each step as it ends, over all its shards in some threads; the first is
    `compile`, on two documents."""
    yield "compile", _timed(compile_kernels)
    work = DedupWork(tuple(documents), (), DedupConfig(), root)
    with ThreadPoolExecutor(num_threads) as pool:

        def every(step: Callable[[int], object], count: int) -> Callable[[], object]:
            return lambda: list(pool.map(step, range(count)))

        yield "sign", _timed(every(work.sign, work.num_shards))
        yield "link", _timed(every(work.link, work.num_groups))
        yield "connect", _timed(work.connect)
        yield "shortlist", _timed(every(work.shortlist, work.num_listed))
        yield "match", _timed(every(work.match, work.num_parts))
        yield "conclude", _timed(work.conclude)
        yield "filter", _timed(every(work.filter, work.num_shards))
        yield "index", _timed(every(work.index, work.num_groups))


def compile_kernels() -> None:
    """Compile them, or read them from numba's cache, on two documents that are alike."""
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "corpus")
        columns = {"document_id": ["0" * 32, "1" * 32], "url": ["a", "b"], "text": ["a b", "a b"]}
        write_table(workspace, "documents.parquet", document_table(columns, 2))
        documents = (workspace.data / "documents.parquet",)
        deduplicate(DedupWork(documents, (), DedupConfig(), Path(folder) / "dedup"))


def _timed(step: Callable[[], object]) -> float:
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun
