"""Documents that were taken down get no token."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from storage.identities import document_id
from storage.parquet import write_rows
from storage.records import DOCUMENT
from storage.takedown import NOTHING, Forgotten, Kind, Takedown, identify
from storage.workspace import Workspace
from tasks.lm.tokens import SPECIAL_TOKENS, TextEncoder
from tasks.shard.config import ShardConfig
from tasks.shard.division import Plan
from tasks.shard.shard import Baselines, ShardPaths, measure_baselines, shard_documents
from tests.tasks.shard.planning import plan_of

PATHS = ShardPaths("train/a.parquet", "validation/a.parquet")
CONFIG = ShardConfig(sequence_length=8, validation_share=0.4)
URLS = [f"http://{'ab'[n % 2]}.org/{n}" for n in range(24)]


def _tokenizer() -> Tokenizer:
    words = [*SPECIAL_TOKENS, "unknown", *(f"w{n}" for n in range(50))]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="unknown"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL_TOKENS])
    return tokenizer


def _text(url: str) -> str:
    number = int(url.rpartition("/")[2])
    return " ".join(f"w{(number * 7 + k) % 50}" for k in range(number % 6 + 1))


def _sharded(urls: list[str], root: Path, forgotten: Forgotten) -> tuple[list[bytes], Baselines]:
    workspace = Workspace(root)
    facts = {"language_score": 1.0, "num_words": 1, "repeated_share": 0.0, "pii": []}
    facts |= {"quality": -1.0}
    plain: dict[str, Any] = {field.name: "" for field in DOCUMENT} | facts
    rows = [
        plain | {"document_id": document_id(u, _text(u)), "url": u, "text": _text(u)} for u in urls
    ]
    write_rows(workspace, "documents.parquet", rows, DOCUMENT)
    documents = workspace.data / "documents.parquet"
    plans = plan_of([documents], CONFIG, forgotten)
    encoder = TextEncoder(_tokenizer())
    shard_documents(documents, encoder, CONFIG, workspace, PATHS, Plan.read(plans[0]))
    train, validation = workspace.data / PATHS.train, workspace.data / PATHS.validation
    measured = measure_baselines([documents], [train], [validation], plans, CONFIG, 60)
    return [train.read_bytes(), validation.read_bytes()], measured


@pytest.mark.parametrize(
    ("kind", "value", "gone"),
    [
        ("url", URLS[4], {URLS[4]}),
        ("document", document_id(URLS[7], _text(URLS[7])), {URLS[7]}),
        ("domain", "b.org", {url for url in URLS if "//b." in url}),
        ("domain", "c.org", set()),
    ],
)
def test_it_is_as_if_they_had_never_been(
    tmp_path: Path, kind: Kind, value: str, gone: set[str]
) -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    one = Takedown(id=identify(kind, value), kind=kind, value=value, why="", by="", at=at)
    rest = [url for url in URLS if url not in gone]
    expected = _sharded(rest, tmp_path / "rest", NOTHING)
    assert _sharded(URLS, tmp_path / "all", Forgotten((one,))) == expected
    assert (_sharded(URLS, tmp_path / "nothing", NOTHING) == expected) == (not gone)
