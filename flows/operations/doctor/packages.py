"""Python and the packages beside phusa, against what pyproject.toml asks for."""

from __future__ import annotations

import platform
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from flows.operations.doctor.finding import Finding, Place, error, ok, warning

_INSTALL = "pip install --constraint constraints.txt --editable ."
# What was seen with Prefect 3.8.8.
_BREAKS = {
    "fastapi": "from 0.151 on `prefect deploy` is answered 422, from 0.155 on no server starts",
    "sqlalchemy": "from 2.1 on Prefect's schedules silently never fire",
}


def python(place: Place) -> list[Finding]:
    """The interpreter's version."""
    version = platform.python_version()
    wanted = metadata.metadata("phusa")["Requires-Python"] or ">=3.11"
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return [ok("Python", version)]
    return [error("Python", version, wanted, "Make the virtual environment with a newer Python.")]


def packages(place: Place) -> list[Finding]:
    """Every package that phusa needs: there, and of a version in range."""
    wanted = [Requirement(line) for line in metadata.requires("phusa") or ()]
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    found = [finding for requirement in wanted for finding in _package(requirement)]
    return found or [ok("packages", f"all {len(wanted)} in range, {_prefect()}")]


def _prefect() -> str:
    return f"Prefect {metadata.version('prefect')}"


def _package(requirement: Requirement) -> list[Finding]:
    name = requirement.name
    check = f"package {name}"
    expected = f"{name}{requirement.specifier}"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return [error(check, "not installed", expected, f"Run {_INSTALL}")]
    if requirement.specifier.contains(version, prereleases=True):
        return []
    why = _BREAKS.get(name.lower())
    remedy = f"Run pip install '{expected}'"
    if why is None:
        return [warning(check, version, expected, f"{remedy}, or {_INSTALL}")]
    return [error(check, f"{version}: {why}", expected, remedy)]
