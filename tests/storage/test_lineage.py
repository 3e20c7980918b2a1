from __future__ import annotations

import shutil
from pathlib import Path
from collections.abc import Callable

from storage.lineage import ancestors, descendants
from storage.manifest import Manifest
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
