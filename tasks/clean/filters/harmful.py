"""Incitement, abuse and instructions for harm, by a weighted list of words.

The default list is small on purpose: slurs and calls to violence weigh 1, what news and medicine
say too weighs 0.2, and only several terms together count. It finds pages that are made of such
words, not every harmful one; longer lists are given as files.
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.clean.filters.terms import WeightedTerms, weigh
from tasks.config import Config, knob

_STRONG = (
    *("gas the", "exterminate them", "race traitor", "white power", "sieg heil"),
    *("kill yourself", "kys", "death to all", "subhuman", "subhumans", "nigger", "niggers"),
    *("faggot", "faggots", "kike", "kikes", "spic", "spics", "chink", "chinks", "raghead"),
    *("how to make a bomb", "make a pipe bomb", "build a bomb", "bomb making", "cook meth"),
    *("buy cocaine online", "buy fentanyl online", "buy guns illegally", "hire a hitman"),
    *("giết hết", "giết sạch", "chết hết đi", "tự tử đi", "đồ súc vật", "lũ mọi", "bọn mọi"),
    *("cách chế tạo bom", "chế tạo thuốc nổ", "mua ma túy", "bán ma túy", "mua súng", "bán súng"),
    *("thuê giết người", "đâm thuê chém mướn", "cách tự tử"),
)
_WEAK = (
    *("retard", "retards", "scum", "vermin", "slaughter", "behead", "lynch", "massacre"),
    *("bitch", "bitches", "bastards", "suicide", "self harm", "explosive", "explosives", "ammo"),
    *("crystal meth", "heroin", "cocaine", "fentanyl"),
    *("thảm sát", "chặt đầu", "thuốc nổ", "ma túy", "tự tử", "khủng bố", "đồ chó", "thằng ngu"),
)


class Harmful(Config):
    """Drop documents in which words of hatred, violence and crime are frequent (English,
    Vietnamese)."""

    kind: Literal["harmful"] = "harmful"
    terms: tuple[WeightedTerms, ...] = knob(
        (WeightedTerms(weight=1.0, terms=_STRONG), WeightedTerms(weight=0.2, terms=_WEAK)),
        "words and phrases by weight",
    )
    min_terms: int = knob(3, "different terms, below which the weight counts as 0", ge=1)
    max_weight_per_word: float = knob(
        0.01,
        "weight of all occurrences per word",
        ge=0,
        source="none of 3 680 news and documentation pages comes near (at most 0.0028)",
    )

    def measure(self, candidate: Candidate) -> Signals:
        num, weight = weigh(candidate, self.terms, self.min_terms)
        return {"num_harmful_terms": num, "harmful_weight_per_word": weight}

    def bounds(self) -> tuple[Bound, ...]:
        return (Bound("harmful", "harmful_weight_per_word", max=self.max_weight_per_word),)
