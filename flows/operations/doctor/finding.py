"""What a check of `phusa doctor` finds, and what it is given to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

Status = Literal["ok", "warning", "error", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One line of the report. `expected` and `remedy` are empty where all is well."""

    check: str
    status: Status
    found: str
    expected: str = ""
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check, "ok", found)


def warning(check: str, found: str, expected: str, remedy: str) -> Finding:
    return Finding(check, "warning", found, expected, remedy)


def error(check: str, found: str, expected: str, remedy: str) -> Finding:
    return Finding(check, "error", found, expected, remedy)


@dataclass(frozen=True)
class Place:
    """What is examined. `client` is None where the Prefect API does not answer."""

    store: str | None
    home: Path
    api_url: str | None = None
    client: SyncPrefectClient | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def api(self) -> SyncPrefectClient:
        assert self.client is not None, "checks of the server are skipped without one"
        return self.client


Check = Callable[[Place], list[Finding]]
