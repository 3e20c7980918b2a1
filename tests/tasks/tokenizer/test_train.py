"""A byte-level BPE: deterministic, lossless, of the size asked for, read alike by transformers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any, get_args

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer

from storage.errors import CorpusTooSmall
from storage.parquet import write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.lm.tokens import (
    END_OF_TEXT,
    PAD,
    SPECIAL_TOKENS,
    SPLIT_PATTERNS,
    Split,
    TextEncoder,
    load_tokenizer,
)
from tasks.tokenizer.config import SMALLEST_VOCABULARY, TokenizerConfig
from tasks.tokenizer.train import choose_split, document_texts, save_tokenizer, train_tokenizer
from tests.tasks.tokenizer.conftest import corpus, trained

SPLITS: tuple[Split, ...] = get_args(Split)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_tokenizer(trained(), tmp_path)
    return tmp_path


TRAIN_AND_SAVE = """
import sys
import unicodedata
from pathlib import Path
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.train import save_tokenizer, train_tokenizer
from tests.tasks.tokenizer.conftest import corpus

save_tokenizer(train_tokenizer(corpus(), TokenizerConfig(vocab_size=400)), Path(sys.argv[1]))
"""


def test_two_processes_make_the_same_bytes(tmp_path: Path, folder: Path) -> None:
    for seed, threads in (("1", "1"), ("2", "4")):
        target = tmp_path / seed
        target.mkdir()
        env = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads}
        command = [sys.executable, "-c", TRAIN_AND_SAVE, str(target)]
        subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=120)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            assert (target / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.parametrize("split", SPLITS)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_round_trip(split: Split, text: str) -> None:
    encoder = TextEncoder(trained(split))
    whole = unicodedata.normalize("NFC", text)
    assert encoder.tokenizer.decode(encoder.encode(text), skip_special_tokens=False) == whole
    assert min(encoder.encode(text), default=99) >= len(SPECIAL_TOKENS)


@pytest.mark.parametrize("split", SPLITS)
def test_round_trip_of_the_corpus_and_odd_texts(split: Split) -> None:
    encoder = TextEncoder(trained(split))
    for text in (
        *corpus(),
        "",
        " ",
        "\n\n\n",
        "\x00",
        "á\u0323",
        *SPECIAL_TOKENS,
        "\r\n\t x",
        "👩\u200d💻",
        "\ufeff",
    ):
        ids = encoder.encode(text)
        assert encoder.decode(ids) == unicodedata.normalize("NFC", text)
        assert all(len(SPECIAL_TOKENS) <= i < encoder.tokenizer.get_vocab_size() for i in ids)


def test_training_compresses() -> None:
    text = corpus()[0]
    assert len(TextEncoder(trained()).encode(text)) < 0.7 * len(text.encode())


@pytest.mark.parametrize("split", SPLITS)
def test_special_tokens_are_one_id_each(split: Split) -> None:
    tokenizer = trained(split)
    ids = [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS]
    assert ids == list(range(len(SPECIAL_TOKENS)))
    assert tokenizer.token_to_id(PAD) != tokenizer.token_to_id(END_OF_TEXT)
    for token, one in zip(SPECIAL_TOKENS, ids, strict=True):
        encoded = tokenizer.encode(f"a{token}b", add_special_tokens=False).ids
        assert encoded.count(one) == 1
        assert tokenizer.decode([one], skip_special_tokens=False) == token
    assert tokenizer.decode(ids) == ""


@pytest.mark.parametrize("vocab_size", [SMALLEST_VOCABULARY, SMALLEST_VOCABULARY + 1, 333, 500])
def test_the_vocabulary_is_exactly_as_asked(vocab_size: int) -> None:
    tokenizer = trained(vocab_size=vocab_size)
    assert tokenizer.get_vocab_size() == vocab_size
    assert sorted(tokenizer.get_vocab().values()) == list(range(vocab_size))


def test_a_vocabulary_without_room_for_all_bytes_is_refused() -> None:
    with pytest.raises(ValidationError, match=str(SMALLEST_VOCABULARY)):
        TokenizerConfig(vocab_size=SMALLEST_VOCABULARY - 1)


@pytest.mark.parametrize("texts", [corpus()[:2], ("ab ab", "ab"), ("x",), ()])
def test_too_small_a_corpus_is_refused_with_a_remedy_that_works(texts: tuple[str, ...]) -> None:
    with pytest.raises(CorpusTooSmall, match=r"tokenizer\.vocab_size=50000") as caught:
        train_tokenizer(texts, TokenizerConfig(vocab_size=50_000))
    remedy = re.search(r"--set tokenizer\.vocab_size=(\d+)", str(caught.value))
    assert remedy is not None
    config = TokenizerConfig(vocab_size=int(remedy[1]))
    assert train_tokenizer(texts, config).get_vocab_size() == config.vocab_size


def test_min_frequency_keeps_rare_pairs_apart() -> None:
    texts = ["xyxyxy"] + ["qw"] * 20
    config = TokenizerConfig(vocab_size=SMALLEST_VOCABULARY + 1, min_frequency=10)
    assert len(TextEncoder(train_tokenizer(texts, config)).encode("qw")) == 1
    with pytest.raises(CorpusTooSmall):
        train_tokenizer(texts, config.model_copy(update={"min_frequency": 21}))


def test_transformers_reads_the_folder_alike(folder: Path) -> None:
    from transformers import AutoTokenizer

    theirs: Any = AutoTokenizer.from_pretrained(folder)
    ours = load_tokenizer(folder)
    for text in (*corpus()[:5], "don't 123\n\n  x ế 👩\u200d💻", f"a{END_OF_TEXT}b", " lead", ""):
        assert theirs(text)["input_ids"] == ours.encode(text).ids
        bare = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text).ids == [theirs.bos_token_id, *bare]
        assert theirs.decode(bare) == text
    assert len(theirs) == ours.get_vocab_size()
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == (END_OF_TEXT, END_OF_TEXT, PAD)


def test_transformers_writes_a_prompt_as_we_do(folder: Path) -> None:
    from transformers import AutoTokenizer

    theirs: Any = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "What is má?"}]
    prompt = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompt == "<|endoftext|><|user|>What is má?<|end|><|assistant|>"
    ids = theirs.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert ids == TextEncoder.load(folder).converse(messages, answer=True).ids


# What the published patterns make of one text, worked out by hand.
TEXT = "don't DON'T 12345 abc_d\n\n  x"
PIECES: dict[Split, list[str]] = {
    "gpt2": ["don", "'t", " DON", "'", "T", " 12345", " abc", "_", "d", "\n\n ", " x"],
    "llama3": [
        *("don", "'t", " DON", "'T", " ", "123", "45", " abc", "_d", "\n\n", " ", " x"),
    ],
    "qwen35": [
        *("don", "'t", " DON", "'T", " ", "1", "2", "3", "4", "5", " abc", "_d", "\n\n", " ", " x"),
    ],
    "qwen2": [
        *("don", "'t", " DON", "'T", " ", "1", "2", "3", "4", "5", " abc", "_d", "\n\n", " ", " x"),
    ],
}


@pytest.mark.parametrize("split", SPLITS)
def test_splits_follow_the_published_patterns(split: Split) -> None:
    assert _pieces(trained(split), TEXT) == PIECES[split]


def _pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in pieces]


@pytest.mark.parametrize("split", SPLITS)
@given(st.text(st.sampled_from("ab'sT12 \n\r\t.,_ế日\u0301\xa0é"), max_size=30))
def test_splits_are_those_of_another_engine(split: Split, text: str) -> None:
    assert _pieces(trained(split), text) == regex.findall(SPLIT_PATTERNS[split], text)


HINDI = "हिन्दी विकिपीडिया एक मुक्त ज्ञानकोश है"
THAI = "ภาษาไทยเป็นภาษาที่มีระดับเสียง"


def test_marks_stay_in_their_words() -> None:
    words = HINDI.split(" ")
    assert _pieces(trained("qwen35"), HINDI) == [words[0], *(f" {word}" for word in words[1:])]
    assert _pieces(trained("qwen35"), THAI) == [THAI]
    assert len(_pieces(trained("qwen2"), HINDI)) > 3 * len(words)


@pytest.mark.parametrize(
    ("texts", "split"),
    [
        ([HINDI], "qwen35"),
        ([THAI], "qwen35"),
        (["Phù sa là đất mịn mà dòng sông để lại."], "qwen2"),
        (["The silt of a river."] * 60 + [HINDI], "qwen35"),
        (["nothing but letters " * 20 + "and one x\u0323 accent"], "qwen2"),
        ([], "qwen2"),
    ],
)
def test_a_split_is_chosen_by_the_marks_in_the_texts(texts: list[str], split: str) -> None:
    assert choose_split(texts) == split


def test_texts_are_read_shard_by_shard(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    texts = [["one", "two"], [], ["three"]]
    for shard, of_shard in enumerate(texts):
        rows = [_row(text) for text in of_shard]
        write_rows(workspace, f"{shard}.parquet", rows, DOCUMENT)
    paths = [workspace.data / f"{shard}.parquet" for shard in range(3)]
    assert list(document_texts(paths)) == ["one", "two", "three"]


def _row(text: str) -> dict[str, Any]:
    kinds: dict[str, Any] = {
        "language_score": 0.5,
        "num_words": 1,
        "repeated_share": 0.0,
        "pii": [],
        "quality": -1.0,
    }
    return {field.name: kinds.get(field.name, text) for field in DOCUMENT}


def test_saved_files_are_readable_json(folder: Path) -> None:
    saved = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    assert [token["content"] for token in saved["added_tokens"]] == list(SPECIAL_TOKENS)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["eos_token"] == END_OF_TEXT
    assert sorted(path.name for path in folder.iterdir()) == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]
