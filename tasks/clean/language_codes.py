"""The languages that can be told apart, and the names that people give them.

Source: https://fasttext.cc/docs/en/language-identification.html; ISO 639-3, macrolanguages
"""

from __future__ import annotations

import re

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
        raise ValueError(
            f"{tag!r} is no language that fastText's lid.176 knows; expected ISO 639 codes such "
            "as en, vi, pt-BR"
        )
    return code


def whole_language(code: str) -> str:
    """The language that a variety belongs to: `no` for `nn`, `zh` for `yue`; others are whole."""
    return _WHOLE.get(code, code)
