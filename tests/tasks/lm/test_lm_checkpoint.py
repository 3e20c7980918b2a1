"""One contract for every member of the model union: what we save is what transformers reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from tokenizers import Tokenizer

from storage.errors import DamagedArtifact, RunError
from tasks.lm.checkpoint import load_model, save_model
from tasks.lm.generate import Sampling, generate
from tasks.lm.models import Llama, Model, Qwen3
from tasks.lm.models.decoder import Decoder
from tasks.lm.models.shape import DecoderShape
from tasks.lm.tokens import END_OF_TEXT, END_OF_TURN, PAD

MEMBERS = get_args(get_args(Model)[0])
VARIANTS = list(product(MEMBERS, (False, True), (4, 2, 1)))


def _id(value: object) -> str:
    return value.__name__ if isinstance(value, type) else str(value)


@pytest.fixture(params=VARIANTS, ids=lambda v: "-".join(map(_id, v)))
def model(request: pytest.FixtureRequest, make_model: Callable[..., Decoder]) -> Decoder:
    member, tied, num_kv_heads = request.param
    return make_model(member, tie_embeddings=tied, num_kv_heads=num_kv_heads)


@pytest.fixture
def saved(model: Decoder, lm_tokenizer: Path, tmp_path: Path) -> Path:
    save_model(model, lm_tokenizer, tmp_path)
    return tmp_path


def _transformers_model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _random_ids(vocab_size: int, *size: int) -> torch.Tensor:
    return torch.randint(vocab_size, size, generator=torch.Generator().manual_seed(5))


def test_the_union_has_both_members() -> None:
    assert set(MEMBERS) == {Llama, Qwen3}


@torch.no_grad()
def test_transformers_computes_the_same(model: Decoder, saved: Path) -> None:
    theirs = _transformers_model(saved)
    assert type(theirs).__name__ == model.shape.hf_architecture
    ids = _random_ids(model.vocab_size, 3, model.context)
    expected = model(ids)
    assert expected.std() > 0.1, "a model that says nothing would agree with any other"
    torch.testing.assert_close(theirs(ids).logits, expected, atol=1e-4, rtol=0)

    tokenizer = Tokenizer.from_file(str(saved / "tokenizer.json"))
    stops = {tokenizer.token_to_id(token) for token in (END_OF_TEXT, END_OF_TURN)}
    prompt = ids[:1, :9]
    mine = generate(model, prompt[0].tolist(), stops, Sampling(max_tokens=12))
    made = theirs.generate(prompt, max_new_tokens=12, do_sample=False)[0, 9:].tolist()
    assert mine == [token for token in made if token not in stops]


@torch.no_grad()
def test_loads_exactly(model: Decoder, saved: Path) -> None:
    loaded = load_model(saved)
    assert loaded.shape == model.shape
    assert (loaded.vocab_size, loaded.context) == (model.vocab_size, model.context)
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[name]) for name, t in loaded.state_dict().items())
    ids = _random_ids(model.vocab_size, 2, 20)
    assert torch.equal(loaded(ids), model(ids))


def test_shape_survives_config_json(model: Decoder) -> None:
    plain = json.loads(json.dumps(model.shape.hf_config(300, 64, begin=0, end_of_text=0, pad=1)))
    assert type(model.shape).from_hf(plain) == model.shape
    assert plain["model_type"] == model.shape.model_dump()["kind"]
    assert (plain["vocab_size"], plain["max_position_embeddings"]) == (300, 64)
    assert (plain["eos_token_id"], plain["pad_token_id"]) == (0, 1)


def test_tied_model_stores_one_matrix(make_model: Callable[..., Decoder]) -> None:
    tied, untied = make_model(tie_embeddings=True), make_model()
    assert "lm_head.weight" not in tied.state_dict()
    assert untied.num_parameters - tied.num_parameters == tied.head.numel()
    assert tied.num_parameters == sum(t.numel() for t in tied.state_dict().values())


def test_auto_tokenizer_reads_the_same_folder(
    make_model: Callable[..., Decoder], lm_tokenizer: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    save_model(make_model(), lm_tokenizer, tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.from_file(str(lm_tokenizer / "tokenizer.json"))
    text = "the heap's  items:\n\tnaïve 12345 <|user|>"
    assert theirs.encode(text) == ours.encode(text).ids
    assert theirs.decode(theirs.encode(text, add_special_tokens=False)) == text
    assert theirs.model_max_length == make_model().context
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == (END_OF_TEXT, END_OF_TEXT, PAD)
    chat = theirs.apply_chat_template(
        [{"role": "user", "content": "What is heapq?"}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "<|endoftext|><|user|>What is heapq?<|end|><|assistant|>"


@torch.no_grad()
def test_transformers_stops_at_the_end_of_a_turn(
    make_model: Callable[..., Decoder], lm_tokenizer: Path, tmp_path: Path
) -> None:
    model, prompt = make_model(), [7, 8, 9]
    free = generate(model, prompt, set(), Sampling(max_tokens=6))
    fourth = free.index(free[3])
    end = Tokenizer.from_file(str(lm_tokenizer / "tokenizer.json")).token_to_id(END_OF_TURN)
    head = model.lm_head.weight  # now the model ends its turn where it said the fourth token
    head[[free[3], end]] = head[[end, free[3]]]
    save_model(model, lm_tokenizer, tmp_path)
    theirs = _transformers_model(tmp_path)
    made = theirs.generate(torch.tensor([prompt]), max_new_tokens=6, do_sample=False)
    assert made[0].tolist() == [*prompt, *free[:fourth], end]


@pytest.mark.parametrize("member", MEMBERS)
@torch.no_grad()
def test_reads_what_transformers_wrote(member: type[DecoderShape], tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    kinds: dict[type[DecoderShape], Any] = {
        Llama: (LlamaConfig, LlamaForCausalLM),
        Qwen3: (Qwen3Config, Qwen3ForCausalLM),
    }
    config, architecture = kinds[member]
    theirs = architecture(
        config(
            vocab_size=99,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            max_position_embeddings=32,
        )
    ).eval()
    theirs.save_pretrained(tmp_path)
    ids = _random_ids(99, 2, 32)
    torch.testing.assert_close(load_model(tmp_path)(ids), theirs(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "mamba"}, "model_type='mamba'"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "rope_type='llama3'"),
        ({"attention_bias": True}, "attention_bias=True"),
        ({"hidden_act": "gelu", "use_sliding_window": True}, "hidden_act='gelu'.*use_sliding"),
    ],
)
def test_refuses_what_it_would_compute_wrongly(
    make_model: Callable[..., Decoder],
    lm_tokenizer: Path,
    tmp_path: Path,
    change: dict[str, Any],
    named: str,
) -> None:
    save_model(make_model(), lm_tokenizer, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(DamagedArtifact, match=named):
        load_model(tmp_path)


def test_equal_models_are_equal_bytes(
    make_model: Callable[..., Decoder], lm_tokenizer: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_model(make_model(), lm_tokenizer, tmp_path / name)
    files = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert files == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_model_needs_a_tokenizer_with_the_special_tokens(
    make_model: Callable[..., Decoder], lm_tokenizer: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(lm_tokenizer, foreign)
    text = (foreign / "tokenizer.json").read_text()
    (foreign / "tokenizer.json").write_text(text.replace("<|endoftext|>", "<|gap|>"))
    with pytest.raises(RunError) as refused:
        save_model(make_model(), foreign, tmp_path)
    assert [fault.code for fault in refused.value.faults] == ["no_end_of_text"]
