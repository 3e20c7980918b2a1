"""What entries stand for, in any kind of tokenizer, and what two tokenizers do not share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from storage.parquet import write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.lm.tokens import SPECIAL_TOKENS, TextEncoder
from tasks.lm.vocabulary import Sample, _longest_rise, draw_sample, drift, entry_bytes, shown
from tests.tasks.tokenizer.conftest import corpus, document_row, trained

SAMPLE = Sample(corpus()[:8], ("en",) * 8, corpus()[8:])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_entries_of_a_text_are_its_bytes(text: str) -> None:
    tokenizer = trained()
    entries = entry_bytes(tokenizer)
    whole = tokenizer.normalizer.normalize_str(text).encode()
    assert b"".join(entries[i] for i in TextEncoder(tokenizer).encode(text)) == whole
    assert len(entries) == tokenizer.get_vocab_size() - len(SPECIAL_TOKENS)


def test_entries_of_other_kinds() -> None:
    pieces = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁hà", -1.0), ("<0xE1>", -2.0)], 0, True))
    steps = [decoders.ByteFallback(), decoders.Metaspace()]
    pieces.decoder = decoders.Sequence(steps)
    assert [*entry_bytes(pieces).values()][1:] == [" hà".encode(), b"\xe1"]
    words = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    words.decoder = decoders.WordPiece()
    assert entry_bytes(words) == {0: b"[UNK]", 1: b"a", 2: b"b"}
    plain = Tokenizer(models.WordLevel({"a": 0, "▁": 1}, unk_token="a"))
    assert entry_bytes(plain) == {0: b"a", 1: "▁".encode()}  # it has no decoder


@pytest.mark.parametrize("hostile", ["\x1b[31m", "\u202e", "\n", "`</script>"])
def test_entries_are_shown_in_one_line_that_nothing_obeys(hostile: str) -> None:
    assert "\x1b" not in shown(hostile.encode()) and shown(hostile.encode()).isprintable()
    assert shown(b" \xe1\xbb") == r"' \xe1\xbb'"
    assert shown(b"\xff\xfe").isprintable() and len(shown(b"=" * 10**6)) < 80


@given(st.lists(st.integers(0, 20), unique=True, max_size=7))
def test_what_can_stay_in_its_order(numbers: list[int]) -> None:
    from itertools import combinations

    sizes = (n for n in range(len(numbers), -1, -1))
    rises = (n for n in sizes if any([*c] == sorted(c) for c in combinations(numbers, n)))
    assert _longest_rise(numbers) == next(rises)


def test_a_tokenizer_does_not_drift_from_itself() -> None:
    found = drift(trained(), trained(), SAMPLE)
    assert (found.gained, found.lost, found.moved, found.merges_moved) == (0, 0, 0, 0)
    assert found.documents_changed == 0 and found.sample_documents == 8


def test_drift_by_hand() -> None:
    small, large = trained(), trained(vocab_size=500)
    found = drift(small, large, SAMPLE)
    assert (found.gained, found.lost, found.shared) == (100, 0, 393)
    assert (found.moved, found.merges_shared, found.merges_moved) == (0, 137, 0)
    assert found.bytes_per_token is not None and found.bytes_per_token[0] < found.bytes_per_token[1]
    assert found.documents_changed == 8
    back = drift(large, small, None)
    assert (back.gained, back.lost, back.bytes_per_token) == (0, 100, None)
    assert all("\n" not in line for line in [*found.lines(), *back.lines()])


def test_the_sample_is_every_fifth_and_ends_with_its_bytes(tmp_path: Path) -> None:
    texts = ["", *(f"text {n} " * 100 for n in range(1, 400))]
    rows = [document_row(text, "" if n % 2 else "vi") for n, text in enumerate(texts)]
    workspace = Workspace(tmp_path)
    write_rows(workspace, "a.parquet", rows[:7], DOCUMENT)
    write_rows(workspace, "b.parquet", rows[7:], DOCUMENT)
    paths = [workspace.data / "a.parquet", workspace.data / "b.parquet"]
    found = draw_sample(paths, num_bytes=2_000)
    assert found.texts == tuple(texts[n] for n in (5, 10, 15))  # the first is empty
    assert found.languages == ("und", "vi", "und")
    assert not {*found.texts} & {*found.beside} and texts[16] in found.beside
    assert draw_sample([]).texts == ()
