"""What stands in the fences of README.md and docs/*.md, and what a page says of it.

A comment before a fence, which readers do not see, tells the tests what it is:

    <!-- in: crawl -->                the Python runs in the files of the store's newest crawl
    <!-- run by: tests/test_x.py -->  that test runs it
    <!-- all run by: tests/test_x.py -->  at the beginning of a page: that test runs all of them
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(
    r"(?:^ *<!-- (?P<key>[a-z ]+): (?P<value>[^\n]+?) -->\n\s*)?"
    r"^(?P<indent> *)```(?P<language>[a-z]*)\n(?P<body>.*?)^(?P=indent)```$",
    re.M | re.S,
)
# What lines of a shell begin with; every other line of a fence is what a command prints.
OURS = frozenset({"phusa", "prefect", "make", "python"})
_OTHERS = """apt cd cp dask docker export git install journalctl kubectl pg_dump pg_restore pip
python3.11 ray rsync sed set sqlite3 ssh sudo systemctl tensorboard"""
OTHERS = frozenset(_OTHERS.split())


@dataclass(frozen=True)
class Snippet:
    """One fence: its page, the line it begins at, its language, its text, and its mark."""

    page: Path
    line: int
    language: str
    body: str
    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    def commands(self) -> Iterator[str]:
        """Give the lines of a shell: without their explanation, continued lines as one."""
        if self.language not in ("", "sh"):
            return
        lines = iter(self.body.replace("\\\n", " ").splitlines())
        for line in lines:
            if program_of(line) in OURS | OTHERS:
                command = re.split(r"\s{3,}(?=\S)|\s+# ", line.strip())[0]
                while not is_closed(command) and (more := next(lines, None)) is not None:
                    command += "\n" + more
                yield command


def program_of(line: str) -> str:
    """Give the program that a line calls, after what it sets for it; empty if it calls none."""
    words = [word for word in line.split() if not re.match(r"[A-Z_]+=", word)]
    return words[0].removeprefix(".venv/bin/") if words else ""


def is_closed(line: str) -> bool:
    """Whether every quotation that a line opens is closed."""
    try:
        shlex.split(line)
    except ValueError:
        return False
    return True


def snippets_of(page: Path) -> list[Snippet]:
    """Find the fences of a page, in their order."""
    text = page.read_text()
    whole = re.search(r"^<!-- all run by: ([^\n]+?) -->$", text, re.M)
    elsewhere = ("run by", whole[1]) if whole else ("", "")
    return [
        Snippet(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            textwrap.dedent(found["body"]),
            found["key"] or elsewhere[0],
            found["value"] or elsewhere[1],
        )
        for found in _FENCE.finditer(text)
    ]


SNIPPETS = [snippet for page in PAGES for snippet in snippets_of(page)]
