"""Adapters: what fine-tuning learnt, the pairs it learnt from, and the base with it merged in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.artifacts.artifact import (
    Artifact,
    ArtifactType,
    Files,
    Finding,
    Form,
    Held,
    InputGone,
    Learnt,
    Saw,
    Score,
    Table,
    TakedownSearch,
    Walk,
    score,
)
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.model import ANSWER_TOKENS, HELD_OUT, MODEL, in_time
from tasks.artifacts.prose import SOME, count, first, steps
from tasks.artifacts.sequences import SPLITS, Split

if TYPE_CHECKING:
    from tasks.lm.generate import LanguageModel

ANSWERS = "answers for held-out names"


_SPLITS = SPLITS[:2]  # no pairs are kept for a test
_PLACES: Mapping[str, str] = {split: f"pairs/{split}.parquet" for split in _SPLITS}
PAIRS = Table(
    "pairs", _PLACES, "the questions and answers that the adapter was taught, and those held out"
)
STEPS = "pairs/steps.parquet"
"""Which step of the training learnt from which pair."""


@dataclass(frozen=True)
class TracedPair:
    """One pair; `steps` count from 1. A train pair without steps was too long for the model."""

    name: str
    document_id: str
    split: Split
    steps: tuple[int, ...]


@dataclass(frozen=True)
class AdapterFinding:
    """What an adapter saw: its own pairs, and what its base had seen before, if anything.

    Artifacts made before finetune's stage version 2 have no `steps_recorded`.
    """

    pairs: tuple[TracedPair, ...]
    steps_recorded: bool
    base_artifact: str
    base: Finding | None
    base_problem: str | None

    def lines(self) -> Iterator[str]:
        """Tell which pairs it was taught, and when, and what its base saw."""
        for split, side in (("train", "in the train split"), ("validation", "held out")):
            pairs = [pair for pair in self.pairs if pair.split == split]
            if pairs:
                yield f"{count(len(pairs), 'pair')} {side}:"
                yield from first(pairs, SOME, lambda pair: f"{pair.name}{self._when(pair)}")
        if not self.pairs:
            yield "no pair of it"
        if self.base:
            yield f"through its base {self.base_artifact}:"
            yield from (f"  {line}" for line in self.base.lines())
        else:
            yield f"through its base {self.base_artifact}: {self.base_problem or 'not in it'}"

    def _when(self, pair: TracedPair) -> str:
        if pair.split == "validation":
            return ""
        if not self.steps_recorded:
            return ": steps not recorded (made before finetune's stage version 2)"
        if not pair.steps:
            return ": left out, longer than the model's context"
        return f": {steps(pair.steps)}"


class Adapter(ArtifactType):
    """An adapter; by its merged weights it serves as a model."""

    form: ClassVar[Form] = "model"
    counted_in: ClassVar[str] = "trainable_parameters"
    root: ClassVar[str] = "merged/"
    also: ClassVar[tuple[str, ...]] = ("model",)
    is_trained: ClassVar[bool] = True
    learns: ClassVar[str] = "pairs"
    chats: ClassVar[bool] = True
    loader: ClassVar[str] = "transformers.AutoModelForCausalLM.from_pretrained"
    load: ClassVar[str] = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
question = [{"role": "user", "content": prompt}]
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
        model = self.model(artifact)
        answer = partial(model.generate, max_tokens=ANSWER_TOKENS)
        yield from in_time(prompts, lambda p: f"{p}\n\n{answer(p).strip()}")

    def model(self, artifact: Artifact) -> LanguageModel:
        """Load its base with the adapter merged in."""
        from tasks.lm.generate import LanguageModel  # torch: 2 s, and only wanted here

        return LanguageModel(artifact.folder(self.root) / self.root, chats=True)

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

    def trace(self, artifact: Artifact, walk: Walk) -> AdapterFinding | None:
        """Tell which pairs of the documents it learnt from, and what its base knew."""
        pairs = find_pairs(artifact.files, walk.ids)
        source = next(artifact.inputs(MODEL), None)
        base, problem = None, None
        try:
            base = walk.known(artifact, MODEL)
        except InputGone as error:
            if not pairs:
                raise
            problem = str(error)
        if not pairs and base is None:
            return None
        label = source.label if source else ""
        return AdapterFinding(pairs, artifact.has(STEPS), label, base, problem)

    def learnt(self, artifact: Artifact) -> Learnt | None:
        """Count how often pairs were learnt from."""
        return Learnt(artifact.input(DOCUMENTS), count_reads(artifact.files))

    def held(self, artifact: Artifact, search: TakedownSearch) -> Held:
        """Find the pairs that quote the documents: `found`."""
        pairs = find_pairs(artifact.files, search.documents)
        return Held(frozenset(pair.document_id for pair in pairs), len(pairs), "pairs", pairs)

    def named(self, artifact: Artifact) -> Iterable[str]:
        """Name all documents that are quoted."""
        from storage.parquet import read_columns

        for place in _PLACES.values():
            for path in artifact.files(place):
                yield from read_columns([path], ["document_id"])["document_id"].to_pylist()

    def saw(
        self, artifact: Artifact, search: TakedownSearch, earlier: Mapping[str, Saw]
    ) -> Saw | None:
        """Count its pairs, and the tokens that its base saw."""
        found: Any = search.held(artifact).found or ()
        recorded = artifact.has(STEPS)
        pairs = sum(p.split == "train" and bool(p.steps or not recorded) for p in found)
        base = next((a.label for a in artifact.inputs(MODEL) if a.label in earlier), None)
        if base is None:
            return Saw(pairs=pairs) if pairs else None
        return Saw(tokens=earlier[base].tokens, pairs=pairs, base=base)


def find_pairs(files: Files, ids: Collection[str]) -> tuple[TracedPair, ...]:
    """Find the pairs of these documents, by name."""
    from storage.parquet import find_rows

    learnt: dict[str, list[int]] = {}
    for row in find_rows(files(STEPS), "document_id", ids, ("name", "step")):
        learnt.setdefault(row["name"], []).append(row["step"])

    found = [
        TracedPair(**row, split=split, steps=tuple(sorted(learnt.get(row["name"], ()))))
        for split in _SPLITS
        for row in find_rows(files(_PLACES[split]), "document_id", ids, ("name", "document_id"))
    ]
    return tuple(sorted(found, key=lambda pair: pair.name))


def count_reads(files: Files) -> dict[str, int]:
    """Count how often a pair of each document was learnt from.

    Where no steps were recorded (before stage version 2), each train pair counts once.
    """
    from storage.parquet import read_columns

    table = read_columns(files(STEPS) or files(_PLACES["train"]), ["document_id"])
    return dict(Counter(table["document_id"].to_pylist()))


ADAPTER = Adapter("adapter", "trained parameters", (PAIRS,))
