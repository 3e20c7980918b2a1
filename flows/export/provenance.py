"""What a card can say of an artifact's making: its lineage in order, and what its text is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.lineage import Node, ancestors
from storage.manifest import Manifest
from storage.store import Store

_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(
    r"([?&][^=&#\s]*(?:key|token|secret|password|signature)[^=&#\s]*=)[^&#\s]+", re.I
)
_PATH_KNOBS = re.compile(r"(^|_)(path|folder|file|directory|root)s?$")


@dataclass(frozen=True)
class Provenance:
    """An artifact, what it was made from (first things first), and the text at its root.

    `languages` and `hosts` count documents, most first; they are empty where the documents are no
    longer in the store.
    """

    manifest: Manifest
    lineage: tuple[Node, ...]
    languages: dict[str, int]
    hosts: dict[str, int]

    def find(self, name: str) -> Manifest | None:
        """The artifact of this name in the lineage, if its manifest is still there."""
        found = [n.manifest for n in self.lineage if n.manifest and n.manifest.name == name]
        return found[-1] if found else None

    def manifests(self) -> Iterator[Manifest]:
        """What is still in the store of the lineage."""
        return (node.manifest for node in self.lineage if node.manifest is not None)

    def main_languages(self) -> list[str]:
        """Languages of at least a hundredth of the documents, the most frequent first."""
        total = sum(self.languages.values())
        return [code for code, count in self.languages.items() if 100 * count >= total]


def provenance(store: Store, manifest: Manifest) -> Provenance:
    """Read an artifact's lineage, and count its documents by language and host."""
    lineage = tuple(_in_order(ancestors(store, manifest), set()))
    languages, hosts = Counter[str](), Counter[str]()
    bare = Provenance(manifest, lineage, {}, {})
    holder = bare.find("dedup") or bare.find("clean") or manifest
    # A remote store would have to send the whole corpus for two lines of a card.
    if holder is manifest or "://" not in store.address:
        for column, count in (("language", languages), ("url", hosts)):
            count.update(_count(store, holder, column))
    if not languages and (clean := bare.find("clean")) is not None:
        wanted = clean.config.get("languages")
        languages.update(map(str, wanted) if isinstance(wanted, list) else ())
    return Provenance(manifest, lineage, _most_first(languages), _most_first(hosts))


def public(value: Any, knob: str = "") -> Any:
    """A configuration without what is of no one's concern: passwords in URLs, local folders."""
    if isinstance(value, Mapping):
        return {key: public(item, key) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item, knob) for item in value]
    if not isinstance(value, str):
        return value
    if _PATH_KNOBS.search(knob) and "://" not in value:
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return _QUERY.sub(r"\1…", _USERINFO.sub("", value))


def _in_order(node: Node, seen: set[str]) -> Iterator[Node]:
    """Each artifact once, after all that it was made from."""
    if node.label not in seen:
        seen.add(node.label)
        for child in node.children:
            yield from _in_order(child, seen)
        yield node


def _count(store: Store, manifest: Manifest, column: str) -> Counter[str]:
    """Rows of the documents, or of a crawl's pages, by language or by the host of their URL."""
    counts = Counter[str]()
    try:
        for prefix in ("documents/", "pages/"):
            for path in store.files(manifest, prefix):
                if column in pq.read_schema(path).names:
                    values = pq.read_table(path, columns=[column])[column]
                    counts.update(_by_value(values, column))
    except OSError:  # collected since: the card does without
        return Counter()
    return counts


def _by_value(values: Any, column: str) -> Counter[str]:
    if column == "url":
        values = pc.replace_substring_regex(values, r"^([a-z]+://[^/]*).*$", r"\1")
    found = Counter[str]()
    for row in pc.value_counts(values).to_pylist():
        name = urlsplit(row["values"]).hostname if column == "url" else row["values"]
        found[name or "?"] += row["counts"]
    return found


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
