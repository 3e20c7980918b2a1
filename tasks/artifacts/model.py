"""Models: weights, configuration and tokenizer, as transformers loads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tasks.artifacts.artifact import (
    Artifact,
    ArtifactType,
    Form,
    InputGone,
    Learnt,
    Saw,
    Score,
    TakedownSearch,
    Walk,
    score,
)
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.prose import count, steps
from tasks.artifacts.sequences import SEQUENCES, SequencesFinding, ShardedDocument, count_tokens

HELD_OUT = "held-out documents"
ANSWER_TOKENS = 48
_ANSWERS_WITHIN_S = 20.0  # no more prompts after it: a large model on a CPU takes a second a token


if TYPE_CHECKING:
    from tasks.lm.generate import LanguageModel
    from tasks.lm.order import Order


@dataclass(frozen=True)
class LearntDocument:
    """A document that a model was trained on.

    `steps` count from 1, each once; `tokens` were predicted, each as often as its row was read.
    """

    document_id: str
    steps: tuple[int, ...]
    tokens: int


@dataclass(frozen=True)
class ModelFinding:
    """What a model saw: what it learnt from, and what was held out."""

    num_steps: int
    learnt: tuple[LearntDocument, ...]
    held_out: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Tell at which steps it learnt from each."""
        for document in self.learnt:
            if document.steps:
                yield (
                    f"learnt from it at {len(document.steps):,} of {self.num_steps:,} steps, "
                    f"{count(document.tokens, 'token')} in all: {steps(document.steps)}"
                )
            else:
                yield f"never read: training ended after {self.num_steps:,} steps, before its rows"
        for _ in self.held_out:
            yield "held out: not learnt from"


_LENGTH = "sequence_length"


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
start = tokenizer(prompt, return_tensors="pt")
made = model.generate(**start, max_new_tokens=32, do_sample=True, temperature=0.7)
print(tokenizer.decode(made[0], skip_special_tokens=True))"""
    notes: ClassVar[Mapping[str, str]] = {
        "": "Documents began with the token `tokenizer.bos_token` in training; the tokenizer puts "
        "it before a prompt."
    }

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give each prompt as the model goes on with it."""
        if not prompts:
            return
        model = self.model(artifact)
        # At temperature 0 a base model repeats itself.
        say = partial(model.generate, max_tokens=ANSWER_TOKENS, temperature=0.7)
        yield from in_time(prompts, lambda p: p + say(p))

    def model(self, artifact: Artifact) -> LanguageModel:
        """Load it."""
        from tasks.lm.generate import LanguageModel  # torch: 2 s, and only wanted here

        return LanguageModel(artifact.folder())

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

    def trace(self, artifact: Artifact, walk: Walk) -> ModelFinding | None:
        """Tell when it learnt from the documents, by the order of its rows alone."""
        sequences = walk.known(artifact, SEQUENCES)
        if not isinstance(sequences, SequencesFinding):
            return None
        return _find_learnt(artifact, sequences)

    def learnt(self, artifact: Artifact) -> Learnt | None:
        """Count the tokens that were predicted in training."""
        sequences = artifact.input(SEQUENCES)
        train = sequences.files("train/")
        order, num_steps = _reading(artifact, sum(_rows_of(path) for path in train))
        amounts = count_tokens(train, order.times_read(num_steps))
        return Learnt(sequences.input(DOCUMENTS), amounts)

    def saw(
        self, artifact: Artifact, search: TakedownSearch, earlier: Mapping[str, Saw]
    ) -> Saw | None:
        """Count the tokens that were predicted in training; none if its budget ended before."""
        sequences = next((a for a in artifact.inputs(SEQUENCES) if a.is_whole()), None)
        sharded = search.held(sequences).found if sequences else None
        if not isinstance(sharded, SequencesFinding) or not sharded.documents:
            return None
        try:
            tokens = [document.tokens for document in _find_learnt(artifact, sharded).learnt]
        except InputGone:
            return Saw()
        if not sum(tokens):
            return None
        return Saw(documents=sum(map(bool, tokens)), tokens=sum(tokens))


def in_time(prompts: Sequence[str], say: Callable[[str], str]) -> Iterator[str]:
    """Say something to each prompt, until that has taken long."""
    began = monotonic()
    for done, prompt in enumerate(prompts):
        if monotonic() - began > _ANSWERS_WITHIN_S:
            yield f"{len(prompts) - done} more prompts would have taken too long here."
            return
        yield say(prompt)


def _rows_of(path: Any) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _find_learnt(artifact: Artifact, sharded: SequencesFinding) -> ModelFinding:
    order, num_steps = _reading(artifact, sharded.train_rows)
    return ModelFinding(
        num_steps,
        tuple(learnt_from(d, order, num_steps) for d in sharded.documents if d.split == "train"),
        tuple(d.document_id for d in sharded.documents if d.split != "train"),
    )


def _reading(artifact: Artifact, train_rows: int) -> tuple[Order, int]:
    """Give the order in which a training read the rows of its sequences, and its steps.

    Raises InputGone if it was another stage's, whose order is not known.
    """
    from tasks.lm.order import DrawnOrder, Order

    packed = artifact.input(SEQUENCES).manifest.config
    config = artifact.manifest.config | {k: v for k, v in packed.items() if k == _LENGTH}
    knobs = ("seed", "batch_sequences", "tokens", _LENGTH)
    unknown = [knob for knob in knobs if knob not in config]
    if unknown:
        raise InputGone(f"its order of reading is not known: no {', '.join(unknown)} recorded")
    seed, batch, tokens, length = (cast("int", config[knob]) for knob in knobs)
    kind = Order if artifact.manifest.code.stage_version > 1 else DrawnOrder
    return kind(seed, batch, train_rows), tokens // (batch * length)


def learnt_from(document: ShardedDocument, order: Order, num_steps: int) -> LearntDocument:
    """Say when a document was learnt from, in a training that read rows in this order."""
    import numpy as np

    rows = Counter[int]()  # one may hold two copies of a document that is repeated
    for span in document.spans:
        rows[span.index] += span.tokens
    tokens = np.fromiter(rows.values(), dtype=np.int64)
    read_at = order.steps(np.fromiter(rows, dtype=np.int64), num_steps)
    was_read = read_at >= 0
    distinct = np.unique(read_at[was_read]) + 1
    total = int((was_read * tokens).sum())
    return LearntDocument(document.document_id, tuple(distinct.tolist()), total)


MODEL = Model("model", "parameters")
