"""Pages without a Prefect server: what would be sent is kept instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.artifacts import Artifact

from storage.manifest import RunRef
from tasks.progress import SilentReporter, reporting_to

RUN = RunRef(recipe="tiny", host="test", flow_run_id="11111111-2222-3333-4444-555555555555")


class Shown(SilentReporter):
    """Artifacts by key, and the notes that were said beside."""

    def __init__(self) -> None:
        self.artifacts: dict[str, Any] = {}
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def __getitem__(self, key: str) -> str:
        """The markdown of a page."""
        return str(self.artifacts[key].markdown)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    kept = Shown()
    monkeypatch.setattr(Artifact, "create", lambda self: kept.artifacts.update({self.key: self}))
    with reporting_to(kept):
        yield kept
