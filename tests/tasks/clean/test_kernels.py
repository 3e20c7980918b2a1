"""Kernels beside the plain ways to find the same."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.filters import C4, Candidate, FineWeb, GopherQuality, Length, Repetition
from tasks.clean.filters.gopher_quality import STOP_WORDS
from tasks.clean.kernels import characters, repeats, scan
from tasks.clean.text import C4_ENDS, ENDS_OF_ANY_SCRIPT, TERMINAL, code_points
from tasks.clean.trims import C4Lines
from tasks.words import is_unspaced, split_words
from tests.tasks.clean.measures import count_sentences

# All kinds of white space, marks and letters that a rule looks at, and any other character.
TEXTS = st.text(
    st.sampled_from(
        "the and ASΣİıK\n\n\n \t\x1c\u2028.!?…\"'”)。」！#{}-•1_★W\u0301ệ日ん。ที่\U00020000"  # noqa: RUF001
    )
    | st.characters(),
    max_size=80,
)
PIECES = ["lorem ipsum", "Lorem  Ipsum ", "LOREM IPSUM. A", "...", "that\n", "JavaScript", "the "]
MIXED = st.lists(st.sampled_from(PIECES) | TEXTS, max_size=12).map("".join)
LANGUAGES = st.sampled_from(["en", "vi", "tr", "zh", "th", "und"])


def _strings(text: str, places: scan.Places) -> list[str]:
    return [text[start:end] for start, end in places.tolist()]


@given(MIXED, LANGUAGES)
def test_words_and_lines_are_pythons(text: str, language: str) -> None:
    candidate = Candidate(text, language)
    words, lines, num_feeds = candidate.tables
    assert num_feeds == text.count("\n")
    assert _strings(text, words) == candidate.words == split_words(text, language)
    assert _strings(text, lines) == [line for line in text.split("\n") if line.strip()]


@given(MIXED, LANGUAGES)
def test_words_are_counted_as_python_does(text: str, language: str) -> None:
    candidate = Candidate(text, language)
    odd = [word for word in candidate.words if not any(map(str.isalpha, word))]
    symbols = [word for word in odd if not any(map(str.isalnum, word))]
    characters_of_words = sum(map(len, candidate.words)) - sum(map(len, symbols))
    assert candidate.word_counts == (len(odd), len(symbols), characters_of_words)
    assert Length().measure(candidate)["num_words"] == len(candidate.words) - len(symbols)


@given(MIXED, st.sampled_from(["en", "vi", "tr"]))
def test_signals_of_gopher_are_pythons(text: str, language: str) -> None:
    signals, words = GopherQuality().measure(Candidate(text, language)), text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    num_words, num_lines = max(len(words), 1), max(len(lines), 1)
    ellipses = text.count("...") + text.count("…")
    stop_words = STOP_WORDS[language].intersection(map(str.lower, words))
    listed = [line for line in lines if line.lstrip().startswith(("-", "*", "•", "‣", "◦", "–"))]  # noqa: RUF001
    trailing = [line for line in lines if line.rstrip().endswith(("...", "…"))]
    assert signals["num_stop_words"] == len(stop_words)
    assert signals["ellipsis_share"] == ellipses / num_words
    assert signals["number_sign_share"] == text.count("#") / num_words
    assert signals["bullet_line_share"] == len(listed) / num_lines
    assert signals["ellipsis_line_share"] == len(trailing) / num_lines


@given(MIXED)
def test_signals_of_c4_are_pythons(text: str) -> None:
    lines = [line for line in text.split("\n") if line.strip()]
    assert C4().measure(Candidate(text, "en")) == {
        "num_fillers": text.lower().count("lorem ipsum"),
        "num_curly_brackets": text.count("{"),
        "num_sentences": count_sentences(text, len(lines)),
    }


@given(MIXED, st.integers(0, 9))
def test_signals_of_fineweb_are_pythons(text: str, short: int) -> None:
    signals = FineWeb(short_line_characters=short).measure(Candidate(text, "en"))
    lines = [line for line in text.split("\n") if line.strip()]
    repeated = sum(len(line) * (n - 1) for line, n in Counter(lines).items())
    num_lines = max(len(lines), 1)
    assert signals == {
        "terminal_line_share": sum(line[-1] in TERMINAL for line in lines) / num_lines,
        "short_line_share": sum(len(line) <= short for line in lines) / num_lines,
        "repeated_line_character_share": repeated / max(sum(map(len, lines)), 1),
        "line_feeds_per_word": text.count("\n") / max(len(text.split()), 1),
    }


@given(st.text("\n\n\nab ", max_size=30))
def test_paragraphs_stand_between_line_feeds(text: str) -> None:
    pieces = text.split("\n\n")
    if "\n\n\n" in text:
        pieces = [stripped for piece in pieces if (stripped := piece.strip("\n"))]
    places = repeats.paragraphs(code_points(text))
    assert _strings(text, places) == pieces


def _reason(line: str, rule: C4Lines) -> str | None:
    """C4's rules by their words."""
    stripped, words = line.strip(), line.split()
    if not words:
        return None
    if max(map(len, words)) > rule.max_word_characters:
        return "long_word_line"
    ends = ENDS_OF_ANY_SCRIPT if rule.any_script else C4_ENDS
    if rule.ended and (stripped[-1] not in ends or stripped.endswith("...")):
        return "unended_line"
    if len(words) < rule.min_words:
        return "short_line"
    lowered = line.lower()
    if "javascript" in lowered:
        return "javascript_line"
    return "policy_line" if any(phrase.lower() in lowered for phrase in rule.policy) else None


