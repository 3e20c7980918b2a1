"""Nothing that comes from the web may become more than text on a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tasks.page import escape, facts_table, fence, number, share, table
from tasks.printable import printable

MARKS = ["`", "```", "````", "~~~", "|", "\\", "* a", "&lt;", "![a](http://x/y)", "<img src=x>"]
SPACE = ["\n", "\r\n", " ", "\t", "\x00", "word", "é"]
BLOCKS = ["</code></pre>", "```mermaid\n", "<script>"]
NASTY = st.lists(st.sampled_from([*MARKS, *SPACE, *BLOCKS]), max_size=40).map("".join)


@given(NASTY | st.text())
def test_a_fence_holds_whatever_is_in_it(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"before\n\n{fence(text)}\n\nafter")
    kinds = [token.type for token in tokens if token.type not in ("inline",)]
    paragraph = ["paragraph_open", "paragraph_close"]
    assert kinds == [*paragraph, "fence", *paragraph]
    (block,) = [token for token in tokens if token.type == "fence"]
    assert block.info == "text"
    assert "".join(block.content.split()) == "".join(printable(text).split())
    assert all(len(line) <= 72 or " " not in line.strip() for line in block.content.split("\n"))


@given(NASTY | st.text())
def test_an_escaped_line_is_text_and_nothing_else(text: str) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = parser.parse(table(("a",), [[f"x{escape(text)}"]]))
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 2  # no cell more
    kinds = {child.type for child in cells[1].children or ()}
    assert kinds <= {"text", "text_special"}


def test_control_characters_do_not_reach_the_server() -> None:
    assert fence("a\x00b\x1b[31m\u202ec") == "```text\nab[31mc\n```"


def test_long_lines_are_wrapped_and_short_ones_kept() -> None:
    long = "  " + "word " * 40
    lines = fence(f"  as it is\n{long}").split("\n")[1:-1]
    assert lines[0] == "  as it is" and len(lines) == 4 and max(map(len, lines)) <= 72


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (43232, "43,232"),
        (0.51026, "0.5103"),
        ({"en": 1200, "de": 3}, "en 1,200, de 3"),
        ({str(n): n for n in range(9)}, "0 0, 1 1, 2 2, 3 3, 4 4, 5 5, 6 6, 7 7, …"),
        ({}, "-"),
        ("cpu", "cpu"),
        (None, "None"),
        (True, "True"),
    ],
)
def test_numbers_are_for_people(value: object, says: str) -> None:
    assert number(value) == says


def test_facts_are_two_columns() -> None:
    assert facts_table({"a_b": "x|y"}) == "|  |  |\n| --- | --- |\n| a\\_b | x\\|y |"


def test_a_share_is_of_something() -> None:
    assert (share(1, 8), share(0, 0)) == ("12.5 %", "")
