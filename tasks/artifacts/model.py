"""Models: weights, configuration and tokenizer, as transformers loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import ClassVar

from tasks.artifacts.artifact import Artifact, ArtifactType, Form

ANSWER_TOKENS = 48
_ANSWERS_WITHIN_S = 20.0  # no more prompts after it: a large model on a CPU takes a second a token


class Model(ArtifactType):
    """A language model, with the curve of its training."""

    form: ClassVar[Form] = "model"
    counted_in: ClassVar[str] = "parameters"
    is_trained: ClassVar[bool] = True

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give each prompt as the model goes on with it."""
        if not prompts:
            return
        from tasks.lm.generate import Sampler, Sampling  # torch: 2 s, and only wanted here

        model = Sampler(artifact.folder())
        sampling = Sampling(ANSWER_TOKENS, temperature=0.7)  # at 0 a base model repeats itself
        yield from in_time(prompts, lambda p: p + model.continue_text(p, sampling))


def in_time(prompts: Sequence[str], say: Callable[[str], str]) -> Iterator[str]:
    """Say something to each prompt, until that has taken long."""
    began = monotonic()
    for done, prompt in enumerate(prompts):
        if monotonic() - began > _ANSWERS_WITHIN_S:
            yield f"{len(prompts) - done} more prompts would have taken too long here."
            return
        yield say(prompt)


MODEL = Model("model", "parameters")
