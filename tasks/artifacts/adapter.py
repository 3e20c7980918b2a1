"""Adapters: what fine-tuning learnt, the pairs it learnt from, and the base with it merged in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from tasks.artifacts.artifact import TRAIN, Artifact, ArtifactType, Form, Score, Table, score
from tasks.artifacts.model import ANSWER_TOKENS, HELD_OUT, MODEL, in_time

PAIRS = Table(
    "pairs",
    {TRAIN: "pairs/train.parquet", "validation": "pairs/validation.parquet"},
    "the questions and answers that the adapter was taught, and those held out",
)
STEPS = "pairs/steps.parquet"
"""Which step of the training learnt from which pair."""
ANSWERS = "answers for held-out names"


class Adapter(ArtifactType):
    """An adapter; by its merged weights it serves as a model."""

    form: ClassVar[Form] = "model"
    counted_in: ClassVar[str] = "trainable_parameters"
    root: ClassVar[str] = "merged/"
    also: ClassVar[tuple[str, ...]] = ("model",)
    is_trained: ClassVar[bool] = True
    chats: ClassVar[bool] = True
    loader: ClassVar[str] = "transformers.AutoModelForCausalLM.from_pretrained"
    load: ClassVar[str] = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
question = [{"role": "user", "content": "What is this about?"}]
start = tokenizer.apply_chat_template(
    question, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
made = model.generate(**start, max_new_tokens=32, do_sample=False)
print(tokenizer.decode(made[0, start["input_ids"].shape[1] :], skip_special_tokens=True))"""
    notes: ClassVar[Mapping[str, str]] = {
        "merged/": "The model at the root has the adapter merged in.",
        "adapter/": '`adapter/` is the adapter alone: `PeftModel.from_pretrained(base, f"{folder}/'
        'adapter")` puts it on its base model.',
        STEPS: f"`{STEPS}` says which step of the training learnt from which pair.",
    }

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give each prompt with the answer that is most likely."""
        if not prompts:
            return
        from tasks.lm.generate import Sampler, Sampling  # torch: 2 s, and only wanted here

        model, sampling = Sampler(artifact.folder(self.root) / self.root), Sampling(ANSWER_TOKENS)
        yield from in_time(prompts, lambda p: f"{p}\n\n{model.answer(p, sampling).strip()}")

    def scores(self, artifact: Artifact) -> list[Score]:
        """Compare it with its base model, on answers held out; and that with simple models."""
        base = next(artifact.inputs(MODEL), None)
        before = [] if base is None else base.type.scores(base)
        mine = artifact.manifest.stats
        return [
            *(
                replace(each, own=False, subject="its base model" if each.own else each.subject)
                for each in before
                if each.text == HELD_OUT
            ),
            *score(mine, "held_out_bits_per_byte_before", ANSWERS, "its base model"),
            *score(mine, "held_out_bits_per_byte", ANSWERS, "this model", own=True),
        ]


ADAPTER = Adapter("adapter", "trained parameters", (PAIRS,))
