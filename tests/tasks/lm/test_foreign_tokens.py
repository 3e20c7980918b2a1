"""Text stays text, and a conversation what its template writes, with tokenizers of others."""

from __future__ import annotations

import json
from itertools import compress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from storage.errors import RunError
from tasks.lm.tokens import TextEncoder
from tests.tasks.lm.foreign import gemma_like, llama_like, qwen_like
from tests.tasks.tokenizer.conftest import corpus, trained

TURNS = [
    {"role": "user", "content": "bada  kế\n\nhana 1234"},
    {"role": "assistant", "content": "cari daní"},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": "tosa"},
]
FORMS = ("llama", "legacy", "gemma", "qwen")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("foreign")
    return {
        "llama": llama_like(at / "llama"),
        "legacy": llama_like(at / "legacy", legacy=True),
        "gemma": gemma_like(at / "gemma"),
        "qwen": qwen_like(at / "qwen"),
    }


@pytest.fixture(scope="module")
def encoders(folders: dict[str, Path]) -> dict[str, TextEncoder]:
    return {name: TextEncoder.load(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def theirs(folders: dict[str, Path]) -> dict[str, Any]:
    from transformers import AutoTokenizer

    return {name: AutoTokenizer.from_pretrained(folder) for name, folder in folders.items()}


@pytest.mark.parametrize("form", FORMS)
def test_ids_are_those_of_transformers(
    encoders: dict[str, TextEncoder], theirs: dict[str, Any], form: str
) -> None:
    encoder, other = encoders[form], theirs[form]
    for text in (*corpus()[:20], "", " a", "a  b\n\n\nc", "日本 🌊 ế", " \n"):
        assert encoder.encode(text) == other(text, add_special_tokens=False)["input_ids"]
    for turns in (TURNS, TURNS[:2]):
        whole = other.apply_chat_template(turns, return_dict=True)["input_ids"]
        assert encoder.converse(turns).ids == whole
    before = encoder.opening if form != "qwen" else ()
    assert [*before, *encoder.encode("bada")] == other("bada")["input_ids"]


@pytest.mark.parametrize("form", FORMS)
def test_what_ends_and_begins(encoders: dict[str, TextEncoder], form: str) -> None:
    encoder = encoders[form]
    said = {
        "end": encoder.tokenizer.id_to_token(encoder.end_of_text),
        "begin": [encoder.tokenizer.id_to_token(at) for at in encoder.opening],
        "pad": None if encoder.pad is None else encoder.tokenizer.id_to_token(encoder.pad),
        "stops": {encoder.tokenizer.id_to_token(at) for at in encoder.stops},
    }
    llama = {"end": "</s>", "begin": ["<s>"], "pad": None, "stops": {"</s>"}}
    gemma = {"end": "<eos>", "begin": ["<bos>"], "pad": "<pad>"}
    end = "<|endoftext|>"
    assert (
        said
        == {
            "llama": llama,
            "legacy": llama,
            "gemma": gemma | {"stops": {"<eos>", "<end_of_turn>"}},
            "qwen": {"end": end, "begin": [end], "pad": None, "stops": {end, "<|im_end|>"}},
        }[form]
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_assistants_turns_are_learnt_with_their_ends(
    encoders: dict[str, TextEncoder], form: str
) -> None:
    encoder = encoders[form]
    said = encoder.converse(TURNS)
    learnt = list(compress(said.ids, said.learnt))
    assert encoder.decode(learnt).split() == ["cari", "daní", "tosa"]
    assert len([at for at in learnt if at in encoder.stops]) == 2


_SPELLINGS = (
    "<s>", "</s>", "<0x41>", "<eos>", "<table>", "<end_of_turn>", "<|im_end|>", "<think>",
    "<|endoftext|>", "<unk>", "</", "s>", "<", "\n\n", " ", "ba", "ế",
)  # fmt: skip
_TEXT = st.lists(st.sampled_from(_SPELLINGS), max_size=6).map("".join)


@pytest.mark.parametrize("form", FORMS)
@given(prompt=_TEXT, answer=_TEXT)
def test_no_text_spells_a_control_token(
    encoders: dict[str, TextEncoder], form: str, prompt: str, answer: str
) -> None:
    encoder = encoders[form]
    unknown = encoder.tokenizer.token_to_id("<unk>")
    control = set(encoder.control.values()) - {unknown}
    assert not control & {*encoder.encode(prompt), *encoder.encode_batch([answer])[0]}
    # Each is read as it stands, but for a space that the form itself puts first or takes away.
    assert encoder.decode(encoder.encode(prompt)).strip() == prompt.strip()
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    plain = [{"role": "user", "content": "ba"}, {"role": "assistant", "content": "ba"}]
    said, expected = encoder.converse(turns), encoder.converse(plain)
    assert [at for at in said.ids if at in control] == [at for at in expected.ids if at in control]


def test_added_markup_is_control_and_added_text_is_text(encoders: dict[str, TextEncoder]) -> None:
    for form, token, spelt in (("qwen", "<think>", False), ("gemma", "<table>", False),
                               ("gemma", "\n\n", True)):  # fmt: skip
        encoder = encoders[form]
        ids = encoder.encode(f"ba{token}ba")
        assert (encoder.tokenizer.token_to_id(token) in ids) is spelt


def test_a_unigram_spells_none_either() -> None:
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("▁", -2.0), *((c, -4.0) for c in "<>/sab")]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["</s>"])
    encoder = TextEncoder(tokenizer, {"eos_token": "</s>", "unk_token": "<unk>"})
    assert encoder.end_of_text == 1
    assert encoder.encode("a</s>b") == [2, *(tokenizer.token_to_id(c) for c in "a</s>b")]


def test_padding_and_truncation_of_a_file_are_left_out() -> None:
    tokenizer = Tokenizer.from_str(trained().to_str())
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    assert TextEncoder(tokenizer).encode(corpus()[0]) == TextEncoder(trained()).encode(corpus()[0])


def test_white_space_beside_a_token_that_takes_it(folders: dict[str, Path]) -> None:
    tokenizer = Tokenizer.from_file(str(folders["qwen"] / "tokenizer.json"))
    described = json.loads(tokenizer.to_str())
    for token in described["added_tokens"]:
        token["rstrip"] = token["content"] == "<|im_end|>"
    whole = Tokenizer.from_str(json.dumps(described))
    template = "{% for m in messages %}{{ m['content'] + '<|im_end|>\n  ' }}{% endfor %}"
    encoder = TextEncoder(whole, {"chat_template": template, "eos_token": "<|im_end|>"})
    rendered = "".join(turn["content"] + "<|im_end|>\n  " for turn in TURNS)
    said = encoder.converse(TURNS[:1]).ids
    assert said == whole.encode(TURNS[0]["content"] + "<|im_end|>\n  ").ids
    assert len(whole.encode(rendered).ids) > len(said)


def test_a_template_that_takes_no_assistant_is_refused(folders: dict[str, Path]) -> None:
    encoder = TextEncoder.load(folders["qwen"])
    template = "{{ raise_exception('only a system') }}"
    encoder.config = encoder.config | {"chat_template": template}
    with pytest.raises(RunError):
        _ = encoder.stops
