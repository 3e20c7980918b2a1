"""What a place of pages holds, judged by a sample of them: `phusa init` chooses by it."""

from __future__ import annotations

import random
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import ValidationError

from storage.errors import Fault, RequestError, SiteUnreachable
from tasks.clean.config import CleanConfig, Sandbox
from tasks.clean.extractors import Auto, Extraction, Extractor, Resiliparse
from tasks.clean.filters import Verdict
from tasks.clean.judging import Judge, Judged, text_of
from tasks.clean.language import plain_code
from tasks.clean.sandbox import ExtractionSandbox
from tasks.crawl.captures import Capture, RejectedUrl
from tasks.crawl.sources import FilesSource, RecordsSource, WarcSource, WebSource
from tasks.finetune.pairs import Definitions
from tasks.progress import track

Kind = Literal["article", "manual", "reference", "forum", "listing"]
FileSource = FilesSource | RecordsSource | WarcSource

_COUNT_S = 5.0  # for counting the records of files
_MANY_DEFINITIONS = 3
_FORUM = re.compile(
    rb"DiscussionForumPosting|schema\.org/QAPage|viewtopic\.php|showthread\.php"
    rb"|(?i:generator[\"'][^>]{1,40}(?:discourse|phpbb|vbulletin|xenforo|mybb|flarum|nodebb))"
)
_THIS_MACHINE = re.compile(r"(?i)https?://(?:localhost|127\.[\d.]+|\[::1\])(?::|/|$)")
_TABLES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
_WARCS = (".warc", ".warc.gz", ".wet", ".wet.gz", ".paths", ".paths.gz")
_TEXTS = ("text", "content", "body", "html", "markdown")
_URLS = ("url", "uri", "link", "source_url")


@dataclass(frozen=True)
class Seen:
    """What a place gave: some of its pages as a crawl has them, and what it holds in all."""

    name: str
    source: dict[str, Any]
    """The knobs of a source that reads all of it."""
    captures: list[Capture]
    num_pages: int
    """Pages that are there, as far as was seen."""
    quantity: str
    """How sure their number is: empty, `about ` or `at least `."""
    num_listed: int = 0
    """URLs in the site's sitemaps."""
    delay_s: float = 0.0


@dataclass(frozen=True)
class Page:
    """A page's text, judged by the defaults, and what kind of page it is."""

    kind: Kind
    judged: Judged
    names: tuple[str, ...]
    """What the instruction pairs that it gives ask about."""

    @property
    def num_bytes(self) -> int:
        """Bytes of its text."""
        return len(self.judged.candidate.text.encode())


@dataclass(frozen=True)
class Survey:
    """What was found of a place."""

    place: str
    seen: Seen
    language: str
    """What was asked for, or most of the text is in."""
    extractor: Extractor
    why_extractor: str
    pages: tuple[Page, ...]

    @property
    def wanted(self) -> list[Page]:
        """The pages in the language that are more than lists of links."""
        return [page for page in self.pages if page.kind != "listing" and self._speaks(page)]

    @property
    def kind(self) -> Kind:
        """What most of the pages are."""
        return Counter(page.kind for page in self.wanted or self.pages).most_common(1)[0][0]

    def _speaks(self, page: Page) -> bool:
        return page.judged.candidate.language == self.language


def survey(place: str, language: str | None, contact: str | None, num_pages: int) -> Survey:
    """Look at `num_pages` pages of a site, a folder, tables or WARC files.

    Raises RequestError for what cannot be read or may not be, and for pages in no or another
    language; SiteUnreachable for what may come back.
    """
    if is_web(place):
        seen = _at_site(place, language, contact, num_pages)
    else:
        seen = _in_files(place, num_pages)
    judge = Judge(CleanConfig())
    extractor: Extractor = Auto()
    why = "the default: articles and manuals each as they are written"
    found = _extracted(seen.captures, extractor)
    if share := _kept_of_whole(seen.captures, found):
        extractor = Resiliparse()
        why = f"auto took {share:.0%} of the text that this takes from these pages"
        found = _extracted(seen.captures, extractor)
    pages = tuple(
        _page(capture, one, judge)
        for capture, one in zip(seen.captures, found, strict=True)
        if isinstance(one, Extraction)
    )
    spoken = Counter[str]()
    for page in pages:
        spoken[page.judged.candidate.language] += page.num_bytes
    if language is None and spoken.total():
        language = spoken.most_common(1)[0][0]
    if language is None or not spoken[language]:
        raise _no_text(place, language, spoken)
    return Survey(place, seen, language, extractor, why, pages)


