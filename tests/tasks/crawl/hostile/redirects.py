"""Redirects that lead in circles, out of the web, or to whoever brings a cookie."""

from __future__ import annotations

from tests.tasks.crawl.hostile.answers import Answer, answer, page, redirect
from tests.tasks.crawl.hostile.cases import Case
from tests.tasks.crawl.hostile.server import Asked, Route

_X, _NEXT = "/x", "/next"


def _wants_cookie(asked: Asked) -> Answer:
    """Redirects to itself until it gets its cookie back."""
    if "cookie" in asked.headers:
        return page()
    return redirect(_X, Set_Cookie="seen=1; Path=/")


def _gone(name: str, route: Route, **others: str) -> Case:
    """A redirect of which nothing comes; `others` are as bad, by route."""
    routes = {_X: route} | {f"/{path}": redirect(location) for path, location in others.items()}
    return Case(name, routes, reasons=dict.fromkeys(routes, "redirected"))


_TO_A_PAGE = {_X: redirect(_NEXT, "301 Moved Permanently"), _NEXT: page()}
_NOWHERE = (
    "file:///etc/passwd",
    "ftp://127.0.0.1/x",
    "gopher://127.0.0.1/x",
    "javascript:alert(1)",
    "data:text/html,<p>x</p>",
    "http://[bad",
    "http://127.0.0.1:99999/",
    "//",
    "http://a b/",
)

REDIRECTS = (
    Case("to a page", _TO_A_PAGE, (_NEXT,), {_X: "redirected"}, hidden=(_NEXT,)),
    _gone("to itself", redirect(_X)),
    _gone("in a circle", redirect("/y"), y=_X),
    _gone("that wants a cookie", _wants_cookie),
    _gone("without an address", answer("", "302 Found")),
    *(_gone(f"to {location}", redirect(location)) for location in _NOWHERE),
)
