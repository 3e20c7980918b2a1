"""One row for each figure in docs/benchmarks.md, replaced when its benchmark runs again."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def record(key: str, what: str, ours: str, peer: str, ratio: str, command: str) -> None:
    """Print a figure and write it into the page's first table, under its key."""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    row = f"| {key} | {what} | {ours} | {peer} | {ratio} | `{command}` | {day}, {machine()} |"
    print(row)
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(f"| {key} |")]
    last = next(i for i, line in enumerate(kept) if line.startswith("|"))
    while last + 1 < len(kept) and kept[last + 1].startswith("|"):
        last += 1
    PAGE.write_text("\n".join([*kept[: last + 1], row, *kept[last + 1 :]]) + "\n", encoding="utf-8")


def machine() -> str:
    """The processor's name and the number of cores."""
    import os

    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{os.cpu_count()} cores of {name}"
