"""`phusa clean try`: one page from a file, a crawl or the web, through a cleaning without a run."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.rule import Rule
from rich.table import Column, Table

from flows.recipe import Recipe, check_recipe, load_recipe
from flows.stages import open_artifact
from flows.trace.page import follow_redirects, parse_target, unknown
from storage.errors import Fault, RequestError, SiteUnreachable
from storage.store import Store
from storage.warc import read_body
from tasks.artifacts.pages import PAGES
from tasks.clean.judging import Measured, Trial, TrialPage
from tasks.clean.text import is_known_charset
from tasks.crawl.captures import TYPES, RejectedUrl, charset_of_text, content_type
from tasks.crawl.config import STAGE as CRAWL
from tasks.crawl.config import CrawlConfig
from tasks.crawl.sources import Source
from tasks.crawl.sources.web import WebSource
from tasks.crawl.urls import canonical_url, recorded_url

_STDIN = "-"
_MAX_BYTES = 10_000_000  # as the sources have it by default
_SNIFFED = 1024  # bytes in which binary data shows itself


def recipe_or_defaults(path: Path | None, overrides: Sequence[str]) -> Recipe:
    """Read the recipe, or all defaults. Raises RequestError for whatever is wrong with it."""
    if path is not None:
        return load_recipe(path, overrides)
    return check_recipe({"name": "defaults"}, overrides, Path("defaults"))


def find_page(
    asked: str,
    recipe: Recipe,
    store: Store,
    of: str | None,
    *,
    url: str | None,
    charset: str | None,
    contact: str | None,
) -> TrialPage:
    """Read the page that is asked for: out of the artifact `of`, from the web, or from a file.

    Raises RequestError for options that do not fit it, and if there is no such page.
    """
    is_web = of is None and re.match("https?://", asked.strip(), re.I) is not None
    is_file = of is None and not is_web
    options = {
        "--url": (url, is_file, "a file"),
        "--charset": (charset, is_file, "a file"),
        "--contact": (contact, is_web, "a URL that is fetched"),
    }
    # An option that would do nothing was meant otherwise.
    faults = [
        Fault(name, repr(value), f"it beside {fits} only", "Leave it out.")
        for name, (value, is_used, fits) in options.items()
        if value is not None and not is_used
    ]
    if faults:
        raise RequestError(faults)
    if of is not None:
        return read_crawled(store, of, asked)
    if is_web:
        crawl = dict(recipe).get(CRAWL.name)
        source = crawl.source if isinstance(crawl, CrawlConfig) else None
        return fetch(asked, source, contact)
    return read_file(asked, url, charset)


# --- from a file ----------------------------------------------------------------------------------


def read_file(asked: str, url: str | None, charset: str | None) -> TrialPage:
    """Read the page in a file or, of `-`, on the standard input, as a crawl of files has it.

    Its kind is that of its suffix; of another suffix and of the standard input HTML, if it begins
    with `<`, else plain text. Raises RequestError for what is no page.
    """
    if charset is not None and not is_known_charset(charset):
        expected = "a charset that browsers know, such as utf-8 or windows-1258"
        raise RequestError(Fault("--charset", repr(charset), expected, "Leave it to be detected."))
    body = _bytes(asked)
    if len(body) > _MAX_BYTES:
        found, expected = f"more than {_MAX_BYTES:,} bytes", "one page"
        raise RequestError(Fault(asked, found, expected, "Cut it into pages."))
    kind = (None if asked == _STDIN else content_type(asked)) or _kind_of(asked, body)
    if charset is None:
        charset = charset_of_text(body) if kind in ("text/plain", "text/markdown") else ""
    return TrialPage(_address(asked, url), kind, charset, body)


def _bytes(asked: str) -> bytes:
    if asked == _STDIN:
        return sys.stdin.buffer.read(_MAX_BYTES + 1)
    try:
        with Path(asked).expanduser().open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in its name
        expected = "an http(s) URL, a file, or - for the standard input"
        remedy = "Check the spelling; a URL begins with http:// or https://."
        raise RequestError(Fault(repr(asked), str(error), expected, remedy)) from error


def _kind_of(asked: str, body: bytes) -> str:
    head = body[:_SNIFFED]
    if asked.lower().endswith(".epub") or (
        b"\0" in head and not head.startswith((b"\xff", b"\xfe"))
    ):
        expected = f"HTML or text ({' '.join(TYPES)})"
        remedy = "Books and other collections: crawl them, then name a page with --of crawl."
        raise RequestError(Fault(asked, "a binary file", expected, remedy))
    return "text/html" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else "text/plain"


def _address(asked: str, url: str | None) -> str:
    if url is None:
        return "file:///stdin" if asked == _STDIN else Path(asked).expanduser().resolve().as_uri()
    try:
        return recorded_url(url)
    except ValueError as error:
        expected = "an http(s) or file:/// URL"
        remedy = "It is what filters of URLs look at."
        raise RequestError(Fault("--url", repr(url), expected, remedy)) from error


# --- from a crawl ---------------------------------------------------------------------------------


def read_crawled(store: Store, target: str, asked: str) -> TrialPage:
    """Read the page that a crawl, or the crawl that a cleaning read, has of a URL.

    Raises RequestError if it has none.
    """
    named = open_artifact(store, store.resolve(target))
    crawl = named if named.type.serves(PAGES) else next(named.inputs(PAGES), None)
    if crawl is None:
        remedy = "`phusa artifacts` lists the crawls."
        raise RequestError(Fault("--of", named.label, "a crawl, or a cleaning of one", remedy))
    found = PAGES.find(crawl, follow_redirects([crawl], parse_target(asked).urls))
    if not found.pages:
        for reject in found.rejected:
            why = f"dropped by {crawl.label}: {reject.reason} ({reject.value})"
            remedy = "Only pages that a crawl has kept are cleaned."
            raise RequestError(Fault(reject.url, why, reject.threshold, remedy))
        raise unknown(store, [crawl], asked, everything=True)
    page = found.pages[0]
    (warc,) = crawl.files(f"warc/{page.warc_file}")
    return TrialPage(page.url, page.content_type, page.charset, read_body(warc, page.warc_offset))


# --- from the web ---------------------------------------------------------------------------------


def fetch(asked: str, source: Source | None, contact: str | None) -> TrialPage:
    """Fetch the page at a URL, as a recipe's `source` does if it is one of the web.

    Raises RequestError for what a crawl would not fetch or keep, SiteUnreachable for what may come
    back.
    """
    from tasks.crawl.live.processing import fetch_page  # libcurl, and only wanted here
    from tasks.crawl.live.pydoc_site import serving

    web = _web_source(asked, source, contact)
    with serving(web.site):
        got = fetch_page(web, asked)
    if isinstance(got, RejectedUrl):
        if got.passing:
            raise SiteUnreachable(
                f"{got.url}: {got.reason} ({got.value}); expected {got.threshold}. Try again later."
            )
        found = f"{got.reason} ({got.value})"
        raise RequestError(Fault(got.url, found, got.threshold, _remedy(got.reason)))
    return TrialPage(got.url, got.content_type, got.charset, got.body)


def _web_source(asked: str, source: Source | None, contact: str | None) -> WebSource:
    try:
        url = canonical_url(asked)
    except ValueError as error:
        expected = "a URL that can be fetched"
        raise RequestError(Fault(repr(asked), str(error), expected, "Mend it.")) from error
    knobs = source.model_dump() if isinstance(source, WebSource) else {}
    knobs |= {"seeds": (url,), **({"contact": contact} if contact is not None else {})}
    try:
        return WebSource.model_validate(knobs)
    except ValidationError as error:
        said = "; ".join(details["msg"] for details in error.errors())
        found, _, expected = said.removeprefix("Value error, ").partition("; expected ")
        expected = expected or "an e-mail address or URL, by which a site's owner can reach you"
        remedy = "Add --contact you@example.org, or --recipe with a crawl that has one."
        raise RequestError(Fault("--contact", found, expected, remedy)) from error


def _remedy(reason: str) -> str:
    if reason == "private_address":
        return "A recipe with crawl.source.allow_private_addresses: true may: name it by --recipe."
    if reason in ("robots", "policy"):
        return "The site asks not to be read; save the page by hand, if you may, and try the file."
    return "No crawl would keep it, so there is nothing to clean."


# --- for people -----------------------------------------------------------------------------------


def show_trial(console: Console, trial: Trial) -> None:
    """Print the page's text, facts and signals, the verdict last."""
    if trial.text:
        console.print(Rule("text", align="left"))
        console.print(trial.text, markup=False, highlight=False, soft_wrap=True)
        console.print(Rule(align="left"))
    for name, of in _facts(trial).items():
        console.print(f"{name:<14}{of}", markup=False, highlight=False, soft_wrap=True)
    if trial.signals:
        console.print(_signals(trial.signals))
    verdict = trial.verdict
    if verdict is None:
        console.print("[bold green]kept[/]: it becomes a document")
        return
    console.print(f"[bold red]dropped[/]: [bold]{verdict.reason}[/]", highlight=False)
    why = f"found {verdict.value}, expected {verdict.threshold}"
    console.print(f"  {why}", markup=False, highlight=False, soft_wrap=True)


