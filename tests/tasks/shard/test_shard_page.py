"""What a run's page shows of token shards."""

from __future__ import annotations

from pathlib import Path

from flows.stages import open_artifact
from storage.store import Store
from tasks.shard.page import sections
from tests.flows.sealed import seal

VERSION = "20261121-010101-000-aaaa"


def test_what_is_held_out_and_trained_on_is_shown(tmp_path: Path) -> None:
    stats = {
        "overlap_share": 0.25, "overlap_documents": 3, "overlap_measured": 40,
        "source_tokens": {"a.org": 750, "```evil": 250}, "language_tokens": {"vi": 1000},
    }  # fmt: skip
    made = seal(tmp_path, "shard", VERSION, {"train/a": b""}, stats=stats)
    held, source, language = sections(open_artifact(Store(tmp_path), made))
    assert "25.0%" in held.markdown and "3 of 40" in held.markdown
    assert "75.0 %  a.org" in source.markdown
    assert source.markdown.startswith("````text\n")  # a name cannot end the block
    assert "100.0 %  vi" in language.markdown


def test_of_one_made_before_there_is_nothing_to_show(tmp_path: Path) -> None:
    made = seal(tmp_path, "shard", VERSION, {"train/a": b""}, stats={"train_tokens": 3})
    assert not list(sections(open_artifact(Store(tmp_path), made)))
