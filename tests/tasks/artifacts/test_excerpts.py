"""Drawing rows: uniform, by seed, of what is asked for alone."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.stages import open_artifact
from storage.store import Store
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.excerpts import Draw, Wanted, equal_to
from tests.flows.sealed import seal

FILES = [range(17), range(17, 18), range(18, 60)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Sixty rows in three files, in groups of five."""
    root = tmp_path_factory.mktemp("drawn")
    tables = {
        f"rows/part-{at}.parquet": pa.table(
            {"n": list(rows), "even": [str(n % 2 == 0) for n in rows]}
        )
        for at, rows in enumerate(FILES)
    }
    made = seal(root, "anything", "20261121-010101-000-aaaa", dict(tables))
    for path, table in tables.items():
        target = root / "versions/anything/20261121-010101-000-aaaa/data" / path
        pq.write_table(table, target, row_group_size=5)
    return open_artifact(Store(root), made)


def draw(drawn: Artifact, count: int, seed: int, even: str = "") -> tuple[int, list[int]]:
    made = Draw(Wanted(dropped=False, count=count, seed=seed))
    made.offer(drawn, "rows/", ("n",), {"even": equal_to(even)})
    return made.total, [row["n"] for row in made.rows()]


def test_each_row_is_as_likely_as_any_other(drawn: Artifact) -> None:
    counts = Counter[int]()
    for seed in range(200):
        total, rows = draw(drawn, 6, seed)
        assert total == 60 and len({*rows}) == 6
        counts.update(rows)
    assert set(counts) == set(range(60))
    assert max(counts.values()) < 45 and min(counts.values()) > 5  # 20 expected, 4.2 standard


def test_a_seed_draws_the_same_and_fewer_are_the_first_of_more(drawn: Artifact) -> None:
    _, rows = draw(drawn, 20, 3)
    assert draw(drawn, 20, 3)[1] == rows and draw(drawn, 5, 3)[1] == rows[:5]
    assert draw(drawn, 20, 4)[1] != rows
    assert sorted(draw(drawn, 1000, 0)[1]) == list(range(60))


def test_only_what_is_asked_for_is_drawn(drawn: Artifact) -> None:
    total, rows = draw(drawn, 1000, 0, "True")
    assert total == 30 and sorted(rows) == list(range(0, 60, 2))
    assert draw(drawn, 4, 0, "neither") == (0, [])


def test_two_tables_are_one_urn(drawn: Artifact) -> None:
    made = Draw(Wanted(dropped=True, count=1000))
    made.offer(drawn, "rows/part-0", ("n",), {"n": lambda column: pc.less(column, 3)})
    made.offer(drawn, "rows/part-2", ("even",))
    assert made.total == 3 + 42
    assert Counter("n" in row for row in made.rows()) == {True: 3, False: 42}