def known_language(tag: str) -> str:
    """Give the code of a language tag; raises RequestError for what is none."""
    try:
        return plain_code(tag)
    except ValueError as error:
        remedy = getattr(error, "remedy", "") or "Leave it out to take what the pages are in."
        expected = "an ISO 639 code that the language detector knows, such as vi, en or pt-BR"
        fault = Fault("--language", repr(tag), expected, remedy, "unknown_language")
        raise RequestError(fault) from error


def _no_text(place: str, language: str | None, spoken: Counter[str]) -> RequestError:
    if not spoken.total():
        expected, remedy = "text", "Look at one by `phusa clean try`."
        return RequestError(Fault(place, "pages without any text", expected, remedy, "no_text"))
    languages = ", ".join(f"{name} {share / spoken.total():.0%}" for name, share in spoken.items())
    remedy = "Name another language, or another place."
    return RequestError(
        Fault(place, f"text in {languages}", f"some in {language}", remedy, "other_language")
    )


# --- pages ----------------------------------------------------------------------------------------


def _extracted(captures: list[Capture], extractor: Extractor) -> Sequence[Extraction | Verdict]:
    with ExtractionSandbox(extractor, Sandbox()) as sandbox:
        return [text_of(c.body, c.content_type, c.charset, c.url, sandbox) for c in captures]


def _kept_of_whole(captures: list[Capture], found: Sequence[Extraction | Verdict]) -> float:
    """Give the share of resiliparse's text that was found, if it is under a half on most pages.

    Articles are not asked: there `auto` is better (F1 0.977 and 0.916, docs/benchmarks.md).
    """
    asked = [
        (capture, len(one.text))
        for capture, one in zip(captures, found, strict=True)
        if isinstance(one, Extraction) and one.extractor != "plain"
        if one.extractor != "article" or _is_forum(capture)
    ]
    if len(asked) * 2 < len(captures):
        return 0.0
    wholes = _extracted([capture for capture, _ in asked], Resiliparse())
    texts = (len(one.text) if isinstance(one, Extraction) else 0 for one in wholes)
    share = median(num / max(whole, 1) for (_, num), whole in zip(asked, texts, strict=True))
    return max(share, 0.01) if share < 0.5 else 0.0


def _is_forum(capture: Capture) -> bool:
    return _FORUM.search(capture.body) is not None


def _page(capture: Capture, found: Extraction, judge: Judge) -> Page:
    judged = judge.judge(capture.url, found)
    text = judged.candidate.text
    row = {"url": capture.url, "text": text, "document_id": judged.identity}
    names = tuple(pair["name"] for pair in Definitions().build(row))
    return Page(_kind(capture, judged, len(names)), judged, names)


def _kind(capture: Capture, judged: Judged, num_definitions: int) -> Kind:
    """Tell what a page is: by what a forum's software writes, by links, by how it was extracted."""
    if _is_forum(capture):
        return "forum"
    if num_definitions >= _MANY_DEFINITIONS:
        return "reference"
    if judged.candidate.num_words < capture.body.count(b"<a "):
        return "listing"
    return "article" if judged.extractor in ("article", "plain") else "manual"


# --- sites ----------------------------------------------------------------------------------------


def is_web(place: str) -> bool:
    """Whether a place is a URL, and no folder or file."""
    return re.match("https?://", place, re.I) is not None


