"""How often groups of people are named: reported, never a reason to drop.

Source: the groups are those whose mentions PaLM counts in its training data, arXiv:2204.02311
§10.1, with a few words for each in English and Vietnamese.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.clean.filters.bounds import Bound, Signals
from tasks.clean.filters.candidate import Candidate
from tasks.clean.filters.lists import Entry
from tasks.clean.filters.terms import count_terms
from tasks.config import Config, knob


class TermGroup(Config):
    """Words that name a group."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)] = knob(
        ..., "of the signal num_NAME_terms: small letters, digits, _"
    )
    terms: tuple[Entry, ...] = knob(..., "words and phrases, in any case; or files of them")


def _group(name: str, terms: str) -> TermGroup:
    return TermGroup(name=name, terms=tuple(terms.split(", ")))


_GROUPS = (
    _group(
        "female",
        "she, her, hers, herself, woman, women, girl, girls, mother, mothers, wife, daughter, "
        "cô ấy, bà ấy, chị ấy, phụ nữ, con gái, người mẹ, người vợ",
    ),
    _group(
        "male",
        "he, him, his, himself, man, men, boy, boys, father, fathers, husband, son, "
        "anh ấy, ông ấy, đàn ông, con trai, người cha, người chồng",
    ),
    _group(
        "christian", "christian, christians, christianity, church, bible, ki tô giáo, công giáo"
    ),
    _group("muslim", "muslim, muslims, islam, islamic, mosque, quran, hồi giáo"),
    _group("jewish", "jew, jews, jewish, judaism, synagogue, do thái"),
    _group("buddhist", "buddhist, buddhists, buddhism, pagoda, phật giáo, phật tử"),
    _group("hindu", "hindu, hindus, hinduism, ấn độ giáo"),
    _group("asian", "asian, asians, chinese, vietnamese, japanese, korean, indian, châu á"),
    _group("black", "black people, african, africans, african american, người da đen, châu phi"),
    _group("white", "white people, caucasian, caucasians, european, europeans, người da trắng"),
    _group("hispanic", "hispanic, hispanics, latino, latina, latinos, mexican, mexicans"),
    _group("old", "elderly, old people, senior citizens, pensioners, người già, người cao tuổi"),
    _group("disabled", "disabled, disability, disabilities, wheelchair, khuyết tật"),
    _group("queer", "gay, gays, lesbian, lesbians, bisexual, transgender, lgbt, đồng tính"),
)


class BiasTerms(Config):
    """Count words that name groups of people, for the record: drops nothing."""

    kind: Literal["bias_terms"] = "bias_terms"
    groups: tuple[TermGroup, ...] = knob(_GROUPS, "groups, each with a signal of its own")

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        names = [group.name for group in self.groups]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"groups {twice} stand there more than once; expected each name once")
        return self

    def measure(self, candidate: Candidate) -> Signals:
        counts = {group.name: count_terms(candidate, group.terms) for group in self.groups}
        return {f"num_{name}_terms": sum(found.values()) for name, found in counts.items()}

    def bounds(self) -> tuple[Bound, ...]:
        return ()
