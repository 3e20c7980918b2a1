"""What token shards are measured by, on figures that sharding ended with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.parquet import write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.checks import Made
from tasks.shard.checks import measures
from tasks.shard.config import ShardConfig
from tasks.shard.shard import _read_texts
from tests.tasks.judging import broken, changed
from tests.tasks.shard.planning import BY_URL, is_held_out, plan_of

DEMO = Made(
    635,
    6672,
    {
        "text_bytes": 5_787_132,
        "validation_documents": 38,
        "validation_bytes": 510_131,
        "validation_tokens": 149_840,
        "train_tokens": 1_557_414,
        "unigram_bits_per_byte": 2.7,
        "xz_bits_per_byte": 1.37,
        "overlap_share": 0.41,
        "overlap_documents": 5,
        "overlap_measured": 39,
    },
)
TINY = Made(
    48,
    384,
    {
        "text_bytes": 62_520,
        "validation_documents": 8,
        "validation_tokens": 4031,
        "train_tokens": 20_390,
        "xz_bits_per_byte": 1.38,
    },
)


@pytest.mark.parametrize("made", [DEMO, TINY])
def test_what_is_well_passes(made: Made) -> None:
    assert broken("shard", made) == broken("shard", made, made) == set()


def test_measures_by_hand() -> None:
    stats = {
        "text_bytes": 1000,
        "validation_documents": 5,
        "validation_tokens": 50,
        "train_tokens": 200,
        "filled": 0.9,
        "xz_bits_per_byte": 1.5,
    }
    assert measures(Made(100, 30, stats), Made(100, 20, stats)) == {
        "growth": 0.5,
        "tokens_per_byte": 0.25,
        "validation_share": 0.05,
        "validation_tokens": 50,
        "filled": 0.9,
        "overlap_share": None,
        "overlap_documents": None,
        "xz_bits_per_byte": 1.5,
    }


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (changed(DEMO, train_tokens=10, validation_tokens=2000), {"block tokens_per_byte"}),
        (changed(DEMO, text_bytes=1_000_000), {"block tokens_per_byte", "warn tokens_per_byte"}),
        (changed(DEMO, train_tokens=2_000_000), {"warn tokens_per_byte"}),  # it rose by 0.08
        (changed(DEMO, validation_documents=100), {"warn validation_share"}),
        (changed(DEMO, validation_documents=2), {"warn validation_share"}),
        (changed(DEMO, validation_tokens=999), {"warn validation_tokens"}),
        (changed(DEMO, xz_bits_per_byte=0.2), {"warn xz_bits_per_byte"}),
        (changed(DEMO, xz_bits_per_byte=5.9), {"warn xz_bits_per_byte"}),
        (changed(DEMO, overlap_documents=16), {"warn overlap_documents"}),
    ],
)
def test_what_goes_wrong_is_noticed(made: Made, said: set[str]) -> None:
    assert broken("shard", made, DEMO) == said


def test_all_texts_are_counted_in_bytes(tmp_path: Path) -> None:
    config, workspace = ShardConfig(split=BY_URL, validation_share=0.4), Workspace(tmp_path)
    plain: dict[str, Any] = {field.name: "" for field in DOCUMENT}
    plain |= {"language_score": 1.0, "num_words": 1, "repeated_share": 0.0, "pii": []}
    plain |= {"quality": 0.5}
    rows = [plain | {"url": f"http://a/{n}", "text": "phù sa " * n} for n in range(20)]
    for name, part in {"a": rows[:7], "b": rows[7:], "empty": []}.items():
        write_rows(workspace, name, part, DOCUMENT)
    paths = [workspace.data / name for name in ("a", "b", "empty")]
    text_bytes, held_out = _read_texts(paths, plan_of(paths, config))
    assert text_bytes == sum(len(row["text"].encode()) for row in rows) == 190 * 8
    assert held_out == [r["text"].encode() for r in rows if is_held_out(r["url"], config)]
    assert 0 < len(held_out) < 20
    tested = ShardConfig(split=BY_URL, validation_share=0.4, test_share=0.3)
    assert _read_texts(paths, plan_of(paths, tested))[0] < text_bytes