def is_public(place: str) -> bool:
    """Whether a place is a site whose owner must be able to reach whoever crawls it."""
    try:
        WebSource(seeds=(place,), allow_private_addresses=True)
    except ValidationError:
        return is_web(place)
    return False


def _at_site(place: str, language: str | None, contact: str | None, num_pages: int) -> Seen:
    from tasks.crawl.live.sampling import sample_site  # libcurl, and only wanted here

    knobs: dict[str, Any] = {"kind": "web", "seeds": [place]}
    if language:
        knobs["languages"] = [language]
    if contact:
        knobs["contact"] = contact
    if not is_public(place):
        knobs["allow_private_addresses"] = True
    if _THIS_MACHINE.match(place):
        knobs["politeness"] = {"delay_s": 0, "delay_factor": 0}
    with track("sample", num_pages, "pages") as bar:
        sample = sample_site(_web_source(knobs), num_pages, bar)
        if [reject.reason for reject in sample.rejects] == ["private_address"]:
            knobs["allow_private_addresses"] = True  # whoever names such a host means it
            sample = sample_site(_web_source(knobs), num_pages, bar)
    if not sample.pages:
        raise _no_page(place, sample.rejects)
    knobs["seeds"] = [sample.start]
    if sample.include:
        knobs["include"] = list(sample.include)
    num_known, num_asked = len(sample.known), len(sample.pages) + len(sample.rejects)
    parts = urlsplit(sample.start)
    return Seen(
        name=slug(
            parts.netloc.rpartition("@")[2].removeprefix("www.") + parts.path.rpartition("/")[0]
        ),
        source=knobs,
        captures=sample.pages,
        num_pages=sample.estimate() if num_asked < num_known else len(sample.pages),
        quantity="about " if num_asked < num_known else "",
        num_listed=len(sample.listed),
        delay_s=sample.delay_s,
    )


def _web_source(knobs: dict[str, Any]) -> WebSource:
    try:
        return WebSource.model_validate(knobs)
    except ValidationError as error:
        details = error.errors()[0]
        if details["loc"] or "contact" not in details["msg"]:
            found, expected = details["msg"], "the URL of a page, and an address to be reached by"
            fault = Fault(str(knobs["seeds"][0]), found, expected, "Mend it.", "bad_url")
        else:
            expected = "an e-mail address or URL, by which the owner of a public host reaches you"
            remedy = "Add --contact you@example.org."
            fault = Fault("--contact", "nothing", expected, remedy, "no_contact")
        raise RequestError(fault) from error


def _no_page(place: str, rejects: list[RejectedUrl]) -> RequestError | SiteUnreachable:
    """Say why a site gave no page: its own wish, nothing to read there, or no answer."""
    if not rejects:
        remedy = "Name a page with text, or one that links to some."
        return RequestError(Fault(place, "no page of HTML", "one at least", remedy, "no_page"))
    first = rejects[0]
    found = f"{first.url}: {first.reason} ({first.value})"
    if first.passing:
        fault = Fault(place, found, first.threshold, "See that it runs; try again.", "no_answer")
        return SiteUnreachable(fault)
    if first.reason in ("robots", "policy"):
        remedy = "The site asks not to be read: ask its owner, or name another place."
        return RequestError(Fault(place, found, first.threshold, remedy, "forbidden_by_site"))
    remedy = "Check the address in a browser."
    return RequestError(Fault(place, found, first.threshold, remedy, "no_page"))


# --- files ----------------------------------------------------------------------------------------


