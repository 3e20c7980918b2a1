"""Pages: what was fetched or read, as WARC files with an index."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from tasks.artifacts.artifact import (
    Artifact,
    ArtifactType,
    Held,
    TakedownSearch,
    Walk,
    table,
)
from tasks.artifacts.documents import DOCUMENTS
from tasks.artifacts.excerpts import Draw, Excerpt, Excerpts, Wanted, equal_to
from tasks.rejects import COLUMNS, Rejected, find_rejects

REDIRECTED = "redirected"
"""The reason of a reject whose value is the URL that was given instead."""


@dataclass(frozen=True)
class FetchedPage:
    """One page and its fetch, as `records.PAGE` and `records.FETCH` describe them."""

    url: str
    page_id: str
    content_type: str
    charset: str
    num_bytes: int
    fetched_at: datetime
    status: int
    depth: int
    robots: str
    warc_file: str
    warc_offset: int


@dataclass(frozen=True)
class PagesFinding:
    """What became of some URLs: pages, or rejects."""

    pages: tuple[FetchedPage, ...]
    rejected: tuple[Rejected, ...]

    def lines(self) -> Iterator[str]:
        """Tell when and how each was fetched, and where it lies."""
        for page in self.pages:
            yield (
                f"fetched {page.fetched_at:%Y-%m-%d %H:%M:%S} UTC: status {page.status}, "
                f"depth {page.depth}, robots: {page.robots}"
            )
            yield f"in warc/{page.warc_file} at byte {page.warc_offset:,}"
            yield f"as page {page.page_id}, {page.content_type}, {page.num_bytes:,} bytes"
        for reject in self.rejected:
            if reject.reason == REDIRECTED:
                yield f"{reject.url} redirected to {reject.value}"
            else:
                yield f"not kept: {reject.verdict}"


_OF_PAGE = ("page_id", "url", "content_type", "charset", "num_bytes")
_OF_FETCH = ("page_id", "fetched_at", "status", "depth", "robots", "warc_file", "warc_offset")


class Pages(ArtifactType):
    """Pages of a crawl."""

    notes: ClassVar[Mapping[str, str]] = {
        "warc/": "`warc/` holds the responses as they came, for FastWARC or warcio."
    }

    def find(self, artifact: Artifact, urls: Collection[str]) -> PagesFinding:
        """Give the pages and rejects of these canonical URLs."""
        from storage.parquet import find_rows

        found = find_rows(artifact.files("pages/"), "url", urls, _OF_PAGE)
        by_id = {row["page_id"]: row for row in found}
        fetches = artifact.files("fetches/")
        fetched = find_rows(fetches, "page_id", by_id, _OF_FETCH) if by_id else []
        for row in fetched:
            row["fetched_at"] = datetime.fromtimestamp(row["fetched_at"] / 1000, UTC)
        return PagesFinding(
            tuple(FetchedPage(**by_id[row["page_id"]] | row) for row in fetched),
            find_rejects(artifact.files("rejects"), "url", urls),
        )

    def excerpts(self, artifact: Artifact, wanted: Wanted) -> Excerpts:
        """Draw pages, with their source as it came, or URLs that gave none."""
        if wanted.language:
            raise self.cannot_show(artifact, wanted)
        draw = Draw(wanted)
        if wanted.dropped:
            draw.offer(artifact, "rejects", COLUMNS, {"reason": equal_to(wanted.reason)})
            return Excerpts(draw.total, tuple(Excerpt(**row) for row in draw.rows()))
        draw.offer(artifact, "pages/", ("url",))
        urls = [row["url"] for row in draw.rows()]
        pages = {page.url: page for page in self.find(artifact, urls).pages}
        return Excerpts(draw.total, tuple(_excerpt(artifact, pages[url]) for url in urls))

    def trace(self, artifact: Artifact, walk: Walk) -> PagesFinding | None:
        """Tell what became of the URLs."""
        found = self.find(artifact, walk.urls)
        return found if found.pages or found.rejected else None

    def held(self, artifact: Artifact, search: TakedownSearch) -> Held:
        """Find its pages, by id with the rule for each: `found`.

        A document that was taken down by its id came from a page. Which one, a cleaning says;
        before there is one, any page at the document's URL may be it, and counts.
        """
        from storage.parquet import read_columns

        forgotten, rules, doubtful = search.forgotten, dict[str, str](), dict[str, str]()
        for path in artifact.files("pages/"):
            rows = read_columns([path], ["page_id", "url"])
            for page_id, url in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                rule = forgotten.covers(url)
                if rule is not None:
                    rules[page_id] = rule
                elif url in forgotten.page_urls:
                    doubtful[page_id] = url
        for cleaned in search.artifacts if doubtful else ():
            if cleaned.type.serves(DOCUMENTS):
                with search.reading(cleaned):
                    _learn_what_pages_gave(artifact, cleaned, doubtful, search.gave)
        by_url = {t.page_url: t.rule for t in forgotten.takedowns if t.page_url}
        for page_id, url in doubtful.items():
            if page_id not in search.gave or search.gave[page_id] & forgotten.documents:
                rules[page_id] = by_url[url]
        return Held(frozenset(rules), len(rules), found=rules)


def _excerpt(artifact: Artifact, page: FetchedPage) -> Excerpt:
    from storage.warc import read_body

    (warc,) = artifact.files(f"warc/{page.warc_file}")
    body = read_body(warc, page.warc_offset)
    try:
        text = body.decode(page.charset or "utf-8", "replace")
    except LookupError:  # a charset that the server made up
        text = body.decode(errors="replace")
    note = f"{page.content_type}, {page.num_bytes:,} bytes, as it came"
    return Excerpt(page.page_id, page.url, text=text, note=note)


def _learn_what_pages_gave(
    pages: Artifact, cleaned: Artifact, urls: dict[str, str], gave: dict[str, set[str]]
) -> None:
    """Learn what documents were made of some pages (URLs by id): kept ones, and dropped ones by
    their URL, which names a page only within one crawl."""
    from storage.parquet import find_rows

    origins = cleaned.files("origins/")
    for row in find_rows(origins, "page_id", urls, ("page_id", "document_id")):
        gave.setdefault(row["page_id"], set()).add(row["document_id"])
    sources = {reference.digest for reference in cleaned.manifest.inputs.values()}
    if pages.manifest.digest in sources:
        by_url = {url: page_id for page_id, url in urls.items()}
        for row in find_rows(cleaned.files("rejects/"), "url", by_url, ("id", "url")):
            if row["id"] != row["url"]:  # else no text was extracted
                gave.setdefault(by_url[row["url"]], set()).add(row["id"])


PAGES = Pages(
    "pages",
    "pages",
    (
        table("pages", "pages/", "one row for each page, its body left to `warc/`"),
        table("fetches", "fetches/", "when each page was fetched, and where in `warc/`"),
        table("rejects", "rejects.parquet", "URLs that gave no page, and why"),
        table("hosts", "hosts.parquet", "what was asked of each host, and how it went"),
    ),
)
