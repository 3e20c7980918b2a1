from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from storage.lineage import ancestors, below, descendants
from storage.manifest import MANIFEST_SCHEMA, Manifest
from storage.sealing import bury
from storage.store import Store

Seal = Callable[..., Manifest]


def test_lineage_up_and_down(store: Store, seal: Seal) -> None:
    crawl = seal(store, "crawl")
    clean = seal(store, "clean", inputs=(crawl,))
    tokenizer = seal(store, "tokenizer", inputs=(clean,))
    shard = seal(store, "shard", inputs=(clean, tokenizer))
    other = seal(store, "crawl", "another")

    up = [(depth, node.label) for depth, node in ancestors(store, shard).walk()]
    assert up == [
        (0, shard.label),
        (1, clean.label),
        (2, crawl.label),
        (1, tokenizer.label),
        (2, clean.label),
        (3, crawl.label),
    ]
    down = [(depth, node.label) for depth, node in descendants(store, crawl).walk()]
    assert down == [
        (0, crawl.label),
        (1, clean.label),
        (2, shard.label),
        (2, tokenizer.label),
        (3, shard.label),
    ]
    assert descendants(store, other).children == ()
    assert ancestors(store, other).children == ()


def test_what_is_gone_or_unreadable_is_still_named(store: Store, seal: Seal) -> None:
    crawl = seal(store, "crawl")
    dedup = seal(store, "dedup")
    clean = seal(store, "clean", inputs=(crawl, dedup))
    shutil.rmtree(Path(store.address) / "versions/crawl")
    (Path(store.address) / "versions/dedup" / dedup.version / "manifest.json").write_text("{")
    children = ancestors(store, clean).children
    assert [(node.label, node.manifest) for node in children] == [
        (crawl.label, None),
        (dedup.label, None),
    ]


def test_what_a_newer_phusa_wrote_is_named_too(store: Store, seal: Seal) -> None:
    crawl = seal(store, "crawl")
    clean = seal(store, "clean", inputs=(crawl,))
    raw = json.loads(crawl.to_json()) | {"schema_version": MANIFEST_SCHEMA + 1}
    manifest = Path(store.address) / "versions/crawl" / crawl.version / "manifest.json"
    manifest.write_text(json.dumps(raw))
    (child,) = ancestors(store, clean).children
    assert (child.label, child.manifest, child.children) == (crawl.label, None, ())


def test_lineage_goes_through_what_was_collected(store: Store, seal: Seal) -> None:
    crawl = seal(store, "crawl")
    clean = seal(store, "clean", inputs=(crawl,))
    dedup = seal(store, "dedup", inputs=(clean,))
    bury(store, "clean", clean.version, "gc")
    up = [node.label for _, node in ancestors(store, dedup).walk()]
    assert up == [dedup.label, clean.label, crawl.label]
    assert [node.label for _, node in descendants(store, clean).walk()] == up[1::-1]


def test_below_an_artifact_that_cannot_be_read(store: Store, seal: Seal) -> None:
    crawl = seal(store, "crawl")
    clean = seal(store, "clean", inputs=(crawl,))
    dedup = seal(store, "dedup", inputs=(clean,))
    tree = below(crawl.label, store.manifests())
    assert tree.manifest is None
    assert [node.label for _, node in tree.walk()] == [crawl.label, clean.label, dedup.label]
    assert below("crawl@none", store.manifests()).children == ()
