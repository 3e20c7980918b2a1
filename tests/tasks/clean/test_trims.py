"""One contract for every trim, every rule at its bound."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.text import tidy
from tasks.clean.trims import Boilerplate, C4Lines, Menus, Trim, trim
from tasks.config import Config

MEMBERS: tuple[type[Any], ...] = get_args(get_args(Trim)[0])

# For each reason, a line that stays and one that goes.
EDGES = [
    (C4Lines(max_word_characters=6), "one two three.", "one two threes.", "long_word_line"),
    (C4Lines(), "one two three.", "one two three", "unended_line"),
    (C4Lines(), "one two three.", "one two three...", "unended_line"),
    (C4Lines(), "một hai ba ”", "một hai ba —", "unended_line"),
    (C4Lines(any_script=False), 'one two "three"', "one two three。", "unended_line"),
    (C4Lines(), "one two three.", "one two.", "short_line"),
    (C4Lines(), "Java script is on.", "This needs JavaScript now.", "javascript_line"),
    (C4Lines(), "They use biscuits here.", "They Use Cookies here.", "policy_line"),
    (Boilerplate(), "We eat cookies.", "We USE cookies.", "cookie_line"),
    (Boilerplate(max_words=3), "We do use cookies", "We use cookies", "cookie_line"),
    (Boilerplate(), "JavaScript is a language.", "Vui lòng bật JavaScript!", "script_line"),
    (Boilerplate(), "Rights are reserved.", "© 2026. Tous droits réservés.", "policy_line"),
    (Boilerplate(), "Share it with all.", "Chia sẻ bài viết này", "sharing_line"),
    (Menus(min_lines=1, max_characters=4), "Homes", "Home", "menu_line"),
    (Menus(min_lines=1), "The end.", "The end", "menu_line"),
]
REASONS = {
    C4Lines: {"long_word_line", "unended_line", "short_line", "javascript_line", "policy_line"},
    Boilerplate: {"cookie_line", "script_line", "policy_line", "sharing_line"},
    Menus: {"menu_line"},
}

TEXTS = st.lists(st.sampled_from(["[1]", *"ae\u0301 .…\n-“Aệ日。"]), max_size=80).map(
    "".join
) | st.lists(
    st.sampled_from([line for edge in EDGES for line in edge[1:3]] + [""]), max_size=9
).map("\n".join)


def test_every_reason_of_every_trim_is_covered() -> None:
    assert set(REASONS) == set(MEMBERS)
    reached = {member: {e[3] for e in EDGES if isinstance(e[0], member)} for member in MEMBERS}
    assert reached == REASONS


@pytest.mark.parametrize("member", MEMBERS)
@given(TEXTS.map(tidy))
def test_contract(member: type[Any], text: str) -> None:
    rule = member()
    assert isinstance(rule, Config)
    trimmed = rule.apply(text)
    assert trimmed == rule.apply(text), "not pure"
    assert set(trimmed.counts) <= REASONS[member]
    before = rule.without_citations(text) if isinstance(rule, C4Lines) else text
    lines, kept = _lines(before), _lines(trimmed.text)
    assert len(lines) == len(kept) + sum(trimmed.counts.values())
    assert tidy(trimmed.text) == trimmed.text
    assert not Counter(kept) - Counter(lines), "a line that was not there"
    if not trimmed.counts and before == text:
        assert trimmed.text == text


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize(("rule", "stays", "goes", "reason"), EDGES)
def test_at_the_bound_a_line_stays_and_beyond_it_goes(
    rule: Any, stays: str, goes: str, reason: str
) -> None:
    assert rule.apply(stays).text == stays
    trimmed = rule.apply(f"{stays}\n{goes}")
    assert (trimmed.text, trimmed.counts) == (stays, {reason: 1})


def test_citations_go_and_the_line_ends_before_them() -> None:
    text = "It was so in the end.[12][3]\nHistory[edit]\nThey say[citation needed] it was."
    trimmed = C4Lines().apply(text)
    assert trimmed.text == "It was so in the end.\nThey say it was."
    assert C4Lines(citations=False).apply(text).text == "They say[citation needed] it was."


def test_paragraphs_and_indents_stay() -> None:
    text = "The first one is here.\n\nmenu\n\n  The second one is here."
    assert C4Lines().apply(text).text == "The first one is here.\n\n  The second one is here."


def test_a_menu_is_a_run_of_lines() -> None:
    run = "\n\n".join(["Home", "News", "Sport", "About us"])
    assert Menus(min_lines=4).apply(f"{run}\nA sentence is here.\nEnd").counts == {"menu_line": 4}
    assert not Menus(min_lines=5).apply(f"{run}\nA sentence is here.\nEnd").counts


def test_trims_come_one_after_the_other() -> None:
    text = "We use cookies.\nIt is a story of some words.\nEnd"
    trimmed = trim((Boilerplate(), C4Lines()), text)
    assert trimmed.text == "It is a story of some words."
    assert trimmed.counts == {"cookie_line": 1, "unended_line": 1}
    assert trim((), text).text == text
