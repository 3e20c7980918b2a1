"""Lines and passages that repeat, against plain counting and a suffix array."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage.parquet import read_table
from storage.records import CUT, REJECT
from tasks.artifacts.documents import Cut, find_deduplicated, list_documents
from tasks.dedup import editing, pieces
from tasks.dedup.config import DedupConfig
from tasks.dedup.editing import find_passages, without
from tasks.dedup.methods import Exact, Lines, MinHash, Substring
from tasks.dedup.methods.lines import Often
from tasks.dedup.passes import Passes, carry_out
from tests.tasks.dedup.conftest import Row, document, run_passes

ANYWHERE = Lines(
    within_host=None, anywhere=Often(min_documents=2), min_characters=1, min_words_left=0
)
NEVER_DROP = {"min_words_left": 0}


class Made:
    """What the passes made of some documents."""

    def __init__(self, passes: Passes) -> None:
        data = passes.root / "data"
        self.passes = passes
        self.kept = read_table(passes.all[-1].outputs).to_pylist()
        self.cuts = self._rows(data, "cuts", CUT)
        self.rejects = self._rows(data, "rejects", REJECT)
        self.duplicates = pq.read_table(data / "duplicates.parquet").to_pylist()

    @staticmethod
    def _rows(data: Path, folder: str, schema: Any) -> list[Row]:
        rows = []
        for path in sorted(data.glob(f"{folder}/*/*.parquet")):
            table = pq.read_table(path)
            assert table.schema.equals(schema)
            rows += table.to_pylist()
        return rows

    @property
    def texts(self) -> dict[str, str]:
        return {row["url"]: row["text"] for row in self.kept}

    def facts(self) -> tuple[Any, ...]:
        """Everything, whatever the order of documents and shards."""
        groups = self.kept, self.cuts, self.rejects, self.duplicates
        return tuple(sorted(map(repr, rows)) for rows in groups)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def carried_out(rows: list[Row], *methods: Any, num_shards: int = 1, **knobs: Any) -> Made:
        root = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return Made(run_passes(root, rows, DedupConfig(methods=methods, **knobs), num_shards))

    return carried_out


@pytest.fixture
def each(run: Any) -> Any:
    """Texts by themselves, through some methods."""

    def texts(given: list[str], *methods: Any) -> list[str]:
        rows = [document(f"http://a/{n:03}", text) for n, text in enumerate(given)]
        done = run(rows, *methods).texts
        return [done.get(row["url"], "") for row in rows]

    return texts


def test_lines_of_many_documents_go_everywhere(each: Any) -> None:
    page = "Home | About\n\n  Contact us\n{own}\n\nAll rights reserved.\n"
    texts = [page.format(own=f"What page {n} has to say.") for n in range(3)]
    assert each(texts, ANYWHERE) == [f"What page {n} has to say." for n in range(3)]


def test_the_best_document_keeps_the_line_once(run: Any) -> None:
    notice = "This notice is on every page."
    rows = [document(f"http://a/{n}", f"{notice}\nown {n}\n{notice}") for n in range(3)]
    rows[1] |= {"num_words": 99}
    done = run(rows, ANYWHERE.model_copy(update={"keep_first": True}))
    assert done.texts == {
        "http://a/0": "own 0",
        "http://a/1": f"{notice}\nown 1",
        "http://a/2": "own 2",
    }
    assert {cut["kept_id"] for cut in done.cuts} == {rows[1]["document_id"]}
    assert len(done.cuts) == 5


def test_what_goes_of_a_host_and_what_of_all(run: Any) -> None:
    rows = [document(f"http://www.a.org/{n}", f"menu of a\nshared\nown a {n}") for n in range(4)]
    rows += [document(f"http://b.org/{n}", f"menu of b\nshared\nown b {n}") for n in range(2)]
    rule = {"min_characters": 1, "min_words_left": 0}
    within = Lines(within_host=Often(min_documents=3, min_share=0.9), anywhere=None, **rule)
    assert {c["text"] for c in run(rows, within).cuts} == {"menu of a", "shared"}
    assert run(rows, within).texts["http://b.org/0"] == rows[4]["text"]
    anywhere = Lines(within_host=None, anywhere=Often(min_documents=5), **rule)
    assert {(c["text"], c["num_documents"]) for c in run(rows, anywhere).cuts} == {("shared", 6)}
    half = Lines(within_host=None, anywhere=Often(min_documents=2, min_share=0.5), **rule)
    assert {c["text"] for c in run(rows, half).cuts} == {"menu of a", "shared"}


def test_evidence_words_and_the_floor(run: Any) -> None:
    rows = [document(f"http://a/{n}", f"Ein Ménü hier\nown {'word ' * n}— end") for n in range(3)]
    done = run(rows, ANYWHERE.model_copy(update={"min_words_left": 3}))
    assert {row["url"]: row["num_words"] for row in done.kept} == {"http://a/1": 3, "http://a/2": 4}
    assert [(r["url"], r["reason"], r["value"], r["threshold"]) for r in done.rejects] == [
        ("http://a/0", "little_left_by_lines", "2", "3")
    ]
    assert done.passes.describe() == {
        "cut_characters": {"lines": 39},
        "dropped": {"little_left_by_lines": 1},
    }
    for cut in done.cuts:
        text = next(row["text"] for row in rows if row["document_id"] == cut["document_id"])
        assert text[cut["start"] : cut["end"]] == cut["text"] == "Ein Ménü hier"


def test_paragraphs(each: Any) -> None:
    texts = [f"one line\nof a notice\n\nown {n}\none line" for n in range(2)]
    paragraphs = ANYWHERE.model_copy(update={"unit": "paragraphs"})
    assert each(texts, paragraphs) == ["own 0\none line", "own 1\none line"]


LINE = st.sampled_from(["a", "b", "c  d", "c d", "é", "", " ", "日本"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.lists(LINE, max_size=5), min_size=1, max_size=5))
def test_lines_against_counting(each: Any, documents: list[list[str]]) -> None:
    counts: Counter[str] = Counter()
    for lines in documents:
        counts.update({" ".join(line.split()) for line in lines})
    found = each(["\n".join(lines) for lines in documents], ANYWHERE)
    for lines, left in zip(documents, found, strict=True):
        own = [" ".join(s.split()) for s in lines if s.strip()]
        mine = [" ".join(s.split()) for s in left.split("\n") if s.strip()]
        assert mine == [line for line in own if counts[line] < 2]


@pytest.mark.parametrize(
    ("text", "cut", "left"),
    [
        ("a\nCUT\nb", "CUT", "a\nb"),
        ("a\n\nCUT\nb", "CUT", "a\n\nb"),
        ("a CUT b", "CUT", "a b"),
        ("日CUT本", "CUT", "日本"),
        ("def f():\nCUT\n    pass", "CUT", "def f():\n    pass"),
        ("CUT\n  a", "CUT", "a"),
        ("a\nCUT", "CUT", "a"),
        ("CUT", "CUT", ""),
        ("a\n\nCUT\nCUT\nb", "CUT\nCUT", "a\n\nb"),
    ],
)
def test_seams(text: str, cut: str, left: str) -> None:
    at = text.encode().index(cut.encode())
    passages = find_passages(text.encode(), [(at, at + len(cut))])
    assert without(text, passages) == left
    assert text[passages[0].start : passages[0].end] == cut


def _suffix_array_marks(documents: list[list[str]], size: int) -> set[tuple[int, int]]:
    """(document, word) where a suffix has `size` words in common with a neighbour in the array."""
    suffixes = sorted(
        (words[at:], document, at)
        for document, words in enumerate(documents)
        for at in range(len(words))
    )
    marks = set()
    for (one, *place), (other, *there) in pairwise(suffixes):
        if len(one) >= size and one[:size] == other[:size]:
            marks |= {tuple(place), tuple(there)}
    return marks


def _left(documents: list[list[str]], size: int) -> list[list[str]]:
    """What stays: of each passage the first place, and whatever is in no passage."""
    marks = _suffix_array_marks(documents, size)
    order = sorted(range(len(documents)), key=lambda d: (-len(documents[d]), d))
    places = defaultdict(list)
    for d in order:
        for at in range(len(documents[d])):
            if (d, at) in marks:
                places[tuple(documents[d][at : at + size])].append((d, at))
    kept, goes = set(), set()
    for first, *others in places.values():
        kept |= {(first[0], first[1] + n) for n in range(size)}
        goes |= {(d, at + n) for d, at in others for n in range(size)}
    return [
        [word for at, word in enumerate(words) if (d, at) not in goes - kept]
        for d, words in enumerate(documents)
    ]


WORDS = st.lists(st.sampled_from("abcd"), max_size=24)


def _without_passages(
    run: Any, documents: list[list[str]], unit: Any, key_bits: int, at_once: int = 16
) -> list[str]:
    """What is left of each document, with keys of so many bits."""
    joint = " " if unit == "words" else ""
    rows = [
        document(f"http://a/{n}", joint.join(words), num_words=len(words), document_id=f"{n:032x}")
        for n, words in enumerate(documents)
    ]
    method = Substring(unit=unit, size=5, **NEVER_DROP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "KEY_BITS", np.uint64(2**key_bits - 1))
        patch.setattr(editing, "_PIECES_AT_ONCE", at_once)
        patch.setattr(pieces, "_SORTED_AT_ONCE", 8)
        done = run(rows, method, num_shards=2, keep=("longest",))
    return [done.texts.get(row["url"], "") for row in rows]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(WORDS, min_size=1, max_size=4),
    st.sampled_from(["words", "bytes"]),
    st.sampled_from([64, 3]),
)
@example([list("baabaabaaba")], "words", 3)
def test_passages_are_those_of_a_suffix_array(
    run: Any, documents: list[list[str]], unit: Any, key_bits: int
) -> None:
    """And with keys that collide, nothing goes that does not stand elsewhere."""
    found = _without_passages(run, documents, unit, key_bits)
    joint = " " if unit == "words" else ""
    expected = [joint.join(words) for words in _left(documents, 5)]
    if key_bits == 64:
        assert found == expected
        return
    for left, best in zip(found, expected, strict=True):
        assert len(left) >= len(best), documents


def _runs(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(st.lists(st.sampled_from("ab"), max_size=24), min_size=1, max_size=4),
    st.sampled_from(["words", "bytes"]),
    st.sampled_from([1, 2, 3, 5, 64]),
)
@example([list("baabaabaaba")], "words", 3)
def test_every_passage_that_repeats_is_left_once(
    run: Any, documents: list[list[str]], unit: Any, key_bits: int
) -> None:
    """However many passages have one key: a piece is kept whole somewhere, or nowhere cut into."""
    counts = Counter(passage for words in documents for passage in _runs(words, 5))
    found = _without_passages(run, documents, unit, key_bits, at_once=64)
    left = {piece for text in found for piece in _runs(text.replace(" ", ""), 5)}
    assert {passage for passage, num in counts.items() if num > 1} <= left


def test_bytes_leave_whole_characters(each: Any) -> None:
    shared = "这是一个重复的句子在两个文件里。"
    texts = [f"甲{shared}乙", f"丙{shared}丁"]
    assert each(texts, Substring(unit="bytes", size=20, **NEVER_DROP)) == [texts[0], "丙丁"]
    assert each(texts, Substring(size=10, **NEVER_DROP)) == [texts[0], "丙丁"]


def _mixed(num: int = 60) -> list[Row]:
    draw = random.Random(5)
    vocabulary = [f"w{n}" for n in range(3000)]
    passages = [" ".join(draw.choices(vocabulary, k=30)) for _ in range(6)]
    rows = []
    for n in range(num):
        body = [" ".join(draw.choices(vocabulary, k=12)) for _ in range(4)]
        body.insert(2, draw.choice(passages))
        host = f"h{n % 3}.org"
        text = "\n".join([f"Menu of {host}", "One notice on every page", *body])
        rows.append(document(f"http://{host}/{n}", text))
        if n % 10 == 0:
            rows.append(document(f"http://{host}/{n}/again", text.upper()))
            rows.append(document(f"http://{host}/{n}/more", f"{text} and more"))
    return rows


@pytest.mark.parametrize(
    "methods",
    [
        (Exact(), Lines(), Substring(size=20)),
        (Lines(keep_first=True), Exact(), MinHash()),
        (Substring(size=20), Lines()),
    ],
)
def test_any_order_shards_and_parts(run: Any, methods: Any, monkeypatch: Any) -> None:
    rows = _mixed()
    whole = run(rows, *methods)
    assert whole.cuts
    mixed = random.Random(1).sample(rows, len(rows))
    monkeypatch.setattr(editing, "_PIECES_AT_ONCE", 500)
    monkeypatch.setattr(pieces, "_SORTED_AT_ONCE", 200)
    assert run(mixed, *methods, num_shards=5).facts() == whole.facts()
    for row in whole.kept:
        assert row["num_words"] == len(row["text"].split())


def test_a_pass_is_on_what_the_one_before_left(run: Any) -> None:
    """Two pages that differ in their menus are one after the menus are gone."""
    text = " ".join(f"w{n}" for n in range(40))
    menus = [f"menu {n} " * 20 for n in range(2)]
    rows = [document(f"http://h{n % 2}/{n}", f"{menus[n % 2]}\n{text} {n // 2}") for n in range(4)]
    lines = Lines(within_host=Often(min_documents=2), anywhere=None, min_words_left=0)
    assert len(run(rows, Exact()).kept) == len(run(rows, Exact(), lines).kept) == 4
    done = run(rows, lines, Exact())
    assert len(done.kept) == 2
    assert {row["method"] for row in done.duplicates} == {"exact"}
    assert len(list((done.passes.root / "data/index").iterdir())) == 1


def test_duplicates_of_all_passes_are_told(run: Any) -> None:
    rows = _mixed(30)
    done = run(rows, Exact(), Lines(), MinHash())
    apart = run(rows, Exact())
    methods = Counter(row["method"] for row in done.duplicates)
    assert methods == {"exact": len(apart.duplicates), "minhash": 3}
    assert run(rows, Exact(), Lines()).duplicates == apart.duplicates
    assert not list((done.passes.root / "scratch").glob("pass-1/data/index/*"))


def test_finished_passes_are_not_done_again(run: Any) -> None:
    done = run(_mixed(20), Exact(), Lines(), Substring(size=20))
    files = {p: p.stat().st_mtime_ns for p in done.passes.root.rglob("*.[ps]*")}
    carry_out(done.passes)
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_what_is_told_of_a_document(run: Any) -> None:
    rows = [document(f"http://a/{n}", f"the menu\nown {'word ' * n}") for n in range(3)]
    rows.append(document("http://a/again", rows[2]["text"].upper()))
    done = run(rows, Exact(), ANYWHERE.model_copy(update={"min_words_left": 2}))
    data = done.passes.root / "data"
    files = {
        "documents/": done.passes.all[-1].outputs,
        "duplicates.parquet": [data / "duplicates.parquet"],
        "rejects/": sorted(data.glob("rejects/*/*")),
        "cuts/": sorted(data.glob("cuts/*/*")),
    }.__getitem__
    told = [find_deduplicated(files, {row["document_id"]}, {}) for row in rows]
    assert [reject.value for reject in told[0].rejected] == ["1"]
    assert told[0].rejected and not told[0].kept
    assert told[1].cuts == (Cut("lines", 1, 8),)
    assert sum(len(one.dropped) for one in told) == 1
    found = list_documents(files, "url", [row["url"] for row in rows])
    assert sorted(found) == sorted((row["document_id"], row["url"]) for row in rows)


def test_nothing_at_all(run: Any) -> None:
    assert run([], Lines(), Substring()).kept == []
    assert run([document("http://a/", "")], Lines(), Substring()).texts == {"http://a/": ""}


def test_what_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="both null"):
        Lines(within_host=None, anywhere=None)
    with pytest.raises(ValueError, match="Put it last"):
        DedupConfig(methods=(MinHash(), Lines()), against=("demo",))
