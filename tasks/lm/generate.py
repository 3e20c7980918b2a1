"""Text from a model. Small and cache-free: a sample is a few hundred tokens of a small model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.lm.checkpoint import load_model
from tasks.lm.models.decoder import Decoder
from tasks.lm.tokens import END_OF_TEXT, END_OF_TURN, chat_prompt, load_tokenizer, special_id


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; temperature 0 takes the most likely."""

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 50
    seed: int = 0


class Sampler:
    """A model and its tokenizer, ready to continue text."""

    def __init__(self, folder: Path) -> None:
        self._model = load_model(folder).eval()
        self._tokenizer = load_tokenizer(folder)
        self._stops = {special_id(self._tokenizer, t) for t in (END_OF_TEXT, END_OF_TURN)}

    def continue_text(self, prompt: str, sampling: Sampling) -> str:
        """What a base model writes after `prompt`."""
        return self._generate(END_OF_TEXT + prompt, sampling)

    def answer(self, prompt: str, sampling: Sampling) -> str:
        """What a tuned model answers to the user's `prompt`."""
        return self._generate(chat_prompt(prompt), sampling)

    def _generate(self, text: str, sampling: Sampling) -> str:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        made = generate(self._model, ids, self._stops, sampling)
        return str(self._tokenizer.decode(made))


@torch.no_grad()
def generate(model: Decoder, prompt: list[int], stops: set[int], sampling: Sampling) -> list[int]:
    """The ids that follow `prompt`, up to a stop id (left out) or `max_tokens`.

    Only the last `model.context` ids are read.
    """
    generator = torch.Generator().manual_seed(sampling.seed)
    ids = list(prompt)
    for _ in range(sampling.max_tokens):
        logits = model(torch.tensor([ids[-model.context :]]))[0, -1]
        if sampling.temperature == 0:
            chosen = int(logits.argmax())
        else:
            best = torch.topk(logits / sampling.temperature, min(sampling.top_k, len(logits)))
            draw = torch.multinomial(best.values.softmax(-1), 1, generator=generator)
            chosen = int(best.indices[draw])
        if chosen in stops:
            break
        ids.append(chosen)
    return ids[len(prompt) :]
