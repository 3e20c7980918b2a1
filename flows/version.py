"""Which phusa this is, and what it runs on."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from pathlib import Path


def versions() -> str:
    """`phusa 0.1.0 (commit 1a2b3c4), Python 3.13.1, prefect 3.8.8, torch 2.11.0`.

    Read from the packages' metadata: nothing is imported.
    """
    from importlib.metadata import PackageNotFoundError, version

    found = {"Python": platform.python_version()}
    for package in ("phusa", "prefect", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    own, commit = found.pop("phusa"), git_commit()
    where = f" (commit {commit[:7]})" if commit else ""
    return ", ".join([f"phusa {own}{where}", *(f"{name} {of}" for name, of in found.items())])


@cache
def git_commit() -> str | None:
    """Give the commit of the code that runs, or None outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
