"""Models: weights, configuration and tokenizer, as transformers loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import ClassVar

from tasks.artifacts.artifact import Artifact, ArtifactType, Form, Score, score
from tasks.artifacts.sequences import SEQUENCES

HELD_OUT = "held-out documents"
ANSWER_TOKENS = 48
_ANSWERS_WITHIN_S = 20.0  # no more prompts after it: a large model on a CPU takes a second a token


class Model(ArtifactType):
    """A language model, with the curve of its training."""

    form: ClassVar[Form] = "model"
    counted_in: ClassVar[str] = "parameters"
    is_trained: ClassVar[bool] = True
    loader: ClassVar[str] = "transformers.AutoModelForCausalLM.from_pretrained"
    load: ClassVar[str] = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
start = tokenizer(tokenizer.bos_token + "The", return_tensors="pt")
made = model.generate(**start, max_new_tokens=32, do_sample=True, temperature=0.7)
print(tokenizer.decode(made[0], skip_special_tokens=True))"""
    notes: ClassVar[Mapping[str, str]] = {
        "": "Documents began with the token `tokenizer.bos_token` in training; a prompt is to "
        "begin with it too."
    }

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give each prompt as the model goes on with it."""
        if not prompts:
            return
        from tasks.lm.generate import Sampler, Sampling  # torch: 2 s, and only wanted here

        model = Sampler(artifact.folder())
        sampling = Sampling(ANSWER_TOKENS, temperature=0.7)  # at 0 a base model repeats itself
        yield from in_time(prompts, lambda p: p + model.continue_text(p, sampling))

    def scores(self, artifact: Artifact) -> list[Score]:
        """Compare it with simple models, on the documents that were held out of its training."""
        sequences = next(artifact.inputs(SEQUENCES), None)
        simple = {} if sequences is None else sequences.manifest.stats
        mine = artifact.manifest.stats
        return [
            *score(simple, "unigram_bits_per_byte", HELD_OUT, "unigram tokens"),
            *score(simple, "xz_bits_per_byte", HELD_OUT, "xz -9"),
            *score(mine, "validation_bits_per_byte", HELD_OUT, "this model", own=True),
        ]


def in_time(prompts: Sequence[str], say: Callable[[str], str]) -> Iterator[str]:
    """Say something to each prompt, until that has taken long."""
    began = monotonic()
    for done, prompt in enumerate(prompts):
        if monotonic() - began > _ANSWERS_WITHIN_S:
            yield f"{len(prompts) - done} more prompts would have taken too long here."
            return
        yield say(prompt)


MODEL = Model("model", "parameters")
