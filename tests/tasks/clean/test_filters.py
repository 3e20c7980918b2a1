"""One contract for every filter, every rule at its bound, every reason reached."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.clean.filters import (
    C4,
    Adult,
    BiasTerms,
    Candidate,
    Filter,
    FineWeb,
    GopherQuality,
    Harmful,
    Length,
    Repetition,
    UrlBlocklist,
    Verdict,
    WordBlocklist,
    judge,
)
from tasks.clean.filters.bias_terms import TermGroup
from tasks.clean.filters.gopher_quality import STOP_WORDS
from tasks.clean.filters.terms import WeightedTerms
from tasks.config import Config

MEMBERS: tuple[type[Any], ...] = get_args(get_args(Filter)[0])

# The default knobs, or lists where the default has none.
RULES: dict[type[Any], Any] = {member: member() for member in MEMBERS} | {
    UrlBlocklist: UrlBlocklist(
        hosts=("www.bad.example",),
        domains=("worse.example", "Ác.vn"),
        urls=("http://a.example/x?y",),
        words=("casino",),
        soft_words=("bet", "win", "club"),
        substrings=("free-pills",),
    ),
    WordBlocklist: WordBlocklist(terms=("bad", "very bad phrase", "坏词")),
}


def _blocks(n: int, share: float, num: int = 10) -> str:
    """A text of which this share is `num` n-grams that stand there again, in another order."""
    blocks = [" ".join(f"{chr(97 + b)}{chr(97 + w)}xyz" for w in range(n)) for b in range(num)]
    text = " ".join([*blocks, *reversed(blocks[:-1]), "between", blocks[-1]])
    filler = int(num * n * 5 / share) - len(text)
    return text + "".join(f" {number:05d}x" for number in range(filler // 7))


# One text for each reason that a filter may give, under the knobs above; for lists of URLs, a URL.
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
        "repeated_paragraphs": "x\n\nx\n\n" + "\n".join(f"line {n} of ten" for n in range(10)),
        "repeated_paragraph_characters": "a\nb\nc\nd\n\ne\nf\ng\n\na\nb\nc\nd\n\nh\ni\nj",
        "top_2_gram": "the river " * 10,
        "top_3_gram": f"aaaa bbbb cccc {'x' * 57} aaaa bbbb cccc {'y' * 57}",
        "top_4_gram": f"aaaa bbbb cccc dddd {'x' * 90} aaaa bbbb cccc dddd {'y' * 90}",
        **{f"repeated_{n}_grams": _blocks(n, 0.205 - n / 100) for n in range(5, 11)},
    },
    C4: {
        "filler": "Lorem Ipsum dolor. " * 5,
        "curly_brackets": "int main() {\n a\n b\n c\n d",
        "too_few_sentences": "One. Two. Three. Four.",
    },
    FineWeb: {
        "few_ended_lines": "No end of the line\nAnd none of this",
        "short_lines": "It ends.\nSo does this one.",
        "repeated_line_characters": "A line that is long enough to be none of the short.\n" * 2,
        "many_line_feeds": f"{'x' * 40}.\n{'y' * 40}.",
    },
    UrlBlocklist: {
        "blocked_host": "https://WWW.bad.example:8080/a",
        "blocked_domain": "https://a.b.worse.example/",
        "blocked_url": "http://a.example/X?y",
        "blocked_url_word": "https://a.example/the-CASINO/",
        "soft_url_words": "https://bet.example/win",
        "blocked_url_substring": "https://a.example/myfree.pills2",
    },
    WordBlocklist: {"blocked_words": "a Very, bad\nphrase"},
    Adult: {"adult": "free sex videos and porn, hentai for all who want to see that"},
    Harmful: {"harmful": "sieg heil and white power, kill yourself they said to them"},
    BiasTerms: {},
}

CANDIDATES = st.builds(
    Candidate,
    st.text(st.sampled_from("the and a#…\n -•x1.W\u0301ệ日"), max_size=80) | st.text(max_size=40),
    st.sampled_from(["en", "vi", "und", "zh", "th"]),
    st.just("") | st.text(st.sampled_from("htps:/.casino-[]@"), max_size=30),
)


def _judge(rule: Any, text: str, language: str = "en") -> Verdict | None:
    return judge(rule.bounds(), rule.measure(Candidate(text, language, url=text)))


def _reason(rule: Any, text: str, language: str = "en") -> str | None:
    verdict = _judge(rule, text, language)
    return verdict and verdict.reason


def test_every_filter_is_covered() -> None:
    assert set(REASONS) == set(MEMBERS)
    kinds = [member.model_fields["kind"].default for member in MEMBERS]
    assert len(set(kinds)) == len(kinds)


def test_no_two_filters_name_a_signal_or_a_reason_alike() -> None:
    signals = [name for rule in RULES.values() for name in rule.measure(Candidate("a", "en"))]
    assert len(set(signals)) == len(signals)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in signals)
    reasons = [bound.reason for rule in RULES.values() for bound in rule.bounds()]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("member", MEMBERS)
@given(CANDIDATES)
def test_contract(member: type[Any], candidate: Candidate) -> None:
    rule = RULES[member]
    assert isinstance(rule, Config)
    signals = rule.measure(candidate)
    again = rule.measure(Candidate(candidate.text, candidate.language, candidate.url))
    assert signals.keys() == again.keys() >= {bound.signal for bound in rule.bounds()}
    assert all(math.isnan(v) or v == again[k] for k, v in signals.items()), "not pure"
    assert all(math.isnan(v) or v >= 0 for v in signals.values())
    shares = {k: v for k, v in signals.items() if k.endswith("_share")}
    per_word = {"number_sign_share", "ellipsis_share"}
    assert all(v <= 1 or math.isnan(v) for k, v in shares.items() if k not in per_word)
    verdict = judge(rule.bounds(), signals)
    if verdict is not None:
        assert verdict.reason in REASONS[member]
        assert verdict.value
        assert verdict.threshold


@pytest.mark.parametrize("member", MEMBERS)
def test_a_rule_survives_its_recipe(member: type[Any]) -> None:
    rule = RULES[member]
    assert member.model_validate_json(rule.model_dump_json()) == rule


@pytest.mark.parametrize("member", MEMBERS)
def test_contract_on_odd_texts(member: type[Any]) -> None:
    for text in ("", " ", "\n", "a", "…", "#" * 1000, "x" * 100_000, "日本語" * 50, "http://[x"):
        for language in ("en", "ja", "und"):
            rule = RULES[member]
            assert _judge(rule, text, language) == _judge(rule, text, language)


@pytest.mark.parametrize(
    ("member", "reason"), [(member, reason) for member in REASONS for reason in REASONS[member]]
)
def test_every_reason_is_reached(member: type[Any], reason: str) -> None:
    assert _reason(RULES[member], REASONS[member][reason]) == reason


PROSE = (
    "The river that runs past our town begins with a spring in the hills, and people have to walk "
    "for a day to see it.\nIt is said that whoever drinks there will be lucky for the year.\n"
    "Most of them come back with wet shoes and a good story to tell."
)


@pytest.mark.parametrize("member", [m for m in MEMBERS if m not in (Length, C4)])
def test_running_text_passes(member: type[Any]) -> None:
    assert _judge(RULES[member], PROSE) is None


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


def _repetition(**bounds: Any) -> Repetition:
    wide: dict[str, Any] = {
        "max_repeated_line_share": 1,
        "max_repeated_character_share": 1,
        "max_repeated_paragraph_share": 1,
        "max_repeated_paragraph_character_share": 1,
        "max_top_gram_shares": (1, 1, 1),
        "max_repeated_gram_shares": (1,) * 6,
    }
    return Repetition(**(wide | bounds))


def _fineweb(**bounds: float) -> FineWeb:
    wide: dict[str, Any] = {
        "min_terminal_line_share": 0,
        "max_short_line_share": 1,
        "max_repeated_line_characters": 1,
        "max_line_feeds_per_word": 1e9,
    }
    return FineWeb(**(wide | bounds))


def _weighted(member: type[Any]) -> Any:
    terms = (WeightedTerms(weight=2, terms=("bad",)), WeightedTerms(weight=1, terms=("so so",)))
    return member(terms=terms, min_terms=2, max_weight_per_word=0.5)


def _gram_edges() -> Iterator[tuple[Repetition, str, str, str]]:
    """A gram that is half, or a tenth, of a text, and the same with one character less beside."""
    for n, half in ((2, 20), (3, 20), (4, 28)):
        gram = " ".join(["ab", "cd"] if n == 2 else "abcd"[:n])
        share = tuple(0.5 if length == n else 1 for length in (2, 3, 4))
        text = f"{gram} {gram} ".ljust(half, "z")
        yield _repetition(max_top_gram_shares=share), text, text[:-1], f"top_{n}_gram"
    for n in range(5, 11):
        gram = " ".join("abcdefghij"[:n])
        share = tuple(0.1 if length == n else 1 for length in range(5, 11))
        text = f"{gram} {gram} ".ljust(10 * n, "z")
        yield _repetition(max_repeated_gram_shares=share), text, text[:-1], f"repeated_{n}_grams"


BLOCKED = UrlBlocklist(
    hosts=("b.org",), domains=("c.org",), urls=("d.org",), words=("e",), substrings=("f.g",)
)

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
    (_repetition(max_repeated_line_share=0.5), "ab\nab", "ab\nab\nab", "repeated_lines"),
    (
        _repetition(max_repeated_character_share=0.25),
        "ab\nab\nab\n" + "x" * 7,
        "ab\nab\nab\n" + "x" * 6,
        "repeated_characters",
    ),
    (
        _repetition(max_repeated_paragraph_share=0.5),
        "a\n\na",
        "a\n\na\n\na",
        "repeated_paragraphs",
    ),
    (
        _repetition(max_repeated_paragraph_character_share=0.25),
        "a\nb\n\na\nb\n\nzz",
        "a\nb\n\na\nb\n\nz",
        "repeated_paragraph_characters",
    ),
    *_gram_edges(),
    (C4(min_sentences=0, max_fillers=1), "lorem ipsum", "LOREM IPSUM lorem ipsum", "filler"),
    (C4(min_sentences=0, max_curly_brackets=1), "{", "{ {", "curly_brackets"),
    (C4(min_sentences=3), "One. Two!\nthree", "One. and two!\nthree", "too_few_sentences"),
    (_fineweb(min_terminal_line_share=0.5), "a.\nb", "a.\nb\nc", "few_ended_lines"),
    (
        _fineweb(short_line_characters=2, max_short_line_share=0.5),
        "ab\nabc",
        "ab\nab\nabc",
        "short_lines",
    ),
    (
        _fineweb(max_repeated_line_characters=0.5),
        "ab\nab",
        "ab\nab\nab",
        "repeated_line_characters",
    ),
    (_fineweb(max_line_feeds_per_word=0.5), "a\nb", "a\nb\nc", "many_line_feeds"),
    (BLOCKED, "http://a.b.org/", "http://b.org/", "blocked_host"),
    (BLOCKED, "http://ac.org/", "http://a.c.org/", "blocked_domain"),
    (BLOCKED, "d.org/", "d.org", "blocked_url"),
    (BLOCKED, "http://a/ee", "http://a/x_e.html", "blocked_url_word"),
    (BLOCKED.model_copy(update={"soft_words": ("s", "t")}), "s/s", "s/t", "soft_url_words"),
    (BLOCKED, "http://a/gf", "http://a/f-g", "blocked_url_substring"),
    (WordBlocklist(terms=("bad",), max_blocked_words=1), "bad", "bad (bad)", "blocked_words"),
    (_weighted(Adult), "bad so so x x x", "bad so so x x", "adult"),
    (_weighted(Harmful), "bad so so x x x", "bad so so x x", "harmful"),
]


@pytest.mark.parametrize(("rule", "at", "beyond", "reason"), EDGES, ids=[e[3] for e in EDGES])
def test_at_the_bound_a_text_passes_and_beyond_it_does_not(
    rule: Any, at: str, beyond: str, reason: str
) -> None:
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
    assert _judge(_gopher(min_stop_words=2), "zzz yyy", "und") is None
    assert _judge(_gopher(min_stop_words=2), "zzz yyy", "sw") is None


CHINESE = "这是一条很长的河，它从山里流出来，经过我们的城市。人们说，在这里喝水的人会有好运。" * 2  # noqa: RUF001
THAI = "แม่น้ำสายนี้ไหลผ่านเมืองของเรา และผู้คนที่ดื่มน้ำที่นี่จะมีโชคดีในปีนี้"


@pytest.mark.parametrize(("text", "language"), [(CHINESE, "zh"), (THAI, "th")])
def test_scripts_without_spaces_are_judged_by_their_characters(text: str, language: str) -> None:
    candidate = Candidate(text, language)
    assert "".join(candidate.words) == text.replace(" ", "")
    assert 45 < Length().measure(candidate)["num_words"] < len(text)
    assert _judge(GopherQuality(), text, language) is None
    assert math.isnan(GopherQuality().measure(candidate)["mean_word_length"])


def test_repetition_is_found_without_spaces() -> None:
    signals = Repetition().measure(Candidate(CHINESE, "zh"))  # the same twice
    assert 0.45 < signals["repeated_5_gram_character_share"] <= 0.5


def test_latin_words_stay_whole_in_chinese_text() -> None:
    assert Candidate("我用Python 3。好", "zh").words == ["我", "用", "Python", "3。", "好"]


def test_symbols_are_no_words() -> None:
    signals = Length().measure(Candidate("a - b … 3 → ★ c.", "en"))
    assert signals == {"num_words": 4}
    assert GopherQuality().measure(Candidate("abc -- ab", "en"))["mean_word_length"] == 2.5


def test_terms_are_whole_words_in_any_case_and_across_lines() -> None:
    rule = WordBlocklist(terms=("bad", "very bad phrase", "坏词"))
    for text in ("badly", "a_bad", "very bad-ish", "verybad phrase"):
        expected = None if "bad-" not in text else "blocked_words"
        assert _reason(rule, text) == expected, text
    for text in ("BAD.", "very\nbad — phrase", "这是坏词啊"):
        assert _reason(rule, text) == "blocked_words", text
    assert rule.measure(Candidate("very bad phrase", "en")) == {"num_blocked_words": 2}


def test_few_different_terms_weigh_nothing() -> None:
    assert _judge(_weighted(Adult), "bad bad bad") is None
    assert _judge(Adult(), "The sex of a naked mole rat; sex in biology.") is None
    assert _reason(Adult(), "xem phim sex, phim người lớn, truyện sex hay", "vi") == "adult"
    assert _reason(Harmful(), "cách chế tạo bom, mua súng, giết hết bọn mọi", "vi") == "harmful"


def test_groups_are_counted_and_drop_nothing() -> None:
    signals = BiasTerms().measure(Candidate("She said that the women met her husband.", "en"))
    assert (signals["num_female_terms"], signals["num_male_terms"]) == (3, 1)
    assert BiasTerms().bounds() == ()
    own = BiasTerms(groups=(TermGroup(name="river", terms=("sông Hồng",)),))
    assert own.measure(Candidate("Sông Hồng", "vi")) == {"num_river_terms": 1}
    with pytest.raises(ValidationError, match=r"groups \['a'\] stand there more than once"):
        BiasTerms(groups=(TermGroup(name="a", terms=()), TermGroup(name="a", terms=())))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ('One. Two? Three! "Four." Five', 5),
        ("He said e.g. this. And that", 2),
        ("3.5 is one", 1),
        ("一。二！三", 3),  # noqa: RUF001
        ("a\n\nb", 2),
        ("", 0),
    ],
)
def test_sentences(text: str, sentences: int) -> None:
    assert C4().measure(Candidate(text, "en"))["num_sentences"] == sentences


@given(st.text(st.sampled_from("ab \n\r\u2028"), max_size=60))
def test_repeated_share_is_a_share(text: str) -> None:
    share = Candidate(text, "en").repeated_share
    assert 0 <= share < 1
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    if len(set(lines)) == len(lines):
        assert share == 0


def test_repeated_share_counts_characters_of_repeats_only() -> None:
    assert Candidate("abcd\n  abcd\n\nabcd\nab\nab", "en").repeated_share == (4 + 2) / (14 + 4)
