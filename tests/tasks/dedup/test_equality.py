"""The same documents give the same result, however they are dealt, cut, ordered or come in time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import DamagedArtifact, RequestError
from storage.tensors import map_tensors, write_tensors
from tasks.dedup import candidates, work
from tasks.dedup.config import DedupConfig, FirstSource
from tasks.dedup.keys import EarlierIndex, index_file
from tasks.dedup.methods import Exact, MinHash
from tasks.dedup.work import DedupWork, deduplicate
from tasks.similarity.shingles import Shingles
from tests.tasks.dedup.conftest import Dedup, Deduped, Row, document, run_dedup

# Few columns: each is a file that is synced.
CONFIG = DedupConfig(threshold=0.6, methods=(Exact(), MinHash(num_perm=24, bands=6, rows=4)))
SOURCES = ("a", "b", "c")


def _row(family: int, changes: int, prefix: int, source: str) -> Row:
    """A document of a family: some words changed, and six words before it."""
    words = [f"w{family}x{n}" for n in range(60)]
    draw = random.Random(changes)
    for at in draw.sample(range(60), changes):
        words[at] = f"changed{changes}"
    words = [f"prefix{prefix}"] * (6 if prefix else 0) + words
    url = f"http://{source}/{family}/{changes}/{prefix}"
    return document(url, " ".join(words))


# Prefixes make documents that are equally near to one and the same third.
ROWS = st.lists(
    st.builds(
        _row, st.integers(0, 2), st.integers(0, 5), st.integers(0, 3), st.sampled_from(SOURCES)
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row["document_id"],
)


def _keys(done: Deduped) -> list[bytes]:
    """The keys of the index, which are in no order of documents."""
    files = [done.index.folder / index_file(n) for n in range(CONFIG.num_columns)]
    return [map_tensors(path)[0]["keys"].tobytes() for path in files]


@settings(max_examples=8)
@given(ROWS, st.data())
def test_nothing_depends_on_shards_order_or_how_the_work_is_cut(
    rows: list[Row], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        whole = run_dedup(Path(folder) / "whole", rows, CONFIG)
        others = data.draw(st.permutations(rows)), data.draw(st.integers(1, 5))
        patch.setattr(work, "_COLUMNS_IN_GROUP", data.draw(st.integers(1, 9)))
        patch.setattr(candidates, "_SORTED_AT_ONCE", data.draw(st.integers(1, 40)))
        patch.setattr(candidates, "_DOCUMENTS_AT_ONCE", data.draw(st.integers(1, 40)))
        cut = run_dedup(Path(folder) / "cut", others[0], CONFIG, num_shards=others[1])
        assert cut.evidence == whole.evidence
        assert cut.kept_urls == whole.kept_urls
        assert _keys(cut) == _keys(whole)


def test_threads_change_no_byte(dedup: Dedup) -> None:
    rows = [_row(f, c, p, "a") for f in range(20) for c in range(4) for p in range(3)]
    alone = dedup(rows, CONFIG, num_shards=7)
    together = DedupWork(alone.work.documents, (), CONFIG, alone.root / "together")
    with ThreadPoolExecutor(8) as pool:

        def every(step: str, count: int) -> None:
            list(pool.map(getattr(together, step), range(count)))

        every("sign", 7)
        every("link", together.num_groups)
        num_parts = together.connect()
        every("shortlist", together.num_listed)
        every("match", num_parts)
        together.conclude()
        every("filter", 7)
        every("index", together.num_groups)
    made = alone.work.workspace.data
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert len(files) == 7 + 1 + CONFIG.num_columns
    for path in files:
        assert (together.workspace.data / path).read_bytes() == (made / path).read_bytes()


@settings(max_examples=6)
@given(ROWS, st.integers(1, 3))
def test_increments_equal_one_run_over_everything(rows: list[Row], num_shards: int) -> None:
    """A, then B against A, then C against both: what A kept stays, as if it had the first choice
    in one run."""
    order = FirstSource(urls=tuple(f"//{source}/" for source in SOURCES))
    with TemporaryDirectory() as folder:
        config = CONFIG.model_copy(update={"keep": (order, *CONFIG.keep)})
        whole = run_dedup(Path(folder) / "whole", rows, config)
        earlier: list[EarlierIndex] = []
        kept: set[str] = set()
        evidence: list[Row] = []
        for source in SOURCES:
            own = [row for row in rows if row["url"].startswith(f"http://{source}/")]
            night = run_dedup(Path(folder) / source, own, CONFIG, num_shards, earlier)
            kept |= night.kept_urls
            evidence += night.dropped
            earlier.append(night.index)
        assert kept == whole.kept_urls
        assert _pairs(evidence) == _pairs(whole.dropped)
        for row in evidence:
            source = row["kept_url"].removeprefix("http://")[0]
            assert row["kept_in"] == ("" if row["url"].startswith(f"http://{source}") else source)


def _pairs(evidence: Sequence[Row]) -> list[tuple[str, str, float, str]]:
    return sorted((r["url"], r["kept_url"], r["similarity"], r["method"]) for r in evidence)


def _corpus(dedup: Dedup) -> Deduped:
    return dedup([_row(family, 0, 0, "a") for family in range(40)], CONFIG)


@pytest.mark.parametrize(
    "other",
    [
        {"methods": (Exact(),)},
        {"methods": CONFIG.methods[::-1]},  # the same keys in other columns
        {"methods": (Exact(), MinHash(num_perm=24, bands=6, rows=4, seed=2))},
        {"methods": (Exact(), MinHash(num_perm=24, bands=6, rows=4, scheme="affine64"))},
        {"methods": (Exact(), MinHash(num_perm=24, bands=6, rows=3))},
        {"shingles": Shingles(size=4)},
        {"shingles": Shingles(unit="characters")},
        {"shingles": Shingles(fold_marks=True)},
        {"shingles": Shingles(max_units=1000)},
    ],
)
def test_an_index_of_other_keys_is_refused(dedup: Dedup, other: dict[str, object]) -> None:
    index = _corpus(dedup).index
    index.check(CONFIG)
    config = CONFIG.model_copy(update=other)
    with pytest.raises(RequestError, match="--force dedup"):
        index.check(config)


def _damage(index: EarlierIndex, column: int, what: str) -> None:
    path = index.folder / index_file(column)
    tensors, facts = (dict(part) for part in map_tensors(path))
    tensors = {name: np.array(of_one) for name, of_one in tensors.items()}
    if what == "torn":
        path.write_bytes(path.read_bytes()[:-9])
    elif what == "headless":
        path.write_bytes(b"\x01")
    elif what == "unicode":
        write_tensors(path, tensors, {"basis": facts["basis"].replace('"unicode": "', '"u": "0')})
    elif what == "gone":
        path.unlink()
    elif what == "short":
        write_tensors(path, tensors | {"keys": tensors["keys"][:-1]}, facts)
    elif what == "no fences":
        del tensors["fences"]
        write_tensors(path, tensors, facts)
    elif what == "unsorted":
        write_tensors(path, tensors | {"keys": tensors["keys"][::-1]}, facts)


@pytest.mark.parametrize(
    ("what", "error", "says"),
    [
        ("torn", DamagedArtifact, "with --force"),
        ("headless", DamagedArtifact, "with --force"),
        ("unicode", RequestError, "version of Python"),
        ("gone", RequestError, "no index/column-0003"),
        ("short", DamagedArtifact, "expected keys and documents, 40 each"),
        ("no fences", DamagedArtifact, "and fences"),
    ],
)
def test_a_damaged_index_is_refused(
    dedup: Dedup, what: str, error: type[Exception], says: str
) -> None:
    index = _corpus(dedup).index
    _damage(index, 3, what)
    with pytest.raises(error, match=says):
        index.check(CONFIG)


def test_keys_that_do_not_ascend_are_noticed_where_they_are_read(dedup: Dedup) -> None:
    done = _corpus(dedup)
    _damage(done.index, 3, "unsorted")
    done.index.check(CONFIG)
    later = DedupWork(done.work.documents, (done.index,), CONFIG, done.root / "later")
    with pytest.raises(DamagedArtifact, match="less than the one before it; expected sorted"):
        deduplicate(later)


@pytest.mark.parametrize("backwards", [False, True])
def test_equally_near_earlier_documents_tie_by_id(dedup: Dedup, backwards: bool) -> None:
    """Not by their place in the corpus that they are in."""
    rows = [_row(0, 0, prefix, "a") for prefix in (1, 2, 3)]
    rows.sort(key=lambda row: row["document_id"], reverse=backwards)
    strict = CONFIG.model_copy(update={"threshold": 0.88})
    index = dedup(rows, strict).index
    later = dedup([_row(0, 0, 0, "b")], strict, earlier=[index])
    assert [row["kept_id"] for row in later.dropped] == [min(row["document_id"] for row in rows)]
