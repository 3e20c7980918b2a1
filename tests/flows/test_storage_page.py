"""docs/storage.md: the code that it shows runs, and its layout is the one that stores have."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from storage import layout
from storage.store import Store
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "storage.md").read_text()


def test_an_artifact_is_read_with_nothing_but_pyarrow(store: Store, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (tmp_path / ".phusa").symlink_to(store.address)
    checked = code + (
        "import sys\n"
        "assert documents.num_rows == manifest['rows_out']\n"
        "assert not {'storage', 'tasks', 'flows'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", checked], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "document_id" in done.stdout


def test_the_page_shows_the_layout() -> None:
    assert layout.__doc__ is not None
    lines = [line for line in layout.__doc__.splitlines() if "  " in line]
    assert len(lines) == 10
    for line in lines:
        assert line.split()[0] in PAGE, line


def test_stores_hold_nothing_that_the_page_does_not_name(store: Store) -> None:
    for path in Path(store.address).iterdir():
        assert f"\n{path.name}/" in PAGE, path
