"""Personal data beside datatrove's formatter, the one of FineWeb: speed, and what each takes.

`python -m benchmarks.personal_data --datatrove FOLDER`, FOLDER being one that
`pip install --no-deps --target FOLDER datatrove loguru dill humanize multiprocess` filled. The text
is that of the HTML under /usr/share/doc (python3.11-doc, postgresql-doc-15). `--show KIND` prints
what a kind takes, in its surroundings: read it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.ledger import record
from tasks.clean.config import CleanConfig
from tasks.clean.extractors import Resiliparse
from tasks.clean.pii import mask
from tasks.clean.pii.masking import Passage
from tasks.clean.text import decode, tidy

COMMAND = "python -m benchmarks.personal_data --datatrove FOLDER"
FOLDERS = ("python3.11/html", "postgresql-doc-15/html")
KINDS = CleanConfig().pii
REPEATS = 3


def texts(folders: Sequence[Path]) -> list[str]:
    """The text of every HTML file."""
    extract = Resiliparse().extract
    pages = (page for folder in folders for page in sorted(folder.rglob("*.html")))
    return [tidy(extract(decode(page.read_bytes(), ""), "").text) for page in pages]


def speed(work: Callable[[str], object], documents: Sequence[str]) -> float:
    """Megabytes of UTF-8 in a second of CPU time; the best of some runs."""
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        for text in documents:
            work(text)
        seconds.append(time.process_time() - start)
    return sum(len(text.encode()) for text in documents) / 1e6 / min(seconds)


def show(kind: str, documents: Sequence[str]) -> None:
    """Print each match of a kind, once, in its surroundings."""
    member = next(member for member in KINDS if member.kind == kind)
    seen: set[str] = set()
    for text in documents:
        for start, end in member.spans(Passage(text)):
            if text[start:end] not in seen:
                seen.add(text[start:end])
                around = (
                    f"{text[max(0, start - 30) : start]}⟦{text[start:end]}⟧{text[end : end + 15]}"
                )
                print(" ".join(around.split()))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datatrove", type=Path)
    parser.add_argument("--show", choices=[member.kind for member in KINDS])
    parser.add_argument("folders", nargs="*", type=Path)
    options = parser.parse_args()
    folders = options.folders or [Path("/usr/share/doc") / name for name in FOLDERS]
    documents = texts(folders)
    if options.show:
        show(options.show, documents)
        return
    taken = Counter(kind for text in documents for kind in mask(text, KINDS)[1])
    print(f"{len(documents)} documents; taken:", dict(sorted(taken.items())))
    ours = speed(lambda text: mask(text, KINDS), documents)
    print(f"all kinds: {ours:.0f} MB/s")
    if options.datatrove:
        sys.path.append(str(options.datatrove))
        from datatrove.pipeline.formatters import PIIFormatter

        peer = speed(PIIFormatter().format, documents)
        record(
            "personal data",
            f"all six kinds (datatrove: e-mail and IPv4), text of {len(documents)} manual pages",
            f"{ours:.0f} MB/s of CPU time",
            f"datatrove {peer:.0f} MB/s",
            f"{ours / peer:.2f}",
            COMMAND,
        )


if __name__ == "__main__":
    main()