def _facts(trial: Trial) -> dict[str, str]:
    facts = {"page": f"{trial.url} ({trial.num_bytes:,} bytes)"}
    if not trial.extractor:
        return facts
    facts |= {"title": trial.title or "-", "extractor": trial.extractor}
    facts["lines out"] = _counts(trial.trimmed)
    facts["personal data"] = _counts(trial.pii)
    if trial.text:
        least = trial.least_score
        asked = "a language that is not wanted" if least is None else f"at least {least:g}"
        facts["language"] = f"{trial.language} {trial.language_score:.4g} ({asked})"
    return facts


def _counts(found: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in (found or {}).items()) or "none"


def _signals(signals: Sequence[Measured]) -> Table:
    table = Table("filter", "signal", Column("value", justify="right"), "kept if", "")
    before = ""
    for one in signals:
        value = "-" if one.value is None else f"{one.value:.4g}"
        says = " and ".join(asked.bound for asked in one.bounds)
        broken = ", ".join(asked.reason for asked in one.bounds if not asked.holds)
        holds = "[green]✓[/]" if one.bounds else ""
        mark = f"[bold red]✗ {broken}[/]" if broken else holds
        table.add_row("" if one.filter == before else one.filter, one.signal, value, says, mark)
        before = one.filter
    return table
