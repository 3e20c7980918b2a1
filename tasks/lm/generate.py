"""Text from a model. Small and cache-free: a sample is a few hundred tokens of a small model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from storage.errors import Fault, RequestError
from tasks.lm.checkpoint import load_model
from tasks.lm.models.decoder import Decoder
from tasks.lm.tokens import TextEncoder


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; temperature 0 takes the most likely."""

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 50
    seed: int = 0


class LanguageModel(torch.nn.Module):
    """A model with its tokenizer: text in, text out; called with ids, it gives their logits.

    One that `chats` answers prompts; another goes on with them.
    """

    def __init__(self, folder: Path, *, chats: bool = False) -> None:
        super().__init__()
        self.decoder = load_model(folder)
        self.encoder = TextEncoder.load(folder)
        self.chats = chats
        self._stops = self.encoder.stops
        self.eval()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Give the logits (batch, length, vocabulary) of the tokens after `ids` (batch, length)."""
        logits: torch.Tensor = self.decoder(ids)
        return logits

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 128,
        temperature: float = 0.0,
        top_k: int = 50,
        seed: int = 0,
    ) -> str:
        """Answer the prompt, or go on with it; at temperature 0 with the most likely tokens.

        Raises RequestError for numbers that cannot be sampled with.
        """
        bounds = (max_tokens, 1, "max_tokens"), (top_k, 1, "top_k"), (temperature, 0, "temperature")
        for value, least, name in bounds:
            if not value >= least:
                remedy = "Leave it out to take the default."
                fault = Fault(name, f"{value}", f"{least} or more", remedy, "out_of_range")
                raise RequestError(fault)
        asked = [{"role": "user", "content": prompt}]
        ids = (
            self.encoder.converse(asked, answer=True).ids
            if self.chats
            else self.encoder.begin(prompt)
        )
        sampling = Sampling(max_tokens, temperature, top_k, seed)
        made = generate(self.decoder, ids, self._stops, sampling)
        return self.encoder.decode(made)


@torch.no_grad()
def generate(
    model: Decoder, prompt: list[int], stops: Collection[int], sampling: Sampling
) -> list[int]:
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
