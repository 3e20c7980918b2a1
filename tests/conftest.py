"""What all tests share: a small website on loopback, and one Prefect server for the session."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from tests.flows.servers import prefect_server
from tests.site import TinySite
from tests.storage.s3_server import make_bucket, s3_server

ROOT = Path(__file__).parent.parent

# Examples of property tests are the same each time, so that nobody's first run fails by chance;
# `make fleet` draws others each time. Time says nothing on a machine that is shared.
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("PHUSA_EXAMPLES", "fixed"))


@pytest.fixture(scope="session")
def tiny_site() -> Iterator[TinySite]:
    """A website of some sixty pages of made-up reference documentation."""
    with TinySite() as site:
        yield site


@pytest.fixture(scope="session")
def prefect_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a process that talks to this session's own, real Prefect server."""
    home = tmp_path_factory.mktemp("prefect")
    with prefect_server(home, PREFECT_LOGGING_LEVEL="CRITICAL") as env:
        yield env


@pytest.fixture(scope="session")
def s3_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a process that talks to this session's own, real S3 API server."""
    with s3_server(tmp_path_factory.mktemp("s3") / "server.log") as env:
        yield env


@pytest.fixture
def s3_bucket(s3_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a fresh bucket, which this process and its children can reach."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_env.items():
        monkeypatch.setenv(name, value)
    return make_bucket(s3_env, f"phusa-{uuid.uuid4().hex}")


@pytest.fixture
def tiny_recipe(tmp_path: Path, tiny_site: TinySite) -> Path:
    """A recipe over the tiny website that runs in seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe_of(tiny_site)))
    return path


def recipe_of(site: TinySite) -> dict[str, Any]:
    """Every stage at its smallest."""
    return {
        "name": "tiny",
        "workers": 2,
        "prompts": ["What is silt.mod1.fold?"],
        "crawl": {
            "source": {
                "kind": "web",
                "seeds": [site.url],
                "exclude": [r"/private/"],
                "allow_private_addresses": True,
                "politeness": {"delay_s": 0, "delay_factor": 0},
            },
            "num_shards": 3,
        },
        "clean": {
            "extractor": {"kind": "resiliparse"},
            "filters": [{"kind": "length", "min_words": 20}],
        },
        "tokenizer": {"vocab_size": 384},
        "shard": {"sequence_length": 64, "validation_share": 0.15},
        "pretrain": {
            "model": {
                "kind": "qwen3",
                "num_layers": 2,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 2,
                "num_kv_heads": 1,
                "head_dim": 16,
            },
            "tokens": 20_480,
            "batch_sequences": 4,
            "checkpoint_steps": 10,
            "compute": {"threads": 1},
        },
        "finetune": {
            "adapter": {"kind": "lora", "rank": 4, "alpha": 8},
            "epochs": 1,
            "batch_tokens": 256,
            "checkpoint_steps": 5,
            "compute": {"threads": 1},
            "held_out_share": 0.15,
        },
    }
