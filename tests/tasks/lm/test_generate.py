"""Text from a model: where it stops, what is random, what it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tasks.lm.checkpoint import load_model, save_model
from tasks.lm.generate import LanguageModel, Sampling, generate
from tasks.lm.models.decoder import Decoder
from tasks.lm.tokens import END_OF_TEXT, END_OF_TURN, TextEncoder

PROMPT = [3, 200, 17]
GREEDY = Sampling(max_tokens=10)


def _hot(seed: int, top_k: int = 50) -> Sampling:
    return Sampling(max_tokens=10, temperature=2.0, top_k=top_k, seed=seed)


@pytest.fixture
def model(make_model: Callable[..., Decoder]) -> Decoder:
    return make_model()


def test_stops_before_a_stop_id(model: Decoder) -> None:
    free = generate(model, PROMPT, set(), GREEDY)
    assert len(free) == 10
    assert generate(model, PROMPT, {free[4]}, GREEDY) == free[: free.index(free[4])]
    assert generate(model, PROMPT, {free[0]}, GREEDY) == []


def test_zero_temperature_takes_the_most_likely(model: Decoder) -> None:
    ids = list(PROMPT)
    with torch.no_grad():
        for _ in range(10):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    for seed in (0, 1):
        assert generate(model, PROMPT, set(), Sampling(max_tokens=10, seed=seed)) == ids[3:]


def test_a_seed_decides_the_draw(model: Decoder) -> None:
    torch.manual_seed(1)
    first = generate(model, PROMPT, set(), _hot(seed=5))
    torch.manual_seed(2)  # no other randomness is touched or read
    assert generate(model, PROMPT, set(), _hot(seed=5)) == first
    others = {tuple(generate(model, PROMPT, set(), _hot(seed=seed))) for seed in range(8)}
    assert len(others) > 1


def test_top_k_bounds_the_choice(model: Decoder) -> None:
    greedy = generate(model, PROMPT, set(), GREEDY)
    assert generate(model, PROMPT, set(), _hot(seed=3, top_k=1)) == greedy
    with torch.no_grad():
        best = set(model(torch.tensor([PROMPT]))[0, -1].topk(4).indices.tolist())
    drawn = {generate(model, PROMPT, set(), _hot(seed=s, top_k=4))[0] for s in range(25)}
    assert len(drawn) > 1
    assert drawn <= best
    assert len(generate(model, PROMPT, set(), _hot(seed=0, top_k=10_000))) == 10


def test_only_the_context_is_read(model: Decoder) -> None:
    window = torch.randint(280, (model.context,), generator=torch.Generator().manual_seed(0))
    kept = window.tolist()
    expected = generate(model, kept, set(), GREEDY)
    assert generate(model, [9] * 30 + kept, set(), GREEDY) == expected
    firsts = [generate(model, [i, *kept[1:]], set(), _hot(seed=1)) for i in range(40)]
    assert len({tuple(made) for made in firsts}) > 1  # and all of it


def test_sampler_speaks_text(
    make_model: Callable[..., Decoder], lm_tokenizer: Path, tmp_path: Path
) -> None:
    model = make_model()
    save_model(model, lm_tokenizer, tmp_path)
    encoder = TextEncoder.load(lm_tokenizer)
    stops = {encoder.tokenizer.token_to_id(token) for token in (END_OF_TEXT, END_OF_TURN)}
    base, tuned = LanguageModel(tmp_path), LanguageModel(tmp_path, chats=True)

    def expected(ids: list[int]) -> str:
        return encoder.decode(generate(model, ids, stops, GREEDY))

    asked = encoder.converse([{"role": "user", "content": "the heap"}], answer=True).ids
    said = base.generate("the heap", max_tokens=10)
    assert said == expected([0, *encoder.encode("the heap")])
    assert tuned.generate("the heap", max_tokens=10) == expected(asked) != said
    ids = torch.tensor([asked])
    assert torch.equal(base(ids), load_model(tmp_path).eval()(ids))
