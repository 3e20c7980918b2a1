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

from flows.stages import open_artifact, type_of
from storage import takedown
from storage.lineage import Node, ancestors
from storage.manifest import Manifest
from storage.parquet import find_rows
from storage.store import Store
from tasks.artifacts.adapter import PAIRS
from tasks.artifacts.artifact import TRAIN, Artifact, Table
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.sequences import SEQUENCES, documents_in

_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(
    r"([?&][^=&#\s]*(?:key|token|secret|password|signature)[^=&#\s]*=)[^&#\s]+", re.I
)
_PATH_KNOBS = re.compile(r"(^|_)(path|folder|file|directory|root)s?$")


@dataclass(frozen=True)
class Provenance:
    """An artifact, what it was made from (first things first), and the text that it is made of.

    `tables` are those that have rows: the others cannot be loaded, and are not exported.
    `languages` and `hosts` count rows of `text`, most first; they are empty where its files are no
    longer in the store.
    """

    artifact: Artifact
    tables: tuple[Table, ...]
    lineage: tuple[Node, ...]
    text: Manifest
    languages: dict[str, int]
    hosts: dict[str, int]

    def manifests(self) -> list[Manifest]:
        """List what is still in the store of the lineage."""
        return [node.manifest for node in self.lineage if node.manifest is not None]

    def main_languages(self) -> list[str]:
        """List languages of at least a hundredth of the rows, the most frequent first."""
        total = sum(self.languages.values())
        return [code for code, count in self.languages.items() if 100 * count >= total]


def provenance(store: Store, manifest: Manifest) -> Provenance:
    """Read an artifact's lineage, and count its text by language and host."""
    root = ancestors(store, manifest)
    lineage = tuple(_in_order(root, set()))
    text = _nearest_documents(root) or manifest
    languages, hosts = Counter[str](), Counter[str]()
    # A remote store would have to send the whole corpus for two lines of a card.
    if text is manifest or "://" not in store.address:
        languages, hosts = _count(store, text, "language"), _count(store, text, "url")
    if not languages:
        wanted = (node.manifest.config.get("languages") for node in lineage if node.manifest)
        languages.update(map(str, next((w for w in wanted if isinstance(w, list)), ())))
    tables = type_of(manifest).tables_in(manifest)
    return Provenance(
        open_artifact(store, manifest),
        tuple(table for table in tables if table.rows(manifest)),
        lineage,
        text,
        _most_first(languages),
        _most_first(hosts),
    )


def example(facts: Provenance) -> str:
    """Give a prompt in the model's own language: of a tuned one a question, of a base the first
    words of a document, both held out of training. Empty where the text is away, or taken down.
    """
    of = facts.artifact
    if of.type.chats:
        asked = of.first_rows(PAIRS.splits["validation"], ["prompt"], 1)
        return str(asked[0]["prompt"]) if asked else ""
    shard = next(of.inputs(SEQUENCES), None)
    if shard is None or not facts.hosts:  # what counts hosts has read the text
        return ""
    texts = open_artifact(of.store, facts.text).files(DOCUMENTS.tables[0].splits[TRAIN])
    columns = ("url", "document_id", "language", "text")
    held_out = documents_in(shard.files("validation/"))[:_ASKED]
    forgotten = takedown.read(of.store.backend).forgotten
    for row in find_rows(texts, "document_id", held_out, columns):
        is_main = row["language"] == facts.main_languages()[0]
        if is_main and not forgotten.covers(row["url"], row["document_id"]):
            return re.sub(r"[`\x00-\x1f]", "", " ".join(row["text"].split()[:_WORDS]))[:_LETTERS]
    return ""


_ASKED = 100  # documents
_WORDS, _LETTERS = 4, 40  # the second for languages that put no space between words


def public(value: Any, knob: str = "") -> Any:
    """Give a configuration without what is of no one's concern: passwords, local folders."""
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
    """Give each artifact once, after all that it was made from."""
    if node.label not in seen:
        seen.add(node.label)
        for child in node.children:
            yield from _in_order(child, seen)
        yield node


def _nearest_documents(root: Node) -> Manifest | None:
    level = {root.label: root}
    while level:
        for node in level.values():
            if node.manifest and type_of(node.manifest).serves(DOCUMENTS):
                return node.manifest
        level = {child.label: child for node in level.values() for child in node.children}
    return None


def _count(store: Store, manifest: Manifest, column: str) -> Counter[str]:
    """Count the rows of an artifact's first table by language, or by the host of their URL."""
    counts = Counter[str]()
    tables = type_of(manifest).tables_in(manifest)[:1]
    try:
        for place in (place for table in tables for place in table.splits.values()):
            for path in store.files(manifest, place):
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
