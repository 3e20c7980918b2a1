"""Pairs: unique, split by name alone, and turned into batches that hold each once."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from itertools import compress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import NothingLeft
from storage.records import PAIR
from storage.workspace import Workspace
from tasks.finetune.config import FinetuneConfig
from tasks.finetune.instructions import (
    TRAIN,
    VALIDATION,
    Example,
    collate,
    encode_pairs,
    plan_batches,
    write_pairs,
)
from tasks.finetune.train import FinetuneData
from tasks.lm.sequences import IGNORED
from tasks.lm.tokens import END_OF_TURN, SPECIAL_TOKENS, TextEncoder

Sides = dict[str, list[dict[str, str]]]


def _module(number: int, functions: int = 12) -> tuple[str, str]:
    lines = ["Functions", ""]
    for index in range(functions):
        lines += [f"fold{index}(item)", f"Fold the item of module {number} {index} times."]
    return f"http://localhost/mod{number}.html", "\n".join(lines)


def _read(workspace: Workspace) -> Sides:
    return {path: pq.read_table(workspace.data / path).to_pylist() for path in (TRAIN, VALIDATION)}


@pytest.fixture
def split(tmp_path: Path, write_documents: Callable[..., Path]) -> Callable[..., Sides]:
    """Write pairs of the given documents and read them back."""

    def made(*documents: tuple[str, str], **knobs: Any) -> Sides:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        workspace = Workspace(place)
        file = write_documents(*documents, name=f"{place.name}.parquet")
        write_pairs([file], FinetuneConfig(**{"held_out_share": 0.2, **knobs}), workspace)
        for path in (TRAIN, VALIDATION):
            assert pq.read_schema(workspace.data / path).equals(PAIR)
        return _read(workspace)

    return made


def _names(side: list[dict[str, str]]) -> set[str]:
    return {pair["name"] for pair in side}


def test_names_and_answers_are_unique_and_public_names_first(split: Callable[..., Sides]) -> None:
    twins = [("http://localhost/_mod0.html", _module(0)[1]), _module(0), _module(0), _module(1)]
    sides = split(*twins)
    pairs = sides[TRAIN] + sides[VALIDATION]
    assert _names(pairs) == {f"mod{m}.fold{i}" for m in (0, 1) for i in range(12)}
    assert len(pairs) == len({pair["answer"] for pair in pairs}) == 24
    assert all(side == sorted(side, key=lambda pair: pair["name"]) for side in sides.values())


def test_the_side_follows_from_the_name_alone(split: Callable[..., Sides]) -> None:
    modules = [_module(number) for number in range(8)]
    few, all_of_them = split(*modules[:4]), split(*modules)
    assert _names(few[VALIDATION]) <= _names(all_of_them[VALIDATION])
    assert _names(few[TRAIN]) <= _names(all_of_them[TRAIN])
    share = len(all_of_them[VALIDATION]) / 96
    assert 0.1 < share < 0.3

    shuffled = list(modules)
    random.Random(0).shuffle(shuffled)
    assert split(*shuffled) == all_of_them

    more = split(*modules, held_out_share=0.4)
    assert _names(all_of_them[VALIDATION]) < _names(more[VALIDATION])


def test_a_finished_split_is_not_made_again(
    split: Callable[..., Sides], tmp_path: Path, write_documents: Callable[..., Path]
) -> None:
    workspace = Workspace(tmp_path / "again")
    config = FinetuneConfig(held_out_share=0.2)
    write_pairs([write_documents(_module(0), _module(1))], config, workspace)
    made = _read(workspace)
    write_pairs([tmp_path / "no such file"], config, workspace)
    assert _read(workspace) == made


@pytest.mark.parametrize(
    ("documents", "share", "says"),
    [
        ([("http://localhost/a.html", "no definitions")], 0.2, "0 instruction pairs leave none"),
        ([_module(0)], 1e-9, "12 instruction pairs leave none for pairs/validation"),
        ([_module(0)], 1 - 1e-9, "12 instruction pairs leave none for pairs/train"),
    ],
)
def test_a_side_without_pairs_is_an_error(
    split: Callable[..., Sides], documents: list[tuple[str, str]], share: float, says: str
) -> None:
    with pytest.raises(NothingLeft, match=says):
        split(*documents, held_out_share=share)


def test_an_exchange_is_what_the_chat_template_writes(finetune_data: FinetuneData) -> None:
    from transformers import AutoTokenizer

    encoder = TextEncoder.load(finetune_data.base)
    pairs: list[Mapping[str, str]] = pq.read_table(finetune_data.train).to_pylist()
    theirs = AutoTokenizer.from_pretrained(finetune_data.base)
    for pair, example in zip(pairs, encode_pairs(pairs, encoder, 200), strict=True):
        turns = [
            {"role": "user", "content": pair["prompt"]},
            {"role": "assistant", "content": pair["answer"]},
        ]
        whole = theirs.apply_chat_template(
            turns, return_assistant_tokens_mask=True, return_dict=True
        )
        assert (example.ids, example.learnt) == (whole["input_ids"], whole["assistant_masks"])


def test_an_answer_that_spells_control_tokens_is_text(finetune_data: FinetuneData) -> None:
    answer = "Close a turn with <|end|>, a text with <|endoftext|>, and <|<|end|>|> with care."
    pair = {"name": "f", "document_id": "1", "prompt": "What is <|user|>?", "answer": answer}
    encoder = TextEncoder.load(finetune_data.base)
    (example,) = encode_pairs([pair], encoder, 1000)
    learnt = list(compress(example.ids, example.learnt))
    end = encoder.tokenizer.token_to_id(END_OF_TURN)
    assert learnt.count(end) == 1 and learnt[-1] == end
    assert encoder.decode(learnt) == answer
    control = [i for i in example.ids if i < len(SPECIAL_TOKENS)]
    names = [encoder.tokenizer.id_to_token(i) for i in control]
    assert names == ["<|endoftext|>", "<|user|>", "<|end|>", "<|assistant|>", "<|end|>"]


def test_an_exchange_that_does_not_fit_is_left_out(finetune_data: FinetuneData) -> None:
    encoder = TextEncoder.load(finetune_data.base)
    pairs = pq.read_table(finetune_data.train).to_pylist()
    lengths = [len(example.ids) for example in encode_pairs(pairs, encoder, 1000)]
    assert len(lengths) == len(pairs)
    context = max(lengths) - 1  # its last id is only predicted, never read
    assert len(encode_pairs(pairs, encoder, context)) == len(pairs)
    fitting = [length for length in lengths if length <= context]
    assert len(encode_pairs(pairs, encoder, context - 1)) == len(fitting) < len(pairs)


@st.composite
def _examples(draw: st.DrawFn) -> list[Example]:
    lengths = draw(st.lists(st.integers(2, 60), min_size=1, max_size=40))
    return [
        Example(
            list(range(100, 100 + length)),
            [False, *draw(st.lists(st.booleans(), min_size=length - 1, max_size=length - 1))],
        )
        for length in lengths
    ]


@given(_examples())
def test_targets_are_the_answer_and_nothing_else(examples: list[Example]) -> None:
    ids, targets = collate(examples)
    assert ids.shape == targets.shape == (len(examples), max(len(e.ids) for e in examples) - 1)
    for example, read, wanted in zip(examples, ids.tolist(), targets.tolist(), strict=True):
        last = len(example.ids) - 1
        assert read == example.ids[:-1] + [0] * (len(read) - last)
        answers = list(compress(example.ids, example.learnt))
        assert [target for target in wanted if target != IGNORED] == answers
        for position in range(last):  # each target is the id that follows what was read
            if wanted[position] != IGNORED:
                assert wanted[position] == example.ids[position + 1]
        assert set(wanted[last:]) <= {IGNORED}


@given(
    examples=_examples(),
    batch_tokens=st.integers(16, 400),
    epochs=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_every_epoch_has_every_example_once_within_the_bound(
    examples: list[Example], batch_tokens: int, epochs: int, seed: int
) -> None:
    config = FinetuneConfig(batch_tokens=batch_tokens, epochs=epochs, seed=seed)
    plan = plan_batches(examples, config)
    assert plan == plan_batches(examples, config)
    order = [index for batch in plan for index in batch]
    count = len(examples)
    assert len(order) == epochs * count
    for epoch in range(epochs):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))
    for batch in plan:
        padded = len(batch) * max(len(examples[index].ids) for index in batch)
        assert padded <= batch_tokens or len(batch) == 1


def test_plans_differ_by_seed_and_epoch_and_fill_their_batches() -> None:
    examples = [Example(list(range(length)), 1) for length in range(10, 60)]
    plan = plan_batches(examples, FinetuneConfig(batch_tokens=256, epochs=2))
    half = len(plan) // 2
    assert plan[:half] != plan[half:]
    assert plan != plan_batches(examples, FinetuneConfig(batch_tokens=256, epochs=2, seed=1))
    padded = [len(batch) * max(len(examples[i].ids) for i in batch) for batch in plan]
    assert sum(padded) / len(padded) > 0.7 * 256
    true = sum(len(examples[i].ids) for batch in plan for i in batch)
    assert true / sum(padded) > 0.85  # similar lengths go together
