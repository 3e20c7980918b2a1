"""The knobs of the dedup stage."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, Pattern, knob
from tasks.dedup.checks import DEFAULTS, DedupCheck
from tasks.dedup.methods import Exact, Method, MinHash
from tasks.dedup.shingles import Shingles

VERSION = 2
INPUTS = ("clean",)

PlainRule = Literal["longest", "least_repeated", "shortest_url"]


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
        (Exact(), MinHash()), "where candidate pairs come from, each kind once", min_length=1
    )
    keep: tuple[KeepRule, ...] = knob(
        ("longest", "shortest_url"), "which document of a cluster stays: rules in order, ties by id"
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

    @property
    def num_columns(self) -> int:
        """How many keys each document has."""
        return sum(method.columns(self.threshold) for method in self.methods)

    def basis(self) -> dict[str, Any]:
        """What has to be equal for keys and similarities of two runs to be comparable.

        Methods in their order: keys lie in columns, one method's after the other's.
        """
        methods = [{"kind": m.kind, **m.basis(self.threshold)} for m in self.methods]
        return {"shingles": self.shingles.scheme(), "methods": methods}

    def basis_text(self) -> str:
        """The same as text, for the files that hold keys."""
        return json.dumps(self.basis(), sort_keys=True)

    def basis_digest(self) -> str:
        return hashlib.sha256(self.basis_text().encode()).hexdigest()[:16]
