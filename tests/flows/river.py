"""A small store that a test fills by hand, one artifact of the river after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.identities import document_id, page_id
from storage.manifest import Manifest
from storage.records import DOCUMENT, DUPLICATE, ORIGIN, PAGE, PAIR, REJECT, sequence_schema
from storage.store import Store
from tests.flows.sealed import seal

Row = dict[str, Any]
A, B, C = "http://a.org/1", "http://www.a.org/2", "http://b.net/3"
PART = "part-00000-of-00001.parquet"


def table(schema: pa.Schema, *rows: Row) -> pa.Table:
    """Rows with the fields that matter; the others are empty or zero."""
    empty = {
        field.name: "" if pa.types.is_string(field.type) else 0
        for field in schema
        if not pa.types.is_list(field.type)
    }
    return pa.Table.from_pylist([{**empty, **row} for row in rows], schema=schema)


def text_of(url: str, edition: str = "") -> str:
    return f"the text of {url}{edition}"


def doc(url: str, edition: str = "") -> str:
    return document_id(url, text_of(url, edition))


def page(url: str, edition: str = "") -> str:
    return page_id(url, f"body {edition}")


class River:
    """A store into which artifacts are put one after the other."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self._root, self._count = root, 0

    def put(self, name: str, files: dict[str, Any], *inputs: Manifest, **says: Any) -> Manifest:
        self._count += 1
        version = f"20261121-0000{self._count:02d}-000-aaaa"
        return seal(self._root, name, version, files, inputs=inputs, **says)

    def crawl(self, *urls: str, edition: str = "") -> Manifest:
        rows = [{"page_id": page(u, edition), "url": u} for u in urls]
        rejects = table(REJECT, {"url": "http://a.org/moved", "reason": "redirected", "value": A})
        return self.put("crawl", {f"pages/{PART}": table(PAGE, *rows), "rejects.parquet": rejects})

    def clean(
        self, crawl: Manifest, *urls: str, edition: str = "", dropped: tuple[str, ...] = ()
    ) -> Manifest:
        ids = [{"document_id": doc(u, edition), "page_id": page(u, edition)} for u in urls]
        rejects = [{"id": doc(u, edition), "url": u, "reason": "too_few_words"} for u in dropped]
        files = {
            f"documents/{PART}": documents(*urls, edition=edition),
            f"origins/{PART}": table(ORIGIN, *ids),
            f"rejects/{PART}": table(REJECT, *rejects),
        }
        return self.put("clean", files, crawl)

    def dedup(self, clean: Manifest, *urls: str, duplicates: tuple[Row, ...] = ()) -> Manifest:
        files = {
            f"documents/{PART}": documents(*urls),
            "duplicates.parquet": table(DUPLICATE, *duplicates),
        }
        return self.put("dedup", files, clean)

    def shard(self, dedup: Manifest, train: list[str], held_out: list[str]) -> Manifest:
        def rows(urls: list[str]) -> pa.Table:
            spans = [[{"document_id": doc(url), "start": 1, "end": 9}] for url in urls]
            rows = [{"input_ids": list(range(9)), "spans": of_row} for of_row in spans]
            return pa.Table.from_pylist(rows, schema=sequence_schema(16))

        files = {f"train/{PART}": rows(train), f"validation/{PART}": rows(held_out)}
        tokenizer = self.put("tokenizer", {"tokenizer.json": b"{}"}, dedup)
        config = {"sequence_length": 8}
        return self.put("shard", files, dedup, tokenizer, config=config)

    def models(self, shard: Manifest, dedup: Manifest, *quoted: str) -> tuple[Manifest, Manifest]:
        config = {"seed": 0, "batch_sequences": 1, "tokens": 8 * 2}
        base = self.put("pretrain", {"model.safetensors": b"w"}, shard, config=config)
        rows = [{"name": url, "document_id": doc(url)} for url in quoted]
        pairs = {"pairs/train.parquet": table(PAIR, *rows)}
        return base, self.put("finetune", pairs, base, dedup)

    def whole(self) -> dict[str, Manifest]:
        """Put one artifact of each stage, but scores: A and B are trained on, C is held out and B a
        duplicate's."""
        crawl = self.crawl(A, B, C)
        clean = self.clean(crawl, A, B, C, "http://b.net/copy")
        row = {"document_id": doc("http://b.net/copy"), "url": "http://b.net/copy"}
        kept = {"kept_id": doc(B), "kept_url": B, "similarity": 0.9}
        dedup = self.dedup(clean, A, B, C, duplicates=(row | kept,))
        shard = self.shard(dedup, [A, B], [C])
        base, tuned = self.models(shard, dedup, B)
        return {m.name: m for m in (crawl, clean, dedup, shard, base, tuned)}


def documents(*urls: str, edition: str = "") -> pa.Table:
    rows = [{"document_id": doc(u, edition), "url": u, "text": text_of(u, edition)} for u in urls]
    return table(DOCUMENT, *rows)
