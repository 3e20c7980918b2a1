"""Models: weights, configuration and tokenizer, as transformers loads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tasks.artifacts.artifact import Artifact, ArtifactType, Form, Score, score
from tasks.artifacts.sequences import SEQUENCES

HELD_OUT = "held-out documents"


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


MODEL = Model("model", "parameters")
