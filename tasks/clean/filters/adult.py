"""Adult content, by a weighted list of words.

The default list is small on purpose: what is rarely said elsewhere weighs 1, what medicine, news
and law say too weighs 0.3, and only several terms together count. Longer lists, such as LDNOOBW's
(https://github.com/LDNOOBW), are given as files.
"""

from __future__ import annotations

from typing import Literal

from tasks.clean.filters.candidate import Bound, Candidate, Signals
from tasks.clean.filters.terms import WeightedTerms, weigh
from tasks.config import Config, knob

_STRONG = (
    *("porn", "porno", "pornhub", "xvideos", "xnxx", "hentai", "milf", "milfs", "blowjob"),
    *("blowjobs", "handjob", "gangbang", "creampie", "cumshot", "bukkake", "camgirl"),
    *("camgirls", "webcam sex", "sex cam", "sex tube", "free sex", "sex videos", "anal sex"),
    *("big tits", "wet pussy", "hot milf", "hardcore sex", "escort girls", "dildo", "deepthroat"),
    *("phim sex", "phim xxx", "phim cấp 3", "phim heo", "phim người lớn", "sex việt", "xem sex"),
    *("truyện sex", "truyện người lớn", "ảnh sex", "clip sex", "gái gọi", "chịch", "địt nhau"),
    *("bú cu", "bú lồn", "lồn", "cặc", "hiếp dâm tập thể", "loạn luân", "dâm đãng"),
)
_WEAK = (
    *("sex", "sexy", "xxx", "nude", "nudes", "naked", "erotic", "orgasm", "fetish"),
    *("bdsm", "horny"),
    *("pussy", "tits", "cock", "dick", "slut", "sluts", "whore", "masturbation", "escort"),
    *("khiêu dâm", "làm tình", "khỏa thân", "khoả thân", "kích dục", "thủ dâm", "mại dâm", "dâm"),
)


class Adult(Config):
    """Drop documents in which words of adult content are frequent (English, Vietnamese)."""

    kind: Literal["adult"] = "adult"
    terms: tuple[WeightedTerms, ...] = knob(
        (WeightedTerms(weight=1.0, terms=_STRONG), WeightedTerms(weight=0.3, terms=_WEAK)),
        "words and phrases by weight",
    )
    min_terms: int = knob(3, "different terms, below which the weight counts as 0", ge=1)
    max_weight_per_word: float = knob(
        0.01,
        "weight of all occurrences per word",
        ge=0,
        source="0 in all of 3 680 news and documentation pages",
    )

    def measure(self, candidate: Candidate) -> Signals:
        num, weight = weigh(candidate, self.terms, self.min_terms)
        return {"num_adult_terms": num, "adult_weight_per_word": weight}

    def bounds(self) -> tuple[Bound, ...]:
        return (Bound("adult", "adult_weight_per_word", max=self.max_weight_per_word),)
