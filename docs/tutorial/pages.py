"""Write a small Vietnamese website into a folder: `python docs/tutorial/pages.py trang`.

Its pages say, in sentences, what Unicode's CLDR has of countries, languages and currencies: it is
free (the Unicode License), and on every machine with phusa, because `babel` brings it along. Sums
of money are examples. As on any site, some pages are too short, there twice, or in English.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from datetime import date
from html import escape
from pathlib import Path

from babel import Locale
from babel.core import get_global
from babel.dates import format_date, get_timezone_location, get_timezone_name
from babel.languages import get_territory_language_info
from babel.numbers import format_currency, format_decimal, get_territory_currencies

VI, EN = Locale("vi"), Locale("en")
CHANCE = random.Random(20)
COUNTRIES = sorted((code for code in VI.territories if len(code) == 2), key=lambda c: c != "VN")
Definition = tuple[str, str]
Page = tuple[str, list[str], list[Definition]]  # title, paragraphs, definitions


def day(given: date) -> str:
    return "ngày " + format_date(given, "long", locale=VI).lower()


def share(percent: float) -> str:
    return format_decimal(percent, locale=VI) + " phần trăm"


def money(code: str) -> str:
    return VI.currencies.get(code, code)


def languages(country: str) -> list[tuple[str, float, bool]]:
    """The languages of a country: name, percent of its people, whether it is official."""
    known = get_territory_language_info(country)
    return [
        (VI.languages[code], one["population_percent"], one["official_status"] is not None)
        for code, one in sorted(known.items(), key=lambda of: -of[1]["population_percent"])
        if code in VI.languages
    ]


def tenders(country: str) -> list[dict[str, object]]:
    """The currencies of a country with their dates, the newest first."""
    found = get_territory_currencies(
        country, date(1900, 1, 1), date(2026, 1, 1), include_details=True
    )
    return sorted(found, key=lambda one: str(one["from"] or ""), reverse=True)


def country_page(code: str) -> Page:
    name = VI.territories[code]
    opening = [
        f"{name} có mã {code} trong tiêu chuẩn ISO 3166 và được viết như vậy trong tiếng Việt.",
        f"Trong tiếng Việt, nước hoặc vùng lãnh thổ có mã {code} được gọi là {name}.",
        f"Mã {code} là của {name}; người viết tiếng Việt dùng tên này trong sách và báo.",
    ]
    first = [CHANCE.choice(opening), *spoken(name, languages(code))]
    zones = get_global("territory_zones").get(code, [])
    paragraphs = [
        " ".join(first),
        " ".join(paid(name, tenders(code))),
        " ".join(clocks(name, zones)),
    ]
    terms = [(f"ten_goi({code}) -> {name}", f"Cho biết tên tiếng Việt của mã nước {code}.")]
    for tongue, percent, _ in languages(code)[:1]:
        says = f"Cho biết tiếng nói phổ biến nhất ở {name}, với {share(percent)} dân số."
        terms.append((f"ngon_ngu({code}) -> {tongue}", says))
    for one in tenders(code)[:1]:
        says = f"Cho biết người dân ở {name} trả bằng tiền gì; mã của nó là {one['currency']}."
        terms.append((f"tien_te({code}) -> {money(str(one['currency']))}", says))
    for zone in zones[:1]:
        says = f"Cho biết đồng hồ ở {name} chạy theo giờ nào, như trong múi {zone}."
        terms.append((f"mui_gio({code}) -> {get_timezone_name(zone, locale=VI)}", says))
    return name, paragraphs, terms


def spoken(name: str, tongues: Sequence[tuple[str, float, bool]]) -> Iterator[str]:
    for tongue, percent, official in tongues[:12]:
        if official:
            yield CHANCE.choice((
                f"{tongue} là ngôn ngữ chính thức, được khoảng {share(percent)} dân số sử dụng.",
                f"Nhà nước dùng {tongue}, và chừng {share(percent)} người dân cũng nói tiếng ấy.",
            ))  # fmt: skip
        else:
            yield CHANCE.choice((
                f"Khoảng {share(percent)} người dân ở {name} nói {tongue}.",
                f"Ngoài ra có chừng {share(percent)} dân cư biết {tongue}.",
                f"{tongue} là tiếng nói của khoảng {share(percent)} dân số {name}.",
            ))  # fmt: skip


def paid(name: str, found: Sequence[dict[str, object]]) -> Iterator[str]:
    for one in found:
        coin, begin, end = money(str(one["currency"])), one["from"], one["to"]
        if isinstance(begin, date) and isinstance(end, date):
            yield f"Từ {day(begin)} đến {day(end)}, tiền ở {name} là {coin}."
        elif isinstance(begin, date):
            sum_ = format_currency(CHANCE.randrange(10**6), str(one["currency"]), locale=VI)
            yield f"Từ {day(begin)} người ta mua bán bằng {coin}, ví dụ một món hàng giá {sum_}."


def clocks(name: str, zones: Sequence[str]) -> Iterator[str]:
    for zone in zones:
        city = get_timezone_location(zone, locale=VI, return_city=True)
        yield CHANCE.choice((
            f"Ở {city}, đồng hồ chạy theo {get_timezone_name(zone, locale=VI)}.",
            f"Người ở {city} thuộc {name} xem giờ theo {get_timezone_name(zone, locale=VI)}.",
        ))  # fmt: skip


def language_page(code: str) -> Page:
    name = VI.languages[code]
    where = [
        (VI.territories[land], one["population_percent"])
        for land in COUNTRIES
        for tongue, one in get_territory_language_info(land).items()
        if tongue == code
    ]
    where.sort(key=lambda of: -of[1])
    lines = [f"{name} có mã {code} trong tiêu chuẩn ISO 639."]
    lines += [
        CHANCE.choice((
            f"Ở {land}, {share(percent)} dân số nói {name}.",
            f"{land} có khoảng {share(percent)} người dân dùng tiếng này.",
            f"Trong số người sống ở {land}, chừng {share(percent)} biết {name}.",
        ))
        for land, percent in where
    ]  # fmt: skip
    terms = [(f"ten_goi({code}) -> {name}", f"Cho biết tên tiếng Việt của mã ngôn ngữ {code}.")]
    if where:
        says = f"Cho biết nơi {name} có nhiều người nói nhất so với dân số."
        terms.append((f"noi_dung({code}) -> {where[0][0]}", says))
    return name, [" ".join(lines)], terms


def currency_page(code: str) -> Page:
    name = money(code)
    lines = [f"{name} là đồng tiền có mã {code} trong tiêu chuẩn ISO 4217."]
    for land in COUNTRIES:
        for one in tenders(land):
            if one["currency"] == code and isinstance(one["from"], date):
                end = f"đến {day(one['to'])}" if isinstance(one["to"], date) else "cho đến nay"
                lines.append(f"{VI.territories[land]} dùng tiền này từ {day(one['from'])} {end}.")
    for _ in range(4):
        number = CHANCE.randrange(10**7)
        written = format_currency(number, code, locale=VI)
        lines.append(f"Số tiền {format_decimal(number, locale=VI)} được viết là {written}.")
    symbol = VI.currency_symbols.get(code, code)
    says = f"Cho biết ký hiệu của {name}, viết cạnh số tiền."
    return name, [" ".join(lines)], [(f"ky_hieu({code}) -> {symbol}", says)]


def english_page(code: str) -> Page:
    name = EN.territories[code]
    spoken_there = [EN.languages[k] for k in get_territory_language_info(code) if k in EN.languages]
    text = f"This page about {name} has not been translated yet. The people of {name} speak "
    ending = ". Come back later, or help us to write it in Vietnamese, as this site is meant to be."
    return name, [text + ", ".join(spoken_there) + ending], []


def html(page: Page) -> str:
    title, paragraphs, terms = page
    body = "".join(f"<p>{escape(text)}</p>\n" for text in paragraphs if text)
    listed = "".join(f"<dt>{escape(t)}</dt><dd>{escape(says)}</dd>\n" for t, says in terms)
    body += f"<h2>Tra cứu</h2>\n<dl>\n{listed}</dl>\n" if terms else ""
    return (
        f'<!doctype html><html lang="vi"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"</head><body><main><h1>{escape(title)}</h1>\n{body}</main></body></html>\n"
    )


def site(count: int) -> dict[str, str]:
    """The pages by their path, `count` of each kind at most."""
    kinds = {
        "nuoc": {code: html(country_page(code)) for code in COUNTRIES[:count]},
        "tieng": {code: html(language_page(code)) for code in [*VI.languages][:count]},
        "tien": {code: html(currency_page(code)) for code in [*VI.currencies][:count]},
        "en": {code: html(english_page(code)) for code in COUNTRIES[: min(count, 40)]},
    }
    kinds["in"] = dict(list(kinds["nuoc"].items())[:20])  # the same pages, to be printed
    pages = {f"{kind}/{code}.html": text for kind, of in kinds.items() for code, text in of.items()}
    links = "".join(f'<li><a href="{path}">{path}</a></li>\n' for path in pages)
    contact = "<p>Thư về trang này xin gửi đến ban.bien.tap@trang.example.org.</p>"
    pages["index.html"] = f"<!doctype html><title>Trang</title>{contact}<ul>\n{links}</ul>\n"
    return pages


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--count", type=int, default=1000, help="pages of each kind at most")
    given = asked.parse_args()
    pages = site(given.count)
    for path, text in pages.items():
        (given.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (given.folder / path).write_text(text, encoding="utf-8")
    size = sum(len(text.encode()) for text in pages.values())
    print(f"{len(pages):,} pages, {size / 1e6:.1f} MB, in {given.folder}")


if __name__ == "__main__":
    main()