POLICIES = st.sampled_from([(), ("the t", "!"), ("the t", "lorem i"), ("JavaScript", "lorem ips")])


@given(MIXED, st.booleans(), st.booleans(), st.integers(1, 12), st.integers(0, 4), POLICIES)
def test_lines_that_c4_drops_are_pythons(
    text: str, ended: bool, any_script: bool, longest: int, least: int, policy: tuple[str, ...]
) -> None:
    rule = C4Lines(
        ended=ended,
        any_script=any_script,
        max_word_characters=longest,
        min_words=least,
        citations=False,
        policy=policy,
    )
    lines = text.split("\n")
    reasons = [_reason(line, rule) for line in lines]
    kept = "\n".join(line for line, why in zip(lines, reasons, strict=True) if why is None)
    trimmed = rule.apply(text)
    assert trimmed.counts == Counter(filter(None, reasons))
    assert trimmed.text == re.sub("\n{3,}", "\n\n", kept.strip("\n"))


SHORT = st.text("abAB\u0130 ", min_size=3, max_size=6)


@given(st.text("abAB\u0130 ", max_size=60), st.lists(SHORT.map(str.lower), min_size=1, max_size=4))
def test_strings_are_found_wherever_they_stand(text: str, strings: list[str]) -> None:
    found = characters.count_strings(text, code_points(text), tuple(strings))
    lowered = text.lower()
    for string, num in zip(strings, found, strict=True):
        places = [n for n in range(len(lowered)) if lowered.startswith(string, n)]
        assert num == (lowered.count(string) if "\u0130" in text else len(places))


def test_long_strings_are_found_too() -> None:
    long = "ab" * 150 + "c"
    text = f"x {long.upper()} {long} {long[1:]}"
    assert characters.count_strings(text, code_points(text), (long, "abc")) == [2, 3]
    assert characters.count_strings(text, code_points(text), (long,)) == [2]
    assert characters.count_strings(text, code_points(text), ()) == []


def test_every_character_is_what_python_says() -> None:
    bits = {
        scan.SPACE: str.isspace,
        scan.ALPHA: str.isalpha,
        scan.ALNUM: str.isalnum,
        scan.UNSPACED: is_unspaced,
        scan.TERMINAL: TERMINAL.__contains__,
    }
    table = characters.classes()
    every = list(map(chr, range(len(table))))
    for bit, says in bits.items():
        assert np.array_equal(np.fromiter(map(says, every), bool), table & bit != 0)
    small = characters.small_letters().tolist()
    assert all(chr(small[ord(c)]) == c.lower() for c in every[: len(small)] if c not in "İΣ")
    assert not any(c != c.lower() for c in every[len(small) :])


@pytest.mark.parametrize("by_ends", [True, False])
def test_equal_pieces_are_found_whatever_tells_them_apart(by_ends: bool) -> None:
    """Thousands of pieces with the same ends, which are told apart by reading all of them."""
    middle = "x" if by_ends else "abcd{}efgh"
    pieces = [middle.format(f"{n % 3_000:06d}") if n % 7 else "" for n in range(9_000)]
    pieces += [f"{n}{piece}" for n, piece in enumerate(pieces) if by_ends]
    text = "\n".join(pieces)
    ends = np.cumsum([len(piece) + 1 for piece in pieces]) - 1
    places = np.array([ends - list(map(len, pieces)), ends], np.int32).T.copy()
    repeated = [piece for piece, n in Counter(pieces).items() for _ in range(n - 1)]
    found = repeats.repeats(code_points(text), places)
    length = sum(map(len, pieces))
    assert found == (length, len(repeated), sum(map(len, repeated)))


def test_reading_a_recipe_does_not_import_numba() -> None:
    lines = (
        "import sys, tasks.clean.config, tasks.clean.filters, tasks.clean.trims, flows.recipe",
    )
    code = "; ".join((*lines, "raise SystemExit('numba' in sys.modules)"))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _top(words: list[str], n: int) -> int:
    """Gopher's rule by its words: the most frequent n-gram's characters, each time it stands."""
    grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    gram, count = grams.most_common(1)[0] if grams else ("", 0)
    return len(gram) * count if count > 1 else 0


def _repeated(words: list[str], n: int) -> int:
    """Characters of n-grams that were seen before, going on behind each."""
    seen: set[tuple[str, ...]] = set()
    characters = place = 0
    while place <= len(words) - n:
        gram = tuple(words[place : place + n])
        if gram in seen:
            characters += len("".join(gram))
            place += n
        else:
            seen.add(gram)
            place += 1
    return characters


def _check(text: str) -> None:
    words = text.split()
    signals = Repetition().measure(Candidate(text, "en"))
    length = max(len(text), 1)
    for n in (2, 3, 4):
        assert signals[f"top_{n}_gram_character_share"] == _top(words, n) / length
    for n in range(5, 11):
        assert signals[f"repeated_{n}_gram_character_share"] == _repeated(words, n) / length


@given(st.lists(st.sampled_from(["a", "bb", "ccc", "ệ"]), max_size=60).map(" ".join))
def test_shares_are_those_found_plainly(text: str) -> None:
    _check(text)


@given(st.integers(1, 6), st.integers(100, 900), st.randoms(use_true_random=False))
def test_shares_of_many_words_are_those_found_plainly(kinds: int, num: int, draw: object) -> None:
    numbers = np.random.default_rng(hash(str(draw)) % 2**32).integers(0, 4**kinds, num)
    _check(" ".join(f"w{number}" for number in numbers.tolist()))
