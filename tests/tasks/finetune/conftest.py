"""A page in the shape of pydoc's, and a tiny base model to tune."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from storage.parquet import write_rows
from storage.records import DOCUMENT, PAIR
from storage.workspace import Workspace
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import TRAIN, VALIDATION
from tasks.finetune.train import FinetuneData
from tasks.lm.checkpoint import save_model
from tasks.lm.models import Qwen3
from tasks.lm.models.decoder import Decoder
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.train import save_tokenizer, train_tokenizer
from tests.tasks.lm.conftest import one_thread  # noqa: F401

PAGE = """\
posixpath        index
Module Reference

Common operations on Posix pathnames. Instead of importing this module
directly, import os and refer to this module as os.path:

join(a, *p)  # joins pathnames

Modules

genericpath

Classes

builtins.object
PathWalker
DeepWalker

class DeepWalker(PathWalker)
        DeepWalker(top)

Walks below links, too.

        Method resolution order:
DeepWalker
PathWalker
builtins.object

        Methods defined here:
__init__(self, top)
Initialize self.  See help(type(self)) for accurate signature.
links(self)
Return every symbolic link met on the way.
        Methods inherited from PathWalker:
step(self, count=1)
Move the given number of entries forward and return the last one.

class PathWalker(builtins.object)
        PathWalker(top, *, limit=None)

Walks all entries under a folder.

        Methods defined here:
__reduce__(...)
Helper for pickle.
async settle(self) -> None
Wait until every pending listing has arrived.
step(self, count=1)
step(count : int) -> str

Move the given number of entries forward
and return the last one.

This paragraph is not part of the answer.
Class methods defined here:
fromenv(name='PATH') from builtins.type
Start from the folder that an environment variable names.
Data descriptors defined here:
__dict__
dictionary for instance variables
weight(self)
This callable descriptor is data and gives no pair.
Data and other attributes defined here:
order = <function order at 0x7f0000000000>

Functions

abspath(path)
Return an absolute path.
exists = lexists(path)
Test whether a path exists, under its second name.
join(a, *p)
Join two or more pathname components, inserting '/' as needed.
If any component is an absolute path, all previous path components
will be discarded.

An empty last part will result in a path that ends with a separator.
ismount(path)
islink(path)
Test whether a path is a symbolic link
isabs(s)
__doc__ = 'isabs'

Data

__all__ = ['abspath', 'join']
splitext(p)
Split what stands under Data, which is no definition.
"""


@pytest.fixture(scope="session")
def page() -> str:
    return PAGE


@pytest.fixture
def write_documents(tmp_path: Path) -> Callable[..., Path]:
    """Write documents given as (url, text) as the dedup stage does."""

    def write(*documents: tuple[str, str], name: str = "documents.parquet") -> Path:
        blank: dict[str, Any] = {field.name: "" for field in DOCUMENT}
        blank |= {"language_score": 1.0, "num_words": 1, "repeated_share": 0.0, "pii": []}
        blank |= {"quality": 0.5}
        rows = [
            {**blank, "document_id": f"id of {url}", "url": url, "text": text}
            for url, text in documents
        ]
        workspace = Workspace(tmp_path / "documents")
        write_rows(workspace, name, rows, DOCUMENT)
        return workspace.data / name

    return write


def _pair(number: int) -> dict[str, str]:
    name = f"mod{number % 7}.fold{number}"
    answer = f"fold{number}(item)\nFold the item {number} times and return it."
    return {
        "name": name,
        "prompt": f"What is {name}?",
        "answer": answer,
        "document_id": f"{number:032x}",
    }


@pytest.fixture(scope="session")
def make_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FinetuneData]:
    """Forty-eight train and eight held-out pairs, and a base with random weights everywhere."""

    def make(**knobs: Any) -> FinetuneData:
        root = tmp_path_factory.mktemp("base")
        workspace = Workspace(root)
        pairs = [_pair(number) for number in range(56)]
        write_rows(workspace, TRAIN, [p for i, p in enumerate(pairs) if i % 7], PAIR)
        write_rows(workspace, VALIDATION, [p for i, p in enumerate(pairs) if not i % 7], PAIR)
        tokenizer, base = root / "tokenizer", root / "model"
        tokenizer.mkdir()
        base.mkdir()
        texts = [f"{pair['prompt']}\n{pair['answer']}" for pair in pairs]
        config = TokenizerConfig(vocab_size=292)
        save_tokenizer(train_tokenizer(texts, config), tokenizer)
        shape = {
            "num_layers": 1,
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_heads": 2,
            "num_kv_heads": 1,
            "head_dim": 8,
        }
        model = Decoder(Qwen3.model_validate({**shape, **knobs}), 292, 64)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(float(parameter.ndim == 1), 0.1, generator=generator)
        save_model(model, tokenizer, base)
        return FinetuneData(workspace.data / TRAIN, workspace.data / VALIDATION, base)

    return make


@pytest.fixture(scope="session")
def finetune_data(make_base: Callable[..., FinetuneData]) -> FinetuneData:
    return make_base()


@pytest.fixture
def tiny_finetuning() -> FinetuneConfig:
    return FinetuneConfig.model_validate(
        {
            "adapter": {"kind": "lora", "rank": 4, "alpha": 8},
            "epochs": 4,
            "batch_tokens": 256,
            "learning_rate": 0.01,
            "checkpoint_steps": 3,
            "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
        }
    )
