"""One contract for every filter, every rule at its bound, every reason reached."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.filters import Candidate, Filter, GopherQuality, Length, Repetition, Verdict, judge
from tasks.clean.filters.gopher_quality import STOP_WORDS
from tasks.config import Config

MEMBERS: tuple[type[Any], ...] = get_args(get_args(Filter)[0])

# One text for each reason that a filter may give, under its default knobs.
REASONS: dict[type[Any], dict[str, str]] = {
    Length: {"too_few_words": "word " * 49, "too_many_words": "word " * 100_001},
    GopherQuality: {
        "short_words": "the of to a b c d e",
        "long_words": "incomprehensibilities and the antidisestablishmentarianism",
        "number_signs": "# the heading and a longer text",
        "ellipses": "wait ... the story and more…",
        "few_alphabetic_words": "the and 1234 5678 91011 word",
        "few_stop_words": "seven large brown horses jump over fences",
        "bullet_lines": "\n".join(["- point the with and"] * 10),
        "ellipsis_lines": "the story and that which have been told is here...\nand then more",
    },
    Repetition: {
        "repeated_lines": "a\na\na\nb",
        "repeated_characters": "a long line that repeats itself\na long line that repeats itself\n"
        + "\n".join(f"{n}" for n in range(8)),
    },
}

CANDIDATES = st.builds(
    Candidate,
    st.text(st.sampled_from("the and a#…\n -•x1.W\u0301ệ日"), max_size=80) | st.text(max_size=40),
    st.sampled_from(["en", "vi", "und", "zh"]),
)


def _judge(rule: Any, text: str, language: str = "en") -> Verdict | None:
    return judge(rule.bounds(), rule.measure(Candidate(text, language)))


def _reason(rule: Any, text: str, language: str = "en") -> str | None:
    verdict = _judge(rule, text, language)
    return verdict and verdict.reason


def test_every_filter_is_covered() -> None:
    assert set(REASONS) == set(MEMBERS)
    kinds = [member.model_fields["kind"].default for member in MEMBERS]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("member", MEMBERS)
@given(CANDIDATES)
def test_contract(member: type[Any], candidate: Candidate) -> None:
    rule = member()
    assert isinstance(rule, Config)
    signals = rule.measure(candidate)
    again = rule.measure(Candidate(candidate.text, candidate.language))
    assert signals.keys() == again.keys() == {bound.signal for bound in rule.bounds()}
    assert all(math.isnan(v) or v == again[k] for k, v in signals.items()), "not pure"
    verdict = judge(rule.bounds(), signals)
    if verdict is not None:
        assert verdict.reason in REASONS[member]
        assert verdict.value
        assert verdict.threshold


@pytest.mark.parametrize("member", MEMBERS)
def test_contract_on_odd_texts(member: type[Any]) -> None:
    for text in ("", " ", "\n", "a", "…", "#" * 1000, "x" * 100_000, "日本語" * 50):
        assert _judge(member(), text) == _judge(member(), text)


@pytest.mark.parametrize(
    ("member", "reason"), [(member, reason) for member in REASONS for reason in REASONS[member]]
)
def test_every_reason_is_reached(member: type[Any], reason: str) -> None:
    assert _reason(member(), REASONS[member][reason]) == reason


PROSE = (
    "The river that runs past our town begins with a spring in the hills, and people have to walk "
    "for a day to see it.\nIt is said that whoever drinks there will be lucky for the year.\n"
    "Most of them come back with wet shoes and a good story to tell."
)


@pytest.mark.parametrize("member", [GopherQuality, Repetition])
def test_running_text_passes(member: type[Any]) -> None:
    assert _judge(member(), PROSE) is None


@pytest.mark.parametrize(
    ("rule", "text", "value", "threshold"),
    [
        (Length(min_words=3), "a b", "2", ">= 3"),
        (Length(min_words=0, max_words=2), "a b c", "3", "<= 2"),
        (Repetition(), "a\na\nb", "0.3333", "<= 0.3"),
    ],
)
def test_a_verdict_tells_the_value_and_the_bound(
    rule: Any, text: str, value: str, threshold: str
) -> None:
    verdict = _judge(rule, text)
    assert verdict is not None
    assert (verdict.value, verdict.threshold) == (value, threshold)


def _gopher(**bounds: float) -> GopherQuality:
    """The rules with every bound wide open but those given."""
    wide: dict[str, Any] = {
        "min_mean_word_length": 0,
        "max_mean_word_length": 1e9,
        "max_symbol_share": 1,
        "max_bullet_line_share": 1,
        "max_ellipsis_line_share": 1,
        "min_alphabetic_share": 0,
        "min_stop_words": 0,
    }
    return GopherQuality(**(wide | bounds))


# Each rule: exactly at its bound a text passes, one step beyond it does not.
EDGES = [
    (Length(min_words=3), "a b c", "a b", "too_few_words"),
    (Length(min_words=0, max_words=3), "a b c", "a b c d", "too_many_words"),
    (_gopher(min_mean_word_length=3), "four is", "for is", "short_words"),
    (_gopher(max_mean_word_length=3), "four is", "four was", "long_words"),
    (_gopher(max_symbol_share=0.5), "#a b", "#a #b c", "number_signs"),
    (_gopher(max_symbol_share=0.5), "a... b", "a... b… c", "ellipses"),
    (_gopher(min_alphabetic_share=0.5), "a 1", "a 1 2", "few_alphabetic_words"),
    (_gopher(min_stop_words=2), "The of x", "The the x", "few_stop_words"),
    (_gopher(max_bullet_line_share=0.5), "- a\nb", "- a\n• b\nc", "bullet_lines"),
    (_gopher(max_ellipsis_line_share=0.5), "a...\nb", "a...\nb…\nc", "ellipsis_lines"),
    (Repetition(max_repeated_line_share=0.5), "ab\nab", "ab\nab\nab", "repeated_lines"),
    (
        Repetition(max_repeated_line_share=1, max_repeated_character_share=0.5),
        "ab\nab",
        "ab\nab\nab\nc",
        "repeated_characters",
    ),
]


@pytest.mark.parametrize(("rule", "at", "beyond", "reason"), EDGES, ids=[e[3] for e in EDGES])
def test_at_the_bound_a_text_passes_and_beyond_it_does_not(
    rule: Any, at: str, beyond: str, reason: str
) -> None:
    if isinstance(rule, Repetition) and reason == "repeated_lines":
        rule = rule.model_copy(update={"max_repeated_character_share": 1.0})
    assert _judge(rule, at) is None
    assert _reason(rule, beyond) == reason


def test_the_edges_cover_every_reason() -> None:
    assert {edge[3] for edge in EDGES} == {reason for texts in REASONS.values() for reason in texts}


def test_the_first_broken_rule_counts() -> None:
    assert _reason(GopherQuality(), "# # # #") == "short_words"
    assert _reason(_gopher(max_symbol_share=0, min_stop_words=2), "# ...") == "number_signs"


@pytest.mark.parametrize("language", STOP_WORDS)
def test_stop_words_of_each_language(language: str) -> None:
    rule = _gopher(min_stop_words=2)
    first, second = sorted(STOP_WORDS[language])[:2]
    assert _judge(rule, f"{first.upper()} zzz {second}", language) is None
    assert _reason(rule, f"{first} zzz {first}", language) == "few_stop_words"


def test_a_language_without_stop_words_is_not_asked() -> None:
    assert _judge(_gopher(min_stop_words=2), "zzz yyy", "zh") is None
    assert _judge(_gopher(min_stop_words=2), "zzz yyy", "und") is None


@given(st.text(st.sampled_from("ab \n\r\u2028"), max_size=60))
def test_repeated_share_is_a_share(text: str) -> None:
    share = Candidate(text, "en").repeated_share
    assert 0 <= share < 1
    if len(set(Candidate(text, "en").lines)) == len(Candidate(text, "en").lines):
        assert share == 0


def test_repeated_share_counts_characters_of_repeats_only() -> None:
    assert Candidate("abcd\n  abcd  \n\nab\nab\nab", "en").repeated_share == (4 + 4) / (8 + 6)
