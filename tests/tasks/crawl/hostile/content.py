"""Bodies that are well sent and ill written: charsets, markup, sizes, policies."""

from __future__ import annotations

from tests.tasks.crawl.hostile.answers import Answer, answer, html, page
from tests.tasks.crawl.hostile.cases import Case

_X, _NEXT, _UTF8 = "/x", "/next", "text/html; charset=utf-8"
_TEXT = "Đồng bằng sông Cửu Long được phù sa bồi đắp. " * 20


def _leads_on(name: str, route: Answer, **rest: object) -> Case:
    """A page that is kept, with a link that is followed."""
    return Case(name, {_X: route, _NEXT: page()}, (_X, _NEXT), hidden=(_NEXT,), **rest)  # type: ignore[arg-type]


def _leads_nowhere(name: str, route: Answer, **rest: object) -> Case:
    """A page that is kept, with a link that is not followed."""
    routes = {_X: route, _NEXT: page()}
    return Case(name, routes, (_X,), hidden=(_NEXT,), requests=3, **rest)  # type: ignore[arg-type]


def _kept(name: str, route: Answer) -> Case:
    return Case(name, {_X: route}, (_X,))


def _refused(name: str, route: Answer, reason: str = "policy") -> Case:
    """What is no page, or a page that asks not to be used or followed."""
    routes = {_X: route, _NEXT: page()}
    return Case(name, routes, reasons={_X: reason}, hidden=(_NEXT,), requests=3)


def _robots(words: str) -> str:
    return f'<meta name="robots" content="{words}">'


_DEEP = "<div>" * 100_000
_WORDS_16 = html(_NEXT, text=_TEXT).encode("utf-16")
_UNMARKED_16 = html(text=_TEXT).encode("utf-16-le")
_PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(2_000)
_REFRESH = f'<meta http-equiv="refresh" content="0; url={_NEXT}">'
_LATIN = html(_NEXT, text="café crème à la carte. " * 50).encode("latin-1")

CHARSETS = (
    _leads_on("Latin-1 that says UTF-8", answer(_LATIN, kind=_UTF8)),
    _leads_on("Latin-1 that says nothing", answer(_LATIN, kind="text/html")),
    _leads_on("UTF-16 that says nothing", answer(_WORDS_16, kind="text/html")),
    _kept("UTF-16 without a mark", answer(_UNMARKED_16, kind="text/html")),
    _leads_on("UTF-16 that says UTF-8", answer(_WORDS_16, kind=_UTF8)),
    _leads_on("unknown charset", answer(html(_NEXT), kind="text/html; charset=rot13")),
    _leads_on("charset of 500 bytes", answer(html(_NEXT), kind=f"text/html; charset={'x' * 500}")),
    _leads_on("charset that is no charset", answer(html(_NEXT), kind="text/html; charset=\x80")),
)

MARKUP = (
    _leads_on("invalid HTML", answer(f"</html><p <b>a<table><a href='{_NEXT}'>b<td></p></a></x><")),
    _leads_on("no markup closed", answer(f"<html><body><div><p><b><i><a href={_NEXT}>x")),
    _leads_on("NUL bytes", answer(f"<p>a\0b\0</p>\0<a href='{_NEXT}'>x</a>\0" * 3)),
    _leads_on("NUL bytes in links", page(_NEXT, "/a\0b", "\0", "http://\0/", "/%00"), requests=8),
    _leads_on("links that are none", page("http://[", "//", "http://:0/", "#", "", _NEXT)),
    _leads_on("URL of 100 kB", page("/" + "x" * 100_000, _NEXT), requests=5),
    _leads_on("one line of 5 MB", page(_NEXT, text="word " * 1_000_000)),
    _leads_on("one attribute of 5 MB", page(_NEXT, text=f'<p title="{"x" * 5_000_000}">a</p>')),
    _kept("100 000 divs", answer(f"{_DEEP}words")),
    _leads_on("100 000 divs after a link", answer(f"<a href={_NEXT}>x</a>{_DEEP}words")),
    _refused("not HTML", answer("words", kind="text/plain"), "not_html"),
    _kept("PDF that says HTML", answer(_PDF)),  # what is no text is the clean stage's to see
    _leads_nowhere("meta refresh", page(head=_REFRESH)),
    _leads_nowhere("Refresh header", page(Refresh=f"0; url={_NEXT}")),
    _leads_nowhere("a link in a comment", answer(f"<p>words</p><!-- <a href={_NEXT}>x</a> -->")),
)

POLICIES = (
    _refused("noindex, nofollow", page(_NEXT, head=_robots("noindex, nofollow"))),
    _refused("NOINDEX", page(head='<META NAME="ROBOTS" CONTENT="NOINDEX,NOFOLLOW">')),
    _refused("none", page(_NEXT, head=_robots("none"))),
    _refused("noai", page(head=_robots("noai"))),
    _refused("noindex for us", page(head='<meta name="phusa" content="noindex">')),
    _refused("X-Robots-Tag", page(_NEXT, X_Robots_Tag="noindex, nofollow")),
    _refused("X-Robots-Tag for us", page(X_Robots_Tag="phusa: noindex")),
    _refused("tdm-reservation", page(tdm_reservation="1")),
    _refused("meta tdm-reservation", page(head='<meta name="tdm-reservation" content="1">')),
    Case(
        "noindex leads on",
        {_X: page(_NEXT, head=_robots("noindex")), _NEXT: page()},
        kept=(_NEXT,),
        reasons={_X: "policy"},
        hidden=(_NEXT,),
    ),
    _leads_nowhere("nofollow", page(_NEXT, head=_robots("nofollow"))),
    _leads_nowhere("X-Robots-Tag nofollow", page(_NEXT, X_Robots_Tag="nofollow")),
    _leads_on("index, follow", page(_NEXT, head=_robots("index, follow"))),
    _leads_on("X-Robots-Tag for others", page(_NEXT, X_Robots_Tag="otherbot: noindex")),
    _leads_on("tdm-reservation 0", page(_NEXT, tdm_reservation="0")),
)

CONTENT = CHARSETS + MARKUP + POLICIES
