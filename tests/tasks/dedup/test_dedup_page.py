"""The snippets of docs/dedup.md run as they stand there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "dedup.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_it_runs(snippet: str) -> None:
    exec(compile(snippet, "docs/dedup.md", "exec"), {})


def test_there_is_one() -> None:
    assert SNIPPETS and all("assert " in snippet for snippet in SNIPPETS)
