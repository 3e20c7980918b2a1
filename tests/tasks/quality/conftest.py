"""Real paragraphs of Python's own help, whole and with their words in any order."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from pydoc_data import topics
from typing import Any

import pytest

from storage.identities import document_id
from storage.parquet import shard_name, write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace

Row = dict[str, Any]
Write = Callable[..., Path]


def paragraphs(least: int = 25) -> list[str]:
    """Some 950 paragraphs of prose and code about Python."""
    texts: dict[str, str] = topics.topics
    found = (part for text in texts.values() for part in re.split(r"\n\s*\n", text))
    return list(dict.fromkeys(part for part in found if len(part.split()) >= least))


def jumbled(texts: Sequence[str]) -> list[str]:
    """The same words in another order: only what stands beside what tells them apart."""
    draw = random.Random(7)
    split = [text.split() for text in texts]
    for words in split:
        draw.shuffle(words)
    return [" ".join(words) for words in split]


@pytest.fixture(scope="session")
def whole() -> list[str]:
    return paragraphs()


@pytest.fixture
def write_examples(tmp_path: Path) -> Write:
    """`write_examples("good.jsonl", texts)`: JSON lines; `facts` are further columns."""

    def write(name: str, texts: Sequence[str], **facts: Sequence[str]) -> Path:
        path = tmp_path / name
        rows = [
            {"text": text, **{key: of[number] for key, of in facts.items()}}
            for number, text in enumerate(texts)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def document(url: str, text: str, **facts: Any) -> Row:
    plain: Row = {field.name: "" for field in DOCUMENT}
    plain |= {"language_score": 1.0, "num_words": 1, "repeated_share": 0.0, "pii": []}
    plain |= {"language": "en", "quality": -1.0}
    return plain | {"document_id": document_id(url, text), "url": url, "text": text, **facts}


def write_documents(root: Path, rows: Sequence[Row], num_shards: int = 1) -> list[Path]:
    """The rows dealt over shards as the clean stage writes them."""
    workspace = Workspace(root)
    paths = []
    for number in range(num_shards):
        name = shard_name("documents", number, num_shards)
        own = sorted(rows[number::num_shards], key=lambda row: str(row["document_id"]))
        write_rows(workspace, name, own, DOCUMENT)
        paths.append(workspace.data / name)
    return paths
