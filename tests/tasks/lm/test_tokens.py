"""Text stays text, and a conversation is what its chat template writes."""

from __future__ import annotations

import re
from itertools import compress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import RunError
from tasks.lm.tokens import SPECIAL_TOKENS, TextEncoder
from tasks.tokenizer.train import save_tokenizer
from tests.conftest import ROOT
from tests.tasks.tokenizer.conftest import trained

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is má?"},
    {"role": "assistant", "content": " mother\n"},
    {"role": "tool", "content": "42"},
    {"role": "user", "content": "And ba?"},
    {"role": "assistant", "content": "father"},
]
# As many models have it: nothing says what the assistant wrote.
CHATML = (
    "{% for m in messages %}{{ '<|user|>' + m['role'] + '\n' + m['content'] | trim + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|user|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(trained(), made)
    return made


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    return TextEncoder.load(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_a_conversation_is_what_transformers_makes_of_the_template(
    encoder: TextEncoder, theirs: Any
) -> None:
    for turns in (TURNS, TURNS[:2], TURNS[1:3]):
        whole = theirs.apply_chat_template(
            turns, return_assistant_tokens_mask=True, return_dict=True
        )
        said = encoder.converse(turns)
        assert (said.ids, said.learnt) == (whole["input_ids"], whole["assistant_masks"])
    asked = theirs.apply_chat_template(TURNS[:2], add_generation_prompt=True)["input_ids"]
    assert encoder.converse(TURNS[:2], answer=True).ids == asked


def test_what_is_learnt_are_the_assistants_turns_and_their_ends(encoder: TextEncoder) -> None:
    said = encoder.converse(TURNS)
    learnt = encoder.tokenizer.decode(
        list(compress(said.ids, said.learnt)), skip_special_tokens=False
    )
    assert learnt == " mother\n<|end|>father<|end|>"


def test_parts_of_text_are_one_text(encoder: TextEncoder) -> None:
    parts = [{"type": "text", "text": "What "}, {"type": "text", "text": "is má?"}]
    assert encoder.converse([{"role": "user", "content": parts}]) == encoder.converse(TURNS[1:2])


@pytest.mark.parametrize(
    ("turn", "found"),
    [
        ({"role": "end", "content": "x"}, "the role end; expected system, user"),
        ({"role": "user<|end|>", "content": "x"}, "the role user"),
        ({"role": "user", "content": [{"type": "image"}]}, "a part of type image"),
        ({"role": "user", "content": None}, "a turn without content"),
        ({"role": "user"}, "a turn without content"),
    ],
)
def test_what_the_template_does_not_know_is_refused(
    encoder: TextEncoder, turn: dict[str, Any], found: str
) -> None:
    with pytest.raises(RunError) as refused:
        encoder.converse([turn])
    (fault,) = refused.value.faults
    assert fault.found.startswith(found)


@pytest.mark.parametrize("template", ["own", CHATML])
def test_a_template_without_marks_learns_the_same_turns(folder: Path, template: str) -> None:
    encoder = TextEncoder.load(folder)
    if template != "own":
        encoder.config = {**encoder.config, "chat_template": template}
    said = encoder.converse(TURNS)
    learnt = encoder.decode(list(compress(said.ids, said.learnt)))
    assert [line.strip() for line in re.split(r"(?<=mother)\s*", learnt)] == ["mother", "father"]


def test_a_template_that_rewrites_what_went_before_wants_marks(folder: Path) -> None:
    encoder = TextEncoder.load(folder)
    only_last = "{{ messages[-1]['content'] + '<|end|>' }}"
    encoder.config = {**encoder.config, "chat_template": only_last}
    with pytest.raises(RunError) as refused:
        encoder.converse(TURNS)
    assert [fault.code for fault in refused.value.faults] == ["no_generation_marks"]
    encoder.config = {}
    with pytest.raises(RunError) as refused:
        encoder.converse(TURNS)
    assert [fault.code for fault in refused.value.faults] == ["no_chat_template"]


_SPELLING = st.lists(
    st.one_of(
        st.sampled_from([*SPECIAL_TOKENS, "<|", "|>", "<|end", "user", "\U000f0000", "\n", " a"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    ),
    max_size=8,
).map("".join)


@given(prompt=_SPELLING, answer=_SPELLING)
def test_no_text_spells_a_control_token(
    encoder: TextEncoder, theirs: Any, prompt: str, answer: str
) -> None:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    said = encoder.converse(turns)
    control = [encoder.tokenizer.id_to_token(i) for i in said.ids if i < len(SPECIAL_TOKENS)]
    assert control == ["<|endoftext|>", "<|user|>", "<|end|>", "<|assistant|>", "<|end|>"]
    at = [place for place, i in enumerate(said.ids) if i < len(SPECIAL_TOKENS)]
    assert said.ids[at[1] + 1 : at[2]] == encoder.encode(prompt)
    assert said.ids[at[3] + 1 : at[4]] == encoder.encode(answer)
    assert said.learnt == [place > at[3] for place in range(len(said.ids))]


def test_no_other_module_encodes_text() -> None:
    """Where text becomes ids, control tokens are to be kept apart from it: in one place."""
    encoding = re.compile(r"add_special_tokens=|encode_batch_fast|(?<!Auto)Tokenizer\.from_[fs]")
    found = {
        str(path.relative_to(ROOT))
        for folder in ("flows", "tasks", "storage")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if encoding.search(line)
    }
    assert found == {"tasks/lm/tokens.py"}


def test_the_page_is_right(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tokens.md").read_text(), re.S)
    monkeypatch.chdir(folder)
    exec(snippet, {})
