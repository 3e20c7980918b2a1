"""The rules by which sizes are chosen: within bounds, valid, and never less of it for more."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flows.sizing import (
    Machine,
    bytes_per_token,
    corpus_tokens,
    model_for,
    probed,
    this_machine,
    tokens_per_second,
    trained_parameters,
    vocabulary_for,
)
from tasks.lm.models import Llama
from tasks.tokenizer.config import SMALLEST_VOCABULARY
from tests.flows.conftest import ROOT

LAPTOP = Machine(cores=2, memory_bytes=8 << 30, bf16=False)
GPU = Machine(cores=16, memory_bytes=80 << 30, bf16=True, gpus=1)
texts = st.floats(2e4, 1e11)
times = st.floats(0.01, 1000)
machines = st.sampled_from([LAPTOP, replace(LAPTOP, bf16=True), replace(LAPTOP, flops=1e10), GPU])


@given(texts, times, machines)
def test_what_is_chosen_is_valid_and_within_text_time_and_memory(
    text: float, hours: float, machine: Machine
) -> None:
    size = model_for(text, hours, machine)
    Llama.model_validate(size.shape.model_dump())
    assert size.shape.num_heads * size.shape.head_dim == size.shape.hidden_size
    assert SMALLEST_VOCABULARY <= size.vocab_size <= max(SMALLEST_VOCABULARY, text / 64)
    assert size.epochs <= 17 and size.seconds <= max(hours * 3600, 60)
    assert size.parameters * 16 <= machine.memory_bytes / 2
    assert size.tokens >= size.batch_sequences * size.sequence_length >= size.sequence_length
    assert size.bound in ("text", "time")


@given(texts, times, st.floats(1, 20), machines)
def test_more_time_never_gives_a_smaller_model(
    text: float, hours: float, times_as_long: float, machine: Machine
) -> None:
    short, long = (model_for(text, h, machine) for h in (hours, hours * times_as_long))
    assert short.parameters <= long.parameters and short.vocab_size <= long.vocab_size


@given(texts, st.floats(1, 20))
def test_more_text_never_gives_fewer_tokens_or_entries(text: float, as_much: float) -> None:
    few, many = text, text * as_much
    assert corpus_tokens(few, 4096) <= corpus_tokens(many, 4096)
    assert vocabulary_for(few, 10**7) <= vocabulary_for(many, 10**7)
    assert bytes_per_token(1024) <= bytes_per_token(1024 * as_much.__ceil__())


@given(st.integers(10**4, 10**9), st.integers(2, 100), machines)
def test_larger_models_are_slower_and_faster_machines_faster(
    parameters: int, factor: int, machine: Machine
) -> None:
    speed = tokens_per_second(parameters, machine)
    assert tokens_per_second(parameters * factor, machine) <= speed
    more = replace(machine, cores=machine.cores * factor, flops=machine.flops * factor)
    assert tokens_per_second(parameters, more) >= speed


def test_the_demos_machine_trains_the_demos_model_as_fast_as_it_did() -> None:
    demo = Llama(num_layers=4, hidden_size=256, num_heads=2, num_kv_heads=2, head_dim=128)
    trained = trained_parameters(demo, 4096)
    assert tokens_per_second(trained, LAPTOP) == pytest.approx(4_835, rel=0.1)
    assert tokens_per_second(trained, replace(LAPTOP, bf16=True)) == pytest.approx(11_184, rel=0.1)


def test_the_demos_text_machine_and_time_give_the_demos_model() -> None:
    demo = yaml.safe_load((ROOT / "recipes" / "demo.yaml").read_text())
    size = model_for(4.9e6, 496 / 3600 * 1.05, LAPTOP)
    assert size.shape == Llama.model_validate(demo["pretrain"]["model"])
    assert size.vocab_size == demo["tokenizer"]["vocab_size"]
    assert size.sequence_length == demo["shard"]["sequence_length"]
    assert size.batch_sequences == demo["pretrain"]["batch_sequences"]
    assert size.tokens == pytest.approx(demo["pretrain"]["tokens"], rel=0.1)


def test_parameters_are_those_of_the_built_model() -> None:
    from tasks.lm.models.decoder import Decoder

    shape = model_for(3e5, 1, LAPTOP).shape
    for tied in (False, True):
        one = shape.model_copy(update={"tie_embeddings": tied})
        gains = (2 * one.num_layers + 1) * one.hidden_size
        assert Decoder(one, 512, 16).num_parameters == one.num_parameters(512) + gains


def test_a_probe_measures_this_machine() -> None:
    here = probed(this_machine())
    assert here.cores >= 1 and here.memory_bytes > 1 << 28
    assert here.flops > 1e9 * here.cores
