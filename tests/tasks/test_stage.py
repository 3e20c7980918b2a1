"""What a stage knows of its artifacts from their manifests."""

from __future__ import annotations

from pathlib import Path

from flows.stages import STAGES
from tests.flows.sealed import seal


def test_rows_that_were_dropped_have_reasons_and_those_without_are_named(tmp_path: Path) -> None:
    stats = {"rejected": {"too_short": 1, "no_text": 4}}
    made = seal(tmp_path, "clean", "1", {"a": b"1"}, rows_in=10, rows_out=5, stats=stats)
    assert list(STAGES["clean"].dropped(made).items()) == [("no_text", 4), ("too_short", 1)]
    made = seal(tmp_path, "clean", "2", {"a": b"2"}, rows_in=10, rows_out=4, stats=stats)
    assert STAGES["clean"].dropped(made)["no reason was kept"] == 1


def test_stats_that_count_drops_have_reasons_of_their_own(tmp_path: Path) -> None:
    stats = {"dropped": {"contaminated": 1}, "duplicates": 3, "already_there": 0}
    made = seal(tmp_path, "dedup", "1", {"a": b"1"}, rows_in=9, rows_out=5, stats=stats)
    dropped = STAGES["dedup"].dropped(made)
    assert dropped == {"duplicate": 3, "contaminated": 1, "in an earlier corpus": 0}


def test_a_stage_that_selects_no_rows_drops_none(tmp_path: Path) -> None:
    made = seal(tmp_path, "shard", "1", {"a": b"1"}, rows_in=9, rows_out=50)
    assert STAGES["shard"].dropped(made) == {}
