"""Where everything lies in a store. docs/storage.md says why.

versions/{name}/{version}/data/**         immutable, unique to one attempt
versions/{name}/{version}/manifest.json   written last, create-only: this is the commit
refs/recipes/{stage}/{fingerprint}        -> version, or name@version: the cache index
refs/aliases.json                         aliases with their history, and what gc is taking
quarantine/{name}/{version}.json          manifest of a build that failed a blocking check
tombstones/{name}/{version}.json          the version's data was collected; why and when
takedowns/{id}.json                       content that is to be left out from then on
marks/{name}/{version}/{takedown}.json    a model that has seen such content
leases/{stage}/{fingerprint}.json         who builds that at this moment; empty: nobody
work/{stage}/{fingerprint}/               resumable scratch, always on a local disk
"""

from __future__ import annotations

ALIASES = "refs/aliases.json"


def version_key(name: str, version: str) -> str:
    return f"versions/{name}/{version}"


def data_key(name: str, version: str) -> str:
    return f"{version_key(name, version)}/data"


def manifest_key(name: str, version: str) -> str:
    return f"{version_key(name, version)}/manifest.json"


def recipe_key(stage: str, fingerprint: str) -> str:
    return f"refs/recipes/{stage}/{fingerprint}"


def quarantine_key(name: str, version: str) -> str:
    return f"quarantine/{name}/{version}.json"


def tombstone_key(name: str, version: str) -> str:
    return f"tombstones/{name}/{version}.json"


def lease_key(stage: str, fingerprint: str) -> str:
    return f"leases/{stage}/{fingerprint}.json"


def mark_key(name: str, version: str, takedown: str) -> str:
    return f"marks/{name}/{version}/{takedown}.json"


def label_of(reference: bytes, stage: str) -> str:
    """Name the version that a fingerprint's reference means."""
    text = reference.decode(errors="replace")
    return text if "@" in text else f"{stage}@{text}"
