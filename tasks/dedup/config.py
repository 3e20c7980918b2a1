"""The knobs of the dedup stage."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import takewhile
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, Field, model_validator

from tasks import rates
from tasks.artifacts.artifact import Artifact
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.scores import SCORES
from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, Pattern, knob
from tasks.dedup.checks import DEFAULTS, DedupCheck, measures
from tasks.dedup.evaluation import Decontamination
from tasks.dedup.methods import Exact, Method, MinHash, PairMethod, TextMethod
from tasks.page import Section
from tasks.similarity.shingles import Shingles
from tasks.stage import Job, Outcome, Port, Stage

PlainRule = Literal[
    "longest",
    "least_repeated",
    "shortest_url",
    "canonical",
    "best_quality",
    "newest",
    "oldest",
]


class FirstSource(Config):
    """Documents of the first sources before all others."""

    kind: Literal["source"] = "source"
    urls: tuple[Pattern, ...] = knob(
        ...,
        "regular expressions, searched in URLs: the sources, the most wanted first",
        min_length=1,
    )


KeepRule = PlainRule | FirstSource


class DedupConfig(Config):
    """Find duplicates, measure each pair, keep the best document of each cluster."""

    threshold: float = knob(
        0.8,
        "exact Jaccard similarity of shingles, 0-1, from which two documents are duplicates; every "
        "candidate pair is measured before anything is dropped",
        gt=0,
        le=1,
        source="Lee et al., arXiv:2107.06499 §4.2",
    )
    shingles: Shingles = knob(Shingles(), "what documents are compared by")
    methods: tuple[Method, ...] = knob(
        (Exact(), MinHash()),
        "how duplicates are found, in order, each kind once. Those that drop documents (exact, "
        "url, minhash) and stand together are one pass; each that edits texts (lines, substring) "
        "is a pass of its own, on what is left",
        min_length=1,
    )
    keep: tuple[KeepRule, ...] = knob(
        ("longest", "shortest_url"),
        "which document of a cluster stays: rules in order, ties by id. canonical puts pages that "
        "give no other address as their own first; best_quality is by the "
        "quality stage's score, newest and oldest by the date that the page states; documents "
        "without one come last",
    )
    decontaminate: Decontamination = knob(
        Decontamination(), "take out what stands in evaluation sets, before all methods"
    )
    against: tuple[Annotated[str, Field(min_length=1)], ...] = knob(
        (),
        "earlier corpora: recipes, for their newest dedup, or versions such as dedup@3. What is in "
        "one of them, or in what that was deduplicated against, is dropped here; they keep theirs",
    )
    checks: Annotated[tuple[DedupCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )

    @model_validator(mode="after")
    def _each_kind_once(self) -> Self:
        kinds = [method.kind for method in self.methods]
        twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
        if twice:
            raise ValueError(f"methods {twice} stand there more than once; expected each kind once")
        return self

    @model_validator(mode="after")
    def _held_against_what_it_makes(self) -> Self:
        if self.against and not self.pair_methods:
            raise ValueError(
                f"against {list(self.against)} with {self.methods[-1].kind} as the last method; "
                "expected one that drops documents, for it is by the last pass that corpora are "
                "compared. Put it last"
            )
        return self

    def passes(self) -> tuple[DedupConfig | TextMethod | Decontamination, ...]:
        """What is gone through, in order: evaluation sets, if there are any; then the methods,
        those that drop documents together, as a configuration with no others, each that edits
        texts alone."""
        found: list[DedupConfig | TextMethod | Decontamination] = []
        if self.decontaminate.sets:
            found.append(self.decontaminate)
        pairs: list[PairMethod] = []
        for method in self.methods:
            if isinstance(method, PairMethod):
                pairs.append(method)
                continue
            found += [*self._of(pairs), method]
            pairs = []
        return (*found, *self._of(pairs))

    def _of(self, pairs: list[PairMethod]) -> list[DedupConfig]:
        return [self.model_copy(update={"methods": tuple(pairs)})] if pairs else []

    @property
    def pair_methods(self) -> tuple[PairMethod, ...]:
        """Those of the last pass, by whose keys later corpora are held against this one."""
        last = tuple(takewhile(lambda m: isinstance(m, PairMethod), reversed(self.methods)))
        return cast("tuple[PairMethod, ...]", last[::-1])

    @property
    def num_columns(self) -> int:
        """How many keys each document has."""
        return sum(method.columns(self.threshold) for method in self.pair_methods)

    def basis(self) -> dict[str, Any]:
        """What has to be equal for keys and similarities of two runs to be comparable.

        Methods in their order: keys lie in columns, one method's after the other's.
        """
        methods = [{"kind": m.kind, **m.basis(self.threshold)} for m in self.pair_methods]
        return {"shingles": self.shingles.scheme(), "methods": methods}

    def basis_text(self) -> str:
        """The same as text, for the files that hold keys."""
        return json.dumps(self.basis(), sort_keys=True)


def _build(job: Job) -> Outcome:
    from tasks.dedup.task import build  # Prefect: 1.3 s, and only wanted where it runs

    return build(job)


def _sections(artifact: Artifact) -> Iterable[Section]:
    from tasks.dedup.page import sections  # pyarrow, and only wanted on a page

    return sections(artifact)


STAGE = Stage(
    name="dedup",
    says="keep the best document of each cluster of duplicates",
    config=DedupConfig,
    version=2,
    output=DOCUMENTS,
    build=_build,
    measures=measures,
    forecast=rates.dedup,
    ports=(
        Port("documents", DOCUMENTS, recorded_as="clean"),
        Port("scores", SCORES, recorded_as="quality", made_with="documents"),
        Port("against", DOCUMENTS, "many", names=True),
    ),
    selects=True,
    drops={"duplicates": "duplicate", "already_there": "in an earlier corpus"},
    maps=True,
    sections=_sections,
)
