"""A folder of documents: HTML, plain text, Markdown and EPUB books."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from storage.errors import Fault, RequestError
from tasks.config import knob
from tasks.crawl.captures import Found, url_below
from tasks.crawl.inputs.listing import Input, find_inputs, local_file
from tasks.crawl.sources.local import HTML_TEXT, Content, LocalSource
from tasks.foresight import Span, exactly

BASE_URL = (
    "what a file's path below the folder is put behind to be its URL, the same on every machine: "
    "file:/// or the http(s) address of the place that the files come from"
)
BASE_PATTERN = r"^(file:///|https?://[^/?#]+)[^?#]*$"
_SUFFIXES = (".html", ".htm", ".xhtml", ".txt", ".md", ".epub")


class FilesSource(LocalSource):
    """Every HTML, text, Markdown and EPUB file of a folder; of a book each chapter is a page."""

    kind: Literal["files"] = "files"
    path: str = knob(..., "the folder, with all below it, on this machine or under s3://")
    include: tuple[str, ...] = knob(
        (),
        "shell patterns (`*` stands for slashes, too); a path below the folder must match one. "
        "Empty: every file of a known kind",
    )
    exclude: tuple[str, ...] = knob((), "shell patterns; a path that matches one is left")
    base_url: str = knob("file:///", BASE_URL, pattern=BASE_PATTERN)
    max_page_bytes: int = knob(
        10_000_000, "bytes of one file, or of one chapter; a larger one is rejected", ge=1_000
    )

    def inputs(self) -> list[Input]:
        """List the files, sorted by path; raises RequestError if there is none."""
        if not self.path.startswith("s3://") and not Path(self.path).expanduser().is_dir():
            remedy = "Check the spelling, and that this machine can see it."
            where, code = "crawl.source.path", "missing_folder"
            raise RequestError(Fault(where, self.path, "a folder", remedy, code))
        found = find_inputs([self.path], _SUFFIXES)
        chosen = [file for file in found if self._admits(file.name)]
        if not chosen:
            found_ = f"{len(found)} files, and none that include and exclude let pass"
            remedy = "Patterns are matched with the whole path below the folder: `*/notes/*.md`."
            where, code = "crawl.source.include", "no_matching_file"
            raise RequestError(Fault(where, found_, "at least one file", remedy, code))
        return chosen

    def addresses(self) -> Iterator[str] | None:
        """Give each file's URL; a book's chapters are known when it is read."""
        with suppress(RequestError):
            names = [file.name for file in self.found]
            if names and not any(name.lower().endswith(".epub") for name in names):
                return (url_below(self.base_url, name) for name in names)
        return None

    def content(self, files: Sequence[Input], num_bytes: float) -> Content:
        """Expect 5 to 40 chapters in a book, each a page, packed 2 to 4 times."""
        books = sum(file.name.lower().endswith(".epub") for file in files) / len(files)
        plain = sum(file.name.lower().endswith((".txt", ".md")) for file in files) / len(files)
        pages = Span(1 - books, 1 - books) + Span(5, 40) * books
        body = exactly(num_bytes) * (Span(1 - books, 1 - books) + Span(2, 4) * books)
        text = body * (Span(0.9, 1) * plain + HTML_TEXT * (1 - plain))
        return Content.of_files(pages * len(files), body, text)

    def read(self, file: Input, scratch: Path) -> Iterator[Found]:
        """Yield the pages of one file."""
        from tasks.crawl.inputs.files import read_document

        with local_file(file, scratch) as path:
            yield from read_document(file.name, path, self.base_url, self.max_page_bytes)

    def _admits(self, name: str) -> bool:
        if any(fnmatchcase(name, pattern) for pattern in self.exclude):
            return False
        return not self.include or any(fnmatchcase(name, pattern) for pattern in self.include)
