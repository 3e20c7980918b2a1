"""The page that `phusa head --html` writes: one file that loads nothing and runs nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path

from flows.head import Head, body, facts, heading
from storage.errors import Fault, RequestError
from tasks.artifacts.excerpts import Excerpt
from tasks.printable import printable

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --dim: #5c6370; --paper: #fff; --card: #f6f7f9;
  --line: #d8dce2; --kept: #1a7f37; --dropped: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --dim: #9aa3b2; --paper: #15181d;
  --card: #1e232b; --line: #343b46; --kept: #57c77b; --dropped: #ff8a7a; } }
body { margin: 0 auto; max-width: 90rem; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; } .kept h2 { color: var(--kept); }
.dropped h2, .why { color: var(--dropped); } .dim, .what, .note { color: var(--dim); }
label { margin-right: 1rem; white-space: nowrap; }
main { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); }
article { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  margin: 0 0 1rem; padding: .75rem; overflow-wrap: anywhere; }
article p { margin: 0 0 .25rem; } a { color: inherit; }
.text { white-space: pre-wrap; margin: .5rem 0 0; unicode-bidi: isolate; }
"""
# Whatever were wrong with the escaping: nothing is fetched, nothing runs.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_page(path: Path, found: Head) -> None:
    """Write the page. Raises RequestError if that cannot be done."""
    try:
        path.write_text(page(found), encoding="utf-8", errors="replace")
    except OSError as error:
        expected = "a file that can be written, in a folder that is there"
        fault = Fault("--html", str(error), expected, "Name another.", "unwritable_file")
        raise RequestError(fault) from error


def page(found: Head) -> str:
    """Write what was drawn as HTML, to be narrowed to one reason by a click."""
    reasons = Counter(row.reason for _, side in found.sides() for row in side.rows if row.reason)
    places = {reason: f"r{at}" for at, (reason, _) in enumerate(reasons.most_common())}
    hide = "".join(
        f"#{place}:checked ~ main .dropped article:not(.{place}) {{ display: none }}\n"
        for place in places.values()
    )
    title = f"{found.artifact} of recipe {found.recipe}"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{_text(title)}</title>\n<style>{_STYLE}{hide}</style>",
            f'<h1>{_text(title)}</h1>\n<p class="dim">{found.state}; drawn at random</p>',
            *_choices(reasons, places),
            "<main>",
            *_columns(found, places),
            "</main>\n</html>\n",
        ]
    )


def _choices(reasons: Counter[str], places: dict[str, str]) -> Iterator[str]:
    """Offer the reasons, where there are several, as radio buttons that the style looks at."""
    if len(reasons) > 1:
        yield '<input type="radio" name="reason" id="all" checked><label for="all">all</label>'
        for reason, count in reasons.most_common():
            place = places[reason]
            yield f'<input type="radio" name="reason" id="{place}">'
            yield f'<label for="{place}">{_text(reason)} ({count:,})</label>'


def _columns(found: Head, places: dict[str, str]) -> Iterator[str]:
    for name, side in found.sides():
        yield f'<section class="{name}"><h2>{heading(name, side)}</h2>'
        for row in side.rows:
            yield f'<article class="{places.get(row.reason, "")}">'
            yield from _article(row)
            yield "</article>"
        yield "</section>"


def _article(row: Excerpt) -> Iterator[str]:
    for kind, line in facts(row).items():
        is_link = kind == "where" and re.match("https?://", line)
        yield f'<p class="{kind}" dir="auto">{_link(line) if is_link else _text(line)}</p>'
    text, *more = [*body(row), ""]
    yield f'<div class="text" dir="auto"{_language(row)}>{_text(text)}</div>'
    yield from (f'<p class="dim">{_text(line)}</p>' for line in more if line)


def _link(url: str) -> str:
    return f'<a href="{_text(url)}" rel="noreferrer noopener">{_text(url)}</a>'


def _language(row: Excerpt) -> str:
    return f' lang="{row.language}"' if re.fullmatch("[a-z]{2,3}", row.language) else ""


def _text(text: str) -> str:
    """Write text from anywhere as text."""
    return escape(printable(text))