def _in_files(place: str, num_pages: int) -> Seen:
    """Read pages spread over the files, and count what these files hold, for some seconds."""
    source = _file_source(place)
    inputs = source.inputs()
    num_files = min(num_pages, len(inputs))
    chosen = [inputs[number * len(inputs) // num_files] for number in range(num_files)]
    each, chance, deadline = -(-num_pages // num_files), random.Random(0), monotonic() + _COUNT_S
    captures: list[Capture] = []
    counted = failed = 0
    with tempfile.TemporaryDirectory(prefix="phusa-init-") as scratch:
        for file in chosen:
            kept: list[Capture] = []  # an even sample of the file's: Vitter's algorithm R
            num = 0
            for _, what in source.read(file, Path(scratch)):
                if isinstance(what, RejectedUrl):
                    failed += 1
                    continue
                num += 1
                if len(kept) < each:
                    kept.append(what)
                elif (place_of := chance.randrange(num)) < each:
                    kept[place_of] = what
                if num >= each and monotonic() > deadline:
                    break
            captures += kept
            counted += num
    is_late = monotonic() > deadline
    if not captures:
        found, remedy = f"{failed} records, and no page", "docs/sources.md says what can be read."
        raise RequestError(Fault(place, found, "one page at least", remedy, "no_page"))
    knobs = source.model_dump(mode="json", exclude_defaults=True)
    stem = Path(re.sub(r"[*?\[].*", "", place)).expanduser().resolve().name
    return Seen(
        name=slug(stem.partition(".")[0]),
        source={"kind": source.kind, **knobs},
        captures=captures,
        num_pages=counted * len(inputs) // num_files,
        quantity="at least " if is_late else "about " if num_files < len(inputs) else "",
    )


def _file_source(place: str) -> FileSource:
    """Choose the source that reads most of the files there.

    Raises RequestError if none reads any.
    """
    given, path = place, Path(place).expanduser()
    if not place.startswith("s3://"):
        place = str(path.resolve())
    if path.is_file():
        found = [s for s, ends in _by_suffix(place) if place.lower().endswith(ends)]
    else:
        found = [source for source, _ in _by_suffix(place)]
        if path.is_dir() or place.startswith("s3://"):
            found.insert(0, FilesSource(path=place))
    best = max(found, key=_num_files, default=None)
    if best is None or not _num_files(best):
        kinds = f".html .htm .xhtml .txt .md .epub {' '.join((*_TABLES, *_WARCS))}"
        there = "no file of a known kind" if path.exists() else "no such file or folder"
        remedy = "Check the spelling; a URL begins with http:// or https://."
        if path.is_file():
            there, remedy = "a single file", f"Name the folder that it lies in: {path.parent}"
        expected = f"a URL, or a folder, table or archive of pages ({kinds})"
        raise RequestError(Fault(given, there, expected, remedy, "no_such_place"))
    return _with_columns(best) if isinstance(best, RecordsSource) else best


def _by_suffix(place: str) -> list[tuple[FileSource, tuple[str, ...]]]:
    return [(RecordsSource(paths=(place,)), _TABLES), (WarcSource(paths=(place,)), _WARCS)]


def _num_files(source: FileSource) -> int:
    try:
        return len(source.inputs())
    except RequestError:
        return 0


def _with_columns(source: RecordsSource) -> RecordsSource:
    """Name the columns with text and URL: by what such columns are called, else the longest."""
    from tasks.crawl.inputs.listing import local_file
    from tasks.crawl.inputs.tables import first_row

    file = source.inputs()[0]
    with tempfile.TemporaryDirectory() as scratch, local_file(file, Path(scratch)) as path:
        row = {name: of for name, of in first_row(path).items() if isinstance(of, str)}
    if not row:
        found, remedy = "no row with a column of text", "docs/sources.md says what can be read."
        raise RequestError(Fault(file.address, found, "one at least", remedy, "no_text_column"))
    longest = max(row, key=lambda name: len(row[name]))
    text = next((name for name in _TEXTS if name in row), longest)
    url = next((name for name in _URLS if row.get(name, "").startswith("http")), None)
    is_html = row[text].lstrip().startswith("<")
    kind: Any = "text/html" if is_html else "text/plain"
    return source.model_copy(update={"text_column": text, "url_column": url, "content_type": kind})


def slug(text: str) -> str:
    """Make a recipe's name of a host and folder, or of a file's name."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    return found or "mine"
