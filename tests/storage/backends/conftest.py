from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.backends import Backend, open_backend

Fresh = Callable[[], Backend]


@pytest.fixture(params=["local", "memory", "s3"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Fresh:
    """Opens another empty place of each kind, at every call."""
    numbers = itertools.count()
    homes = {"local": tmp_path / "store", "memory": f"memory://{tmp_path}"}
    home = homes.get(request.param) or f"{request.getfixturevalue('s3_bucket')}/a prefix"
    return lambda: open_backend(f"{home}/{next(numbers)}")


@pytest.fixture
def backend(fresh: Fresh) -> Backend:
    return fresh()
