"""What deduplication is measured by, on figures that it ended with."""

from __future__ import annotations

import pytest

from tasks.checks import Made
from tasks.dedup.checks import measures
from tasks.dedup.work import count_duplicates
from tests.tasks.dedup.conftest import Dedup, document
from tests.tasks.judging import broken, changed

DEMO = Made(816, 635, {"duplicates": 181, "most_copies": 61})
TINY = Made(55, 48, {"duplicates": 7, "most_copies": 2})


@pytest.mark.parametrize("made", [DEMO, TINY])
def test_what_is_well_passes(made: Made) -> None:
    assert broken("dedup", made) == broken("dedup", made, made) == set()


def test_measures_by_hand() -> None:
    found = measures(Made(100, 75, {"duplicates": 25, "most_copies": 5}), Made(100, 50, {}))
    assert found == {"growth": 0.5, "duplicate_rate": 0.25, "most_copies_share": 0.05}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (changed(DEMO, duplicates=776), {"block duplicate_rate", "warn duplicate_rate"}),
        (changed(DEMO, duplicates=600), {"block duplicate_rate", "warn duplicate_rate"}),
        (changed(DEMO, duplicates=300), {"warn duplicate_rate"}),
        (changed(DEMO, most_copies=409), {"block most_copies_share", "warn most_copies_share"}),
        (changed(DEMO, most_copies=164), {"warn most_copies_share"}),
    ],
)
def test_what_goes_wrong_is_noticed(made: Made, said: set[str]) -> None:
    assert broken("dedup", made, DEMO) == said


def test_the_most_copied_document_is_counted(dedup: Dedup) -> None:
    texts = {"a": 4, "b": 2, "c": 1}
    rows = [
        document(f"http://{name}/{n}", " ".join(f"{name}{word}" for word in range(30)))
        for name, times in texts.items()
        for n in range(times)
    ]
    done = dedup(rows)
    counts = count_duplicates(done.root / "dedup" / "data" / "duplicates.parquet")
    assert counts["most_copies"] == 3
    alone = dedup(rows[-1:])
    none = count_duplicates(alone.root / "dedup" / "data" / "duplicates.parquet")
    assert none == {"duplicates": 0, "most_copies": 0}
