"""Nothing from outside reaches a terminal but as text, whichever way it is printed."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import sys
import warnings
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

import flows.cli
from flows.console import console_reporter
from flows.render import make_console, plain_logs, print_json, print_text, say
from storage.errors import Fault, RunError
from tasks.page import escape as escape_markdown
from tasks.page import fence
from tasks.printable import printable, printable_json
from tasks.progress import note, reporting_to, track
from tests.conftest import ROOT
from tests.flows.conftest import Cli
from tests.flows.sealed import seal

OBEYED = [
    "\x1b", "\x07", "\x08", "\x00", "\x0e", "\r", "\x7f", "\x9b", "\x9d", "\x85",
    "\u202e", "\u2066", "\u200f", "\u061c", "\u2028", "\ufeff", "\U000e0041",
]  # fmt: skip
HOSTILE = "Bờ" + "".join(f"{mark}]0;t[31mx" for mark in OBEYED) + "xa"
WORD = HOSTILE.replace("\0", "")  # as an argument can be
KEPT = "Phù sa,\tsông\u00a0Hồng 沙 🏞 \u0645\u06cc\u200c\u062e \u0915\u094d\u200d\u0937"


def is_plain(text: str) -> bool:
    return not set(OBEYED) & set(text)


@given(st.text())
def test_what_is_left_is_obeyed_by_no_terminal(text: str) -> None:
    shown = printable(text)
    assert printable(shown) == shown
    assert all(c in "\n\t" or not (ord(c) < 32 or 0x7F <= ord(c) < 0xA0) for c in shown)
    shown.encode()


def test_letters_of_every_script_stay() -> None:
    assert printable(KEPT) == KEPT
    assert printable(HOSTILE) == "Bờ" + "]0;t[31mx" * len(OBEYED) + "xa"


@given(st.recursive(st.text() | st.integers(), st.lists))
def test_json_reads_back_as_it_was(value: object) -> None:
    document = json.dumps(value, ensure_ascii=False)
    assert json.loads(printable_json(document)) == value
    assert is_plain(printable_json(document))


@pytest.mark.parametrize("is_terminal", [False, True])
def test_every_way_of_a_console(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    console = make_console()
    assert console.is_terminal == is_terminal
    table = Table(HOSTILE, title=escape(HOSTILE), caption=Text(HOSTILE))
    table.add_row(escape(HOSTILE))
    tree = Tree(escape(HOSTILE))
    tree.add(Text(HOSTILE, "bold"))
    for drawn in (table, tree, escape(HOSTILE), Text(HOSTILE)):
        console.print(drawn)
    console.rule(escape(HOSTILE))
    say(console, [HOSTILE], style="bold")
    print_text(HOSTILE)
    print_json({HOSTILE: [HOSTILE]})
    said = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())  # styles of ours
    assert is_terminal == (said != shown.getvalue())
    assert "]0;t[31mx" in said and is_plain(said)


def test_a_table_stays_in_line(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("site")
    for cell in (HOSTILE[:40], "a.example"):
        table.add_row(escape(cell))
    make_console().print(table)
    assert len({cell_len(line) for line in capsys.readouterr().out.splitlines()}) == 1


def test_progress_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    with console_reporter(make_console()) as reporter, reporting_to(reporter):
        note(f"fetching {HOSTILE}")
        with track(HOSTILE, 2, "pages") as bar:
            bar.advance(host=HOSTILE)
    said = capsys.readouterr().out
    assert "fetching Bờ" in said and is_plain(said)


def test_errors_logs_and_warnings(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    factory = logging.getLogRecordFactory()
    ours = RunError(Fault(HOSTILE, HOSTILE, HOSTILE, HOSTILE))
    try:
        for error in (ours, ValueError(HOSTILE), OSError(28, HOSTILE)):
            for as_json in ((), ("--json",)):

                def fails(error: Exception = error, **_: object) -> None:
                    logging.getLogger("a library").error("at %s", HOSTILE)
                    raise error

                monkeypatch.setattr(flows.cli, "app", fails)
                done = cli("artifacts", *as_json)
                assert done.code == 1 and "]0;t[31mx" in done.err
                assert is_plain(done.out + done.err)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            plain_logs()
            warnings.warn(HOSTILE, stacklevel=1)
        said = capsys.readouterr().err
        assert "]0;t[31mx" in said and is_plain(said)
    finally:
        logging.setLogRecordFactory(factory)


def test_commands_over_a_store_of_a_hostile_site(cli: Cli, tmp_path: Path) -> None:
    stats = {"hosts": [{"host": HOSTILE, "pages": 1}], "domains": {HOSTILE: 1}, HOSTILE: HOSTILE}
    config = {"source": {"seeds": [HOSTILE]}}
    for version in ("20261121-010101-000-aaaa", "20261121-020202-000-bbbb"):
        table = pa.table({HOSTILE: [HOSTILE + version]})
        seal(tmp_path, "crawl", version, {"x.parquet": table}, stats=stats, config=config,
             stage="crawl", type="pages")  # fmt: skip
    page = tmp_path / "page.html"
    page.write_text(f"<title>{HOSTILE}</title><p>{HOSTILE} {'và phù sa ' * 30}</p>")
    asked = (
        ("artifacts",), ("show", "crawl"), ("show", WORD), ("diff", "crawl@20261121-01", "crawl"),
        ("promote", "crawl", "prod", "--override", WORD), ("verify",), ("gc",),
        ("forget", "http://a.example/", "--why", WORD), ("trace", WORD), ("plan", WORD),
        ("clean", "try", page, "--url", f"http://a.example/{WORD[:9]}"),
    )  # fmt: skip
    for words in asked:
        for as_json in ((), ("--json",)):
            done = cli(*words, "--store", tmp_path, *as_json)
            assert is_plain(done.out + done.err), (words, as_json)
            assert "Traceback" not in done.err, (words, done.err)
            if as_json and done.code == 0:
                json.loads(done.out)
    assert is_plain(cli("clean", "try", page, "--text").out)


def test_pages_of_runs() -> None:
    assert is_plain(escape_markdown(HOSTILE)) and is_plain(fence(HOSTILE))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "flows").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_commands_print_by_render_alone(path: Path) -> None:
    if path.name in ("render.py", "reference.py"):  # the one place; a page of the documentation
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            written = name.endswith(("stdout.write", "stderr.write", "file.write"))
            assert name not in ("print", "Console", "typer.echo", "typer.secho"), node.lineno
            assert not written or "file" in name.partition(".")[0], (path, node.lineno)
