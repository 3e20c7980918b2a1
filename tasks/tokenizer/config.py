"""The knobs of the tokenizer stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, model_validator

from tasks import rates
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.tokenizer import TOKENIZER
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, Misfit, knob
from tasks.lm.bases import Base
from tasks.lm.tokens import SPECIAL_TOKENS, Split
from tasks.page import Section
from tasks.stage import Job, Outcome, Port, Stage
from tasks.tokenizer.checks import DEFAULTS, TokenizerCheck, measures

SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)

Kind = Literal["bpe", "superbpe", "wordpiece", "characters", "bytes"]
# The knobs that not every kind takes; each kind's smallest vocabulary is below.
_TAKES: dict[Kind, tuple[str, ...]] = {
    "bpe": ("split", "min_frequency"),
    "superbpe": ("split", "min_frequency", "transition"),
    "wordpiece": ("split", "min_frequency"),
    "characters": (),
    "bytes": (),
}
_SMALLEST: dict[Kind, int] = {"wordpiece": SMALLEST_VOCABULARY + 256}  # two pieces of a byte


class TokenizerConfig(Config):
    """Train a tokenizer on the documents."""

    kind: Kind = knob(
        "bpe",
        "what is learnt: bpe, merges of bytes within words; superbpe, then across spaces, too; "
        "wordpiece, longest pieces first, for encoders; characters; bytes, learning nothing",
        neutral="bpe",
    )
    vocab_size: int = knob(
        32_768,
        "entries, with the 256 bytes and the special tokens",
        ge=SMALLEST_VOCABULARY,
        le=1 << 20,
    )
    split: Split | Literal["auto"] = knob(
        "auto",
        "the pre-tokenizer whose pattern splits text before merging, as GPT-2, Llama 3, Qwen 2 or "
        "Qwen 3.5 have it; qwen35 takes combining marks for letters, as Indic scripts, Thai and "
        "their like need; auto: qwen35 where the documents have such marks, else qwen2",
    )
    base: Base | None = knob(
        None,
        "a tokenizer that is taken instead of training one, with its own special tokens and chat "
        "template; vocab_size and split are its own then",
        neutral=None,
    )
    extend_by: int = knob(
        0,
        "entries that are learnt on the documents and added to those of base, a BPE, whose ids "
        "stay; 0: none",
        ge=0,
        le=1 << 20,
        neutral=0,
    )
    min_frequency: int = knob(2, "occurrences that a pair needs to be merged", ge=1)
    transition: float = knob(
        0.9,
        "share of the vocabulary from which on merges may cross spaces (superbpe)",
        source="arXiv 2503.13423: 180,000 of 200,000 gave the best models",
        neutral=0.9,
        gt=0,
        lt=1,
    )
    checks: Annotated[tuple[TokenizerCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )

    @model_validator(mode="after")
    def _is_trained_or_taken(self) -> Self:
        own = type(self).model_fields
        for name in ("kind", "vocab_size", "split", "transition") if self.base else ():
            if (found := getattr(self, name)) != own[name].default:
                expected = "nothing: base has its own"
                remedy = f"Leave tokenizer.{name} out, or tokenizer.base."
                raise Misfit(f"{name} {found}", expected, remedy, code="not_trained", at=name)
        if self.extend_by and not self.base:
            found, expected = f"extend_by {self.extend_by} without base", "a tokenizer to extend"
            remedy = "Name it as tokenizer.base, or set tokenizer.vocab_size."
            raise Misfit(found, expected, remedy, code="no_base", at="extend_by")
        return self

    @model_validator(mode="before")
    @classmethod
    def _bytes_are_what_they_are(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("kind") == "bytes":
            return {"vocab_size": SMALLEST_VOCABULARY, **given}
        return given

    @model_validator(mode="after")
    def _what_its_kind_takes(self) -> Self:
        fields = type(self).model_fields
        for name in ("split", "min_frequency", "transition"):
            value = getattr(self, name)
            if name not in _TAKES[self.kind] and value != fields[name].default:
                kinds = ", ".join(kind for kind, takes in _TAKES.items() if name in takes)
                remedy = f"Leave it out, or set tokenizer.kind to one of {kinds}."
                found = f"{value} with kind {self.kind}, which has no use for it"
                raise Misfit(found, "it left out", remedy, code="knob_of_another_kind", at=name)
        least = self.smallest_vocabulary
        if self.vocab_size < least or (self.kind == "bytes" and self.vocab_size > least):
            expected = f"{'exactly' if self.kind == 'bytes' else 'at least'} {least}"
            found = f"{self.vocab_size} entries with kind {self.kind}"
            raise Misfit(found, expected, code="not_its_vocabulary", at="vocab_size")
        return self

    @property
    def smallest_vocabulary(self) -> int:
        """Entries that its kind has before anything is learnt."""
        return _SMALLEST.get(self.kind, SMALLEST_VOCABULARY)


def _build(job: Job) -> Outcome:
    from tasks.tokenizer.task import build  # Prefect: 1.3 s, and only wanted where it runs

    return build(job)


def _sections(artifact: Artifact) -> Iterable[Section]:
    from tasks.tokenizer.page import sections  # only wanted on a page

    return sections(artifact)


STAGE = Stage(
    name="tokenizer",
    says="train a tokenizer on the documents",
    config=TokenizerConfig,
    version=2,
    output=TOKENIZER,
    build=_build,
    measures=measures,
    forecast=rates.tokenizer,
    sections=_sections,
    ports=(Port("documents", DOCUMENTS, recorded_as="dedup"),),
)
