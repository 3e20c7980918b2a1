"""The knobs of the dedup stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from tasks.checks import CHECKS_SAY, with_defaults
from tasks.config import Config, knob
from tasks.dedup.checks import DEFAULTS, DedupCheck
from tasks.dedup.methods import Exact, Method, MinHash

VERSION = 2
INPUTS = ("clean", "quality")

KeepRule = Literal["longest", "least_repeated", "shortest_url"]


class DedupConfig(Config):
    """Find duplicates, measure each pair, keep the best of each cluster."""

    threshold: float = knob(
        0.8,
        "exact Jaccard similarity of word shingles, 0-1, from which two documents are "
        "duplicates; every candidate pair is measured before anything is dropped",
        gt=0,
        le=1,
        source="Lee et al., arXiv:2107.06499 §4.2",
    )
    shingle_words: int = knob(
        5, "words in a shingle", ge=1, le=64, source="FineWeb, arXiv:2406.17557 §3.4"
    )
    methods: tuple[Method, ...] = knob(
        (Exact(), MinHash()), "where candidate pairs come from, in order", min_length=1
    )
    keep: tuple[KeepRule, ...] = knob(
        ("longest", "shortest_url"), "which document of a cluster stays: rules in order, ties by id"
    )
    checks: Annotated[tuple[DedupCheck, ...], AfterValidator(with_defaults(DEFAULTS))] = knob(
        DEFAULTS, CHECKS_SAY, identity=False
    )
