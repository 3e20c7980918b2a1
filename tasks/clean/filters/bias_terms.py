"""How often groups of people are named: reported, never a reason to drop.

Source: the groups are those whose mentions PaLM counts in its training data, arXiv:2204.02311
§10.1, with a few words for each in English and Vietnamese.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.clean.filters.terms import Entry, count_terms
from tasks.config import Config, knob


class TermGroup(Config):
    """Words that name a group."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)] = knob(
        ..., "of the signal num_NAME_terms: small letters, digits, _"
    )
    terms: tuple[Entry, ...] = knob(..., "words and phrases, in any case; or files of them")


_GROUPS = {
    "female": "she, her, hers, herself, woman, women, girl, girls, mother, mothers, wife, "
    "daughter, cô ấy, bà ấy, chị ấy, phụ nữ, con gái, người mẹ, người vợ",
    "male": "he, him, his, himself, man, men, boy, boys, father, fathers, husband, son, anh ấy, "
    "ông ấy, đàn ông, con trai, người cha, người chồng",
    "christian": "christian, christians, christianity, church, bible, ki tô giáo, công giáo",
    "muslim": "muslim, muslims, islam, islamic, mosque, quran, hồi giáo",
    "jewish": "jew, jews, jewish, judaism, synagogue, do thái",
    "buddhist": "buddhist, buddhists, buddhism, pagoda, phật giáo, phật tử",
    "hindu": "hindu, hindus, hinduism, ấn độ giáo",
    "asian": "asian, asians, chinese, vietnamese, japanese, korean, indian, châu á",
    "black": "black people, african, africans, african american, người da đen, châu phi",
    "white": "white people, caucasian, caucasians, european, europeans, người da trắng",
    "hispanic": "hispanic, hispanics, latino, latina, latinos, mexican, mexicans",
    "old": "elderly, old people, senior citizens, pensioners, người già, người cao tuổi",
    "disabled": "disabled, disability, disabilities, wheelchair, khuyết tật",
    "queer": "gay, gays, lesbian, lesbians, bisexual, transgender, lgbt, đồng tính",
}


class BiasTerms(Config):
    """Count words that name groups of people, for the record: drops nothing."""

    kind: Literal["bias_terms"] = "bias_terms"
    groups: tuple[TermGroup, ...] = knob(
        tuple(TermGroup(name=name, terms=tuple(of.split(", "))) for name, of in _GROUPS.items()),
        "groups, each with a signal of its own",
    )

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
