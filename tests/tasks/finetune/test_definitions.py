"""What a reference page defines itself, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.finetune.pairs.definitions import Definitions, Entry, entries, is_boilerplate

URL = "http://localhost:8630/posixpath.html"


def _document(text: str, url: str = URL) -> dict[str, Any]:
    return {"document_id": "d", "url": url, "text": text}


def _answers(text: str, **knobs: Any) -> dict[str, str]:
    pairs = Definitions(**knobs).build(_document(text))
    return {pair["name"]: pair["answer"] for pair in pairs}


def test_own_members_and_functions_give_pairs(page: str) -> None:
    assert _answers(page) == {
        "posixpath.DeepWalker.links": "links(self)\nReturn every symbolic link met on the way.",
        "posixpath.PathWalker.settle": (
            "async settle(self) -> None\nWait until every pending listing has arrived."
        ),
        "posixpath.PathWalker.step": (
            "step(self, count=1)\n"
            "Move the given number of entries forward\nand return the last one."
        ),
        "posixpath.PathWalker.fromenv": (
            "fromenv(name='PATH') from builtins.type\n"
            "Start from the folder that an environment variable names."
        ),
        "posixpath.abspath": "abspath(path)\nReturn an absolute path.",
        "posixpath.exists": (
            "exists = lexists(path)\nTest whether a path exists, under its second name."
        ),
        "posixpath.join": (
            "join(a, *p)\nJoin two or more pathname components, inserting '/' as needed.\n"
            "If any component is an absolute path, all previous path components\n"
            "will be discarded."
        ),
        "posixpath.islink": "islink(path)\nTest whether a path is a symbolic link",
    }


def test_entries_tell_what_they_belong_to(page: str) -> None:
    found = [(entry.owner, entry.name) for entry in entries(page)]
    assert found == [
        ("DeepWalker", "__init__"),
        ("DeepWalker", "links"),
        ("PathWalker", "__reduce__"),
        ("PathWalker", "settle"),
        ("PathWalker", "step"),
        ("PathWalker", "fromenv"),
        ("", "abspath"),
        ("", "exists"),
        ("", "join"),
        ("", "ismount"),
        ("", "islink"),
        ("", "isabs"),
    ]


def test_a_pair_asks_for_the_name_and_names_its_document(page: str) -> None:
    source = Definitions(question="Explain {name} ({name}).", aliases={"posixpath": "os.path"})
    pair = next(p for p in source.build(_document(page)) if p["name"].endswith("join"))
    assert pair["name"] == "os.path.join"
    assert pair["prompt"] == "Explain os.path.join (os.path.join)."
    assert pair["document_id"] == "d"
    assert set(pair) == {"name", "prompt", "answer", "document_id"}


def test_the_limit_counts_the_whole_answer(page: str) -> None:
    longest = _answers(page)["posixpath.join"]
    assert "posixpath.join" in _answers(page, max_answer_characters=len(longest))
    shorter = _answers(page, max_answer_characters=len(longest) - 1)
    assert "posixpath.join" not in shorter
    assert len(shorter) == len(_answers(page)) - 1


def test_other_documents_give_no_pairs(page: str) -> None:
    assert not list(Definitions().build(_document(page, url="http://localhost:8630/topics")))


@pytest.mark.parametrize(
    "text",
    [
        "Initialize self.  See help(type(self)) for accurate signature.",
        "Create and return a new object.  See help(type) for accurate signature.",
        "Return self+value.",
        "Helper for pickle and for copy.",
        "Implement iter(self).",
        "too short",
        "Onewordwithoutanyblank",
        "__slots__ = ['a', 'b', 'c']",
        "# a remark and no sentence",
        "",
    ],
)
def test_boilerplate(text: str) -> None:
    assert is_boilerplate(text)


@pytest.mark.parametrize("text", ["Return an absolute path.", "Élargit la liste donnée."])
def test_not_boilerplate(text: str) -> None:
    assert not is_boilerplate(text)


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"subject": r"\.html$"}, "has no group; expected one around the module's name"),
        ({"subject": "("}, "expected a regular expression"),
        ({"question": "What is it?"}, r"has no \{name\}; expected it where the name goes"),
    ],
)
def test_wrong_knobs_are_refused_when_the_recipe_is_read(knobs: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Definitions.model_validate(knobs)


SHAPES = st.sampled_from(
    [
        "class Walker(object)",
        "        Methods defined here:",
        "Methods inherited from a.B:",
        "Data descriptors defined here:",
        "Functions",
        "Data",
        "step(self, count=1)",
        "step(count : int) -> str",
        "async settle(self)",
        "   indented words of a description",
        "Move the given number of entries forward.",
        "  a second line of words",
        "",
        "\x0c",
        " ",
    ]
)


@given(st.lists(SHAPES | st.text(max_size=30), max_size=40).map("\n".join))
def test_any_text_gives_only_what_it_says(text: str) -> None:
    lines = [line.strip() for line in text.split("\n")]
    for pair in Definitions(max_answer_characters=60).build(_document(text)):
        assert len(pair["answer"]) <= 60
        assert pair["prompt"] == f"What is {pair['name']}?"
        signature, *description = (line.strip() for line in pair["answer"].split("\n"))
        assert signature in lines
        size = len(description)
        assert description in [lines[i : i + size] for i in range(len(lines))]


@given(st.text())
def test_boilerplate_never_raises(text: str) -> None:
    is_boilerplate(text)


def test_the_name_of_an_entry() -> None:
    assert Entry("", "async settle(a = f(1)) -> None", "").name == "settle"
    assert Entry("", "async settle = finish(a = 1)", "").name == "settle"


def test_the_last_line_may_be_a_signature() -> None:
    text = "Functions\nfold(item)\nfold(item) -> item\n"
    assert list(entries(text)) == [Entry("", "fold(item)", "")]
