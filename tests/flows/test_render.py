"""The table of hosts, on a crawl's page and in `phusa show`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from flows.render import HOST_COLUMNS, host_rows
from storage.manifest import Manifest
from storage.records import HOST


def _with(stats: dict[str, Any]) -> Manifest:
    return cast("Manifest", SimpleNamespace(stats=stats))


def test_a_row_for_each_host_as_a_person_reads_it() -> None:
    row: dict[str, Any] = dict.fromkeys(HOST.names, 1234567)
    row |= {"host": "h.example", "delay_s": 1.25, "robots": "read"}
    (cells,) = host_rows(_with({"hosts": [row]}))
    assert cells == ["h.example", *["1,234,567"] * 6, "1.2", "read"]
    assert set(HOST_COLUMNS) <= set(HOST.names)


def test_other_artifacts_have_none() -> None:
    assert host_rows(_with({})) == host_rows(_with({"hosts": 3})) == []
