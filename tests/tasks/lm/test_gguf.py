"""A tokenizer in a GGUF file: the ids of llama.cpp, tiktoken, transformers and tokenizers."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import get_args

import pytest
from tokenizers import Tokenizer

from storage.errors import RequestError
from tasks.lm.gguf import read_tokenizer, write_tokenizer
from tasks.lm.tokens import SPECIAL_TOKENS, SPLIT_PATTERNS, Split, TextEncoder
from tasks.shard.encoding import HARD_TEXTS
from tasks.tokenizer.train import save_tokenizer
from tests.tasks.lm.llama_cpp import LlamaCpp
from tests.tasks.tokenizer.conftest import corpus, trained

gguf = pytest.importorskip("gguf", reason="pip install 'phusa[gguf]'")

SPLITS: tuple[Split, ...] = get_args(Split)
MANY = pytest.param(10_000, marks=pytest.mark.fleet)
COUNTS = pytest.mark.parametrize("count", [200, MANY])


def _texts(count: int) -> list[str]:
    """Pieces of the corpus and of texts that are hard to cut, in NFC as cleaning leaves them."""
    draw = random.Random(count)
    whole = [text[:3_000] for text in (*HARD_TEXTS, *corpus())]
    texts = list(whole)
    while len(texts) < count:
        pieces = [draw.choice(whole) for _ in range(3)]
        cuts = [sorted(draw.choices(range(len(piece) + 1), k=2)) for piece in pieces]
        texts.append(
            "".join(p[a : min(b, a + 200)] for p, (a, b) in zip(pieces, cuts, strict=True))
        )
    return [unicodedata.normalize("NFC", text) for text in texts]


@pytest.fixture(scope="module", params=SPLITS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp(request.param)
    save_tokenizer(trained(request.param, 600), made)
    write_tokenizer(made, made / "tokenizer.gguf")
    return made


@COUNTS
def test_llama_cpp_gives_the_same_ids(folder: Path, count: int) -> None:
    encoder, theirs = TextEncoder.load(folder), LlamaCpp(folder / "tokenizer.gguf")
    texts = _texts(count)
    assert [theirs.encode(text) for text in texts] == encoder.encode_batch(texts)
    assert theirs.encode(texts[-1], begin=True) == encoder.begin(texts[-1])


@COUNTS
def test_tiktoken_gives_the_same_ids(folder: Path, count: int) -> None:
    tiktoken = pytest.importorskip("tiktoken", reason="pip install tiktoken")
    encoder = TextEncoder.load(folder)
    split = next(split for split in SPLITS if folder.name.startswith(split))
    vocab = encoder.tokenizer.get_vocab()
    special = {token: vocab.pop(token) for token in SPECIAL_TOKENS}
    as_byte = {v: k for k, v in _byte_level().items()}
    ranks = {bytes(as_byte[c] for c in text): at for text, at in vocab.items()}
    theirs = tiktoken.Encoding(
        "made", pat_str=SPLIT_PATTERNS[split], mergeable_ranks=ranks, special_tokens=special
    )
    texts = _texts(count)
    assert theirs.encode_ordinary_batch(texts) == encoder.encode_batch(texts)


@COUNTS
def test_transformers_gives_the_same_ids(folder: Path, count: int) -> None:
    from transformers import AutoTokenizer

    theirs, texts = AutoTokenizer.from_pretrained(folder), _texts(count)
    found = theirs(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert found == TextEncoder.load(folder).encode_batch(texts)


@COUNTS
def test_it_is_read_back(folder: Path, count: int) -> None:
    encoder = TextEncoder.load(folder)
    back = TextEncoder(*read_tokenizer(folder / "tokenizer.gguf"))
    assert back.tokenizer.get_vocab() == encoder.tokenizer.get_vocab()
    assert (back.opening, back.stops, back.pad) == (encoder.opening, encoder.stops, encoder.pad)
    texts = _texts(count)
    assert back.encode_batch(texts) == encoder.encode_batch(texts)
    turns = [{"role": "user", "content": "ba <|end|>"}, {"role": "assistant", "content": "da"}]
    assert back.converse(turns) == encoder.converse(turns)


def test_one_of_sentence_pieces_is_read(tmp_path: Path) -> None:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", "a", "b", "▁a", "ab", "▁ab", "ba"]
    kinds = [2, 3, 3, *[6] * 256, *[1] * 7]
    scores = [0.0] * 259 + [-9.0, -9.0, -9.0, -2.0, -1.0, -3.0, -0.5]
    for space in (True, False):
        path = tmp_path / f"{space}.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_tokenizer_model("llama")
        writer.add_token_list(pieces)
        writer.add_token_scores(scores)
        writer.add_token_types(kinds)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_add_space_prefix(space)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        encoder, theirs = TextEncoder(*read_tokenizer(path)), LlamaCpp(path)
        for text in ("ab", "abab ba", "b a  ab", "é ab", "<s>ab", "\nab"):
            assert encoder.encode(text) == theirs.encode(text), text
            assert encoder.decode(encoder.encode(text)) == text
            assert encoder.begin(text) == theirs.encode(text, begin=True)


def test_what_is_not_known_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"GGUF, but not really")
    with pytest.raises(RequestError) as refused:
        read_tokenizer(tmp_path / "no.gguf")
    assert [fault.code for fault in refused.value.faults] == ["not_gguf"]
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "llama")
    writer.add_tokenizer_model("t5")
    writer.add_token_list(["a"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(RequestError) as refused:
        read_tokenizer(tmp_path / "other.gguf")
    assert [fault.code for fault in refused.value.faults] == ["unknown_vocabulary"]


def test_another_split_is_refused(tmp_path: Path) -> None:
    described = json.loads(trained().to_str())
    described["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    tokenizer = Tokenizer.from_str(json.dumps(described))
    save_tokenizer(tokenizer, tmp_path)
    with pytest.raises(RequestError) as refused:
        write_tokenizer(tmp_path, tmp_path / "tokenizer.gguf")
    assert [fault.code for fault in refused.value.faults] == ["no_gguf_form"]


def _byte_level() -> dict[int, str]:
    """Which character stands for a byte in a byte-level BPE (GPT-2's encoder.py)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    found = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in found)
    return found | {byte: chr(256 + at) for at, byte in enumerate(others)}
