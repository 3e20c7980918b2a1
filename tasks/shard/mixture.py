"""How often each document is trained on, so that kinds of documents have the tokens asked for."""

from __future__ import annotations

import re
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import model_validator

from storage.errors import Fault, RequestError
from tasks.config import Config, Misfit, Pattern, knob
from tasks.languages import LanguageTag

Counts = npt.NDArray[np.int64]

_MOST_EPOCHS = 100
REST = "rest"
"""The documents of no group: each is trained on once."""


class Group(Config):
    """Documents that fit all that is said here, and how much of them is trained on."""

    name: str = knob(..., "what it is called in the figures", min_length=1, max_length=40)
    languages: tuple[LanguageTag, ...] = knob(
        (), "ISO 639 codes of languages, as documents have them; none: any"
    )
    urls: tuple[Pattern, ...] = knob(
        (), "regular expressions, one of which is found in the URL: a source, a host; none: any"
    )
    min_quality: float | None = knob(None, "quality score from which on, 0-1", ge=0, le=1)
    max_quality: float | None = knob(None, "quality score below which, 0-1", ge=0, le=1)
    epochs: float | None = knob(
        None,
        "how often each document is trained on; of 2.5, half of them thrice",
        ge=0,
        le=_MOST_EPOCHS,
        source="up to 4 are nearly as good as new text, Muennighoff et al., arXiv:2305.16264",
    )
    share: float | None = knob(
        None, "or the share of all tokens to train on, 0-1, that they are to be", gt=0, le=1
    )

    @model_validator(mode="after")
    def _is_one_amount(self) -> Self:
        if (self.epochs is None) == (self.share is None):
            found = f"epochs {self.epochs} and share {self.share} of {self.name!r}"
            raise Misfit(found, "one of the two", code="not_one_amount")
        return self

    def fits(self, documents: pa.Table) -> npt.NDArray[np.bool_]:
        """Which of some documents are of the group; one without a score has no quality."""
        import pyarrow.compute as pc  # 0.03 s that a recipe which is only read need not pay

        fits = np.ones(len(documents), bool)
        if self.languages:
            known = pa.array(self.languages, pa.string())
            fits &= pc.is_in(documents["language"], value_set=known).to_numpy()
        if self.urls:
            urls = documents["url"].to_pylist()
            fits &= np.fromiter((any(re.search(p, url) for p in self.urls) for url in urls), bool)
        quality = documents["quality"].to_numpy()
        if self.min_quality is not None:
            fits &= quality >= self.min_quality
        if self.max_quality is not None:
            fits &= (quality >= 0) & (quality < self.max_quality)
        return fits


Mixture = tuple[Group, ...]


def is_mixture(groups: Mixture) -> Mixture:
    """Refuse names that stand twice, and shares of the whole beside which there are others."""
    names, shares = [REST, *(group.name for group in groups)], [g.share or 0.0 for g in groups]
    if len({*names}) < len(names):
        raise Misfit(f"names {names}", "each once", code="name_given_twice")
    if sum(shares) > 1 + 1e-9 or (sum(shares) > 1 - 1e-9 and any(g.epochs for g in groups)):
        expected = "a sum of 1, or less beside epochs"
        raise Misfit(f"shares {shares}", expected, code="shares_above_one")
    return groups


def groups_of(documents: pa.Table, mixture: Mixture) -> Counts:
    """The first group that each document fits, by its place; those of none come behind the last."""
    fits = [group.fits(documents) for group in mixture]
    return np.select(fits, np.arange(len(fits))[:, None], len(fits)).astype(np.int64)


def count_repeats(
    groups: Counts, tokens: Counts, places: npt.NDArray[np.uint64], mixture: Mixture
) -> Counts:
    """How often each document is trained on, so that its group has its tokens.

    Of what is less than an epoch, those documents are chosen that come first by their `places`.
    Raises RequestError for a share that the documents cannot be.
    """
    totals = np.bincount(groups, tokens, len(mixture) + 1).astype(np.float64)
    whole, part = np.divmod(_epochs(mixture, totals), 1)
    times = whole.astype(np.int64)[groups]
    for group in np.flatnonzero(part):
        members = np.flatnonzero(groups == group)
        members = members[np.argsort(places[members], kind="stable")]
        middles = np.cumsum(tokens[members]) - tokens[members] / 2
        times[members[: np.searchsorted(middles, part[group] * totals[group])]] += 1
    return times


def _epochs(mixture: Mixture, totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Epochs of each group, and of the rest; `totals` are the tokens that they have."""
    shares = np.array([*(group.share or 0.0 for group in mixture), 0.0])
    is_all = shares.sum() > 1 - 1e-9
    epochs = np.array([*(group.epochs or 0.0 for group in mixture), 0.0 if is_all else 1.0])
    others = float(epochs @ totals)
    whole = float(totals[shares > 0].sum()) if is_all else others / (1 - shares.sum())
    for group, share, there in zip(mixture, shares, totals, strict=False):
        if share and not 0 < share * whole <= there * _MOST_EPOCHS:
            raise RequestError(
                Fault(
                    f"shard.mixture: {group.name}",
                    f"share {share:g} of {there:,.0f} tokens, with {others:,.0f} of other groups",
                    f"some tokens on both sides, and at most {_MOST_EPOCHS} epochs of any",
                    "Lower the share, widen what the group fits, or let shares add up to 1.",
                    code="share_out_of_reach",
                )
            )
    return epochs + np.divide(shares * whole, totals, out=np.zeros_like(totals), where=totals > 0)
