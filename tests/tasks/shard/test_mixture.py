"""Mixtures: the shares that were asked for, every copy accounted for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.errors import RequestError
from storage.parquet import write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.artifacts.model import learnt_from
from tasks.artifacts.sequences import (
    RowSpan,
    SequencesFinding,
    ShardedDocument,
    find_sequences,
)
from tasks.lm.order import Order
from tasks.lm.tokens import TextEncoder
from tasks.shard.composition import OTHERS, count_composition
from tasks.shard.config import ShardConfig
from tasks.shard.division import Plan
from tasks.shard.mixture import Group, count_repeats, groups_of
from tasks.shard.shard import ShardPaths, shard_documents
from tests.tasks.shard.planning import BY_URL, plan_of
from tests.tasks.shard.test_division import WORDS, document
from tests.tasks.tokenizer.conftest import trained

Row = dict[str, Any]
PATHS = ShardPaths("train/a.parquet", "validation/a.parquet")


def corpus() -> list[Row]:
    """600 English documents, 200 Vietnamese ones of a third of their length, 100 of a forum."""
    rng = random.Random(0)
    kinds = [("en", "a.org", 60, 600), ("vi", "b.org", 20, 200), ("en", "c.org", 40, 100)]
    return [
        document(
            (f"http://{host}/{n}", " ".join(rng.choices(WORDS, k=rng.randint(1, 2 * length)))),
            language=language,
            quality=rng.random(),
        )
        for language, host, length, num in kinds
        for n in range(num)
    ]


def count_tokens(texts: Sequence[str]) -> Any:
    return np.array([len(ids) + 1 for ids in TextEncoder(trained()).encode_batch(texts)])


def packed(root: Path, rows: Sequence[Row], mixture: Sequence[Row], **knobs: Any) -> ShardConfig:
    config = ShardConfig(sequence_length=64, split=BY_URL, mixture=mixture, **knobs)
    workspace = Workspace(root)
    write_rows(workspace, "documents", rows, DOCUMENT)
    (plan,) = plan_of([workspace.data / "documents"], config, count_tokens=count_tokens)
    encoder, documents = TextEncoder(trained()), workspace.data / "documents"
    shard_documents(documents, encoder, config, workspace, PATHS, Plan.read(plan))
    return config


VI = {"name": "vi", "languages": ["vi"]}
FORUM = {"name": "forum", "urls": [r"//c\.org/"]}
BEST = {"name": "best", "min_quality": 0.7}


@pytest.mark.parametrize(
    ("mixture", "shares"),
    [
        ([VI | {"share": 0.5}], {"vi": 0.5}),
        ([VI | {"share": 0.3}, FORUM | {"share": 0.02}], {"vi": 0.3, "forum": 0.02}),
        ([VI | {"share": 0.25}, FORUM | {"epochs": 0}], {"vi": 0.25, "forum": 0}),
        ([BEST | {"share": 0.6}, VI | {"share": 0.4}], {"best": 0.6, "vi": 0.4, "rest": 0}),
    ],
)
def test_tokens_have_the_shares_asked_for(
    tmp_path: Path, mixture: list[Row], shares: dict[str, float]
) -> None:
    config = packed(tmp_path, corpus(), mixture)
    data = tmp_path / "data"
    found = count_composition([data / "documents"], [data / PATHS.train], config.mixture)
    of_each = found["mixture_tokens"]
    for name, share in shares.items():
        tokens = of_each[name] if share else of_each.get(name, 0)
        assert tokens / sum(of_each.values()) == pytest.approx(share, abs=0.01)
    assert sum(found["language_tokens"].values()) == sum(of_each.values())


def test_every_copy_is_known_and_traced(tmp_path: Path) -> None:
    rows = corpus()
    packed(tmp_path, rows, [VI | {"epochs": 3.5}, FORUM | {"epochs": 0.5}])
    plain = tmp_path / "plain"
    packed(plain, rows, [])
    data, before = tmp_path / "data", plain / "data"
    assert (data / PATHS.validation).read_bytes() == (before / PATHS.validation).read_bytes()
    ids = {row["document_id"] for row in rows}
    once = {d.document_id: d for d in _found(before, ids) if d.split == "train"}
    again = {d.document_id: d for d in _found(data, ids) if d.split == "train"}
    times = Counter[float]()
    num_rows = pq.read_metadata(data / PATHS.train).num_rows
    order = Order(0, 8, num_rows)
    steps = -(-num_rows // 8)  # once through all, and some rows of the next epoch
    read = order.times_read(steps)
    for row in rows:
        if row["document_id"] not in once:
            continue
        kind = "vi" if row["language"] == "vi" else row["url"][7:12]
        copies = again.get(row["document_id"])
        amount = copies.tokens / once[row["document_id"]].tokens if copies else 0
        times[kind, round(amount)] += 1
        if copies:
            learnt = learnt_from(copies, order, steps)
            assert learnt.tokens == sum(s.tokens * read[s.index] for s in copies.spans)
    assert {one for one, _ in times} == {"vi", "a.org", "c.org"}
    assert {n for kind, n in times if kind == "vi"} == {3, 4}
    assert {n for kind, n in times if kind == "a.org"} == {1}
    assert {n for kind, n in times if kind == "c.org"} == {0, 1}


def _found(data: Path, ids: set[str]) -> Any:
    return find_sequences(lambda prefix: sorted((data / prefix).glob("*")), ids).documents


def test_copies_lie_far_from_each_other(tmp_path: Path) -> None:
    rows = corpus()
    config = ShardConfig(split=BY_URL, mixture=[VI | {"epochs": 4}])
    workspace = Workspace(tmp_path)
    write_rows(workspace, "documents", rows, DOCUMENT)
    (path,) = plan_of([workspace.data / "documents"], config, count_tokens=count_tokens)
    plan = Plan.read(path)
    train = plan.rows[plan.sides == 0]
    for row in np.unique(train):
        places = np.flatnonzero(train == row)
        assert len(places) == (4 if rows[row]["language"] == "vi" else 1)
        assert (np.diff(places) > len(train) / 20).all()


AMOUNTS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 100)), min_size=1, max_size=60)


@given(AMOUNTS, st.floats(0, 5), st.floats(0, 5))
def test_epochs_are_kept_to_a_document(
    documents: list[tuple[int, int]], one: float, other: float
) -> None:
    mixture = (Group(name="a", epochs=one), Group(name="b", epochs=other))
    groups, tokens = (np.array(of) for of in zip(*documents, strict=True))
    places = np.random.default_rng(0).integers(0, 1 << 63, len(groups)).astype(np.uint64)
    times = count_repeats(groups, tokens, places, mixture)
    for group, epochs in enumerate((one, other, 1)):
        here = groups == group
        asked, given_ = epochs * tokens[here].sum(), (times * tokens)[here].sum()
        assert abs(asked - given_) <= tokens[here].max(initial=0) / 2 + 1e-6
        assert set(times[here]) <= {int(epochs), int(epochs) + 1}


def test_a_document_is_of_the_first_group_that_it_fits() -> None:
    rows = [
        document(("http://a/1", ""), language="vi", quality=0.9),
        document(("http://a/2", ""), language="en", quality=0.9),
        document(("http://b/3", ""), language="en", quality=0.2),
        document(("http://b/4", ""), language="en", quality=-1.0),
        document(("http://c/5", ""), language="en", quality=0.5),
    ]
    groups = (
        Group(name="vi", languages=("vi", "th"), epochs=1),
        Group(name="good", min_quality=0.8, epochs=1),
        Group(name="bad", max_quality=0.5, epochs=1),
        Group(name="b", urls=("nowhere", "//b/"), epochs=1),
    )
    table = pa.Table.from_pylist(rows, schema=DOCUMENT)
    assert groups_of(table, groups).tolist() == [0, 1, 2, 3, 4]
    assert groups_of(table.slice(0, 0), groups).tolist() == []


@pytest.mark.parametrize(
    "mixture",
    [
        [VI | {"epochs": 1, "share": 0.1}],
        [VI],
        [VI | {"epochs": 1}, VI | {"epochs": 2}],
        [VI | {"name": "rest", "epochs": 1}],
        [VI | {"share": 0.6}, FORUM | {"share": 0.6}],
        [VI | {"share": 0.5}, FORUM | {"share": 0.5}, BEST | {"epochs": 1}],
        [VI | {"epochs": 101}],
        [VI | {"languages": ["Vietnamese"], "epochs": 1}],
    ],
)
def test_a_mixture_that_cannot_be_is_refused(mixture: Any) -> None:
    with pytest.raises(ValidationError):
        ShardConfig(mixture=mixture)


@pytest.mark.parametrize(
    "mixture",
    [
        [{"name": "none", "languages": ["th"], "share": 0.1}],
        [VI | {"share": 0.9999}],
        [{"name": "all", "share": 0.5}],
    ],
)
def test_a_share_out_of_reach_is_refused(tmp_path: Path, mixture: Any) -> None:
    with pytest.raises(RequestError) as refused:
        packed(tmp_path, corpus(), mixture)
    assert [fault.code for fault in refused.value.faults] == ["share_out_of_reach"]


def test_the_smallest_sources_are_one(tmp_path: Path) -> None:
    rows = [document((f"http://h{n}.org/", " ".join(WORDS[: n + 1]))) for n in range(40)]
    packed(tmp_path, rows, [], validation_share=1e-9)
    data = tmp_path / "data"
    found = count_composition([data / "documents"], [data / PATHS.train], ())
    sources = found["source_tokens"]
    assert list(found) == ["language_tokens", "source_tokens"]
    assert len(sources) == 21 and next(iter(sources)) == "h39.org" and list(sources)[-1] == OTHERS
    assert sum(sources.values()) == sum(found["language_tokens"].values())


def test_two_copies_in_one_row_are_both_learnt_from() -> None:
    spans = (RowSpan("f", 0, 0, 0, 3, 2), RowSpan("f", 0, 0, 3, 7, 4))
    document = ShardedDocument("a", "train", 6, spans)
    assert learnt_from(document, Order(0, 1, 1), 2).tokens == 12
    (line, *_) = SequencesFinding(1, (document,)).lines()
    assert "in row 0 of f" in line
