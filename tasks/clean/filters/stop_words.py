"""Function words by language: running text has some, lists and spam have few.

English: Gopher, arXiv:2112.11446 table A1. The others are among each language's most frequent
words; a language without a row is not asked. Where no spaces stand between words they are searched
as strings, so only what is rarely part of another word is named there.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS = {
    "en": _words("the be to of and that have with"),
    "vi": _words("và của là có được cho các một trong không những với này người để"),
    "fr": _words("le la de et les des est que pour dans un une en du qui"),
    "de": _words("der die und das ist nicht mit von zu ein den in auf für sich"),
    "es": _words("el la de que y en los del se para un una por con las"),
    "it": _words("il la di che e un una per del non sono con le della in"),
    "pt": _words("o a de que e do da em um uma para com não os as"),
    "nl": _words("de het een en van is dat op te in voor met niet zijn"),
    "pl": _words("i w na z że się nie do jest to jak o od po"),
    "ru": _words("и в не на что с по как это для от к из у"),  # noqa: RUF001
    "id": _words("yang dan di untuk dengan ini dari pada adalah dalam tidak itu"),
    "tr": _words("ve bir bu da de için ile olarak çok daha gibi olan"),
    "ar": _words("في من على أن إلى عن التي ما هذا مع لا هو"),
    "zh": _words("的 是 不 在 了 有 和 这 這 为 為 我 他"),
    "ja": _words("の に は を た が で て と し れ さ"),
    "th": _words("ที่ และ การ ของ ใน เป็น มี ได้ ให้ จะ ไม่ นี้"),
}
