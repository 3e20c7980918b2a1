"""The way of one page through all artifacts, from its fetch to the steps of the models it taught.

Each artifact is read at most once, and of it only what the answer needs. No Prefect, no torch.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from rich.console import Console

from flows.render import say
from flows.stages import in_order, open_artifact
from storage.errors import DamagedArtifact, Fault, RequestError, UnknownArtifact
from storage.manifest import Manifest
from storage.parquet import read_columns
from storage.store import Store
from tasks.artifacts.artifact import Artifact, ArtifactType, Finding, InputGone
from tasks.artifacts.pages import PAGES, REDIRECTED, PagesFinding
from tasks.crawl.urls import canonical_url, recorded_url
from tasks.rejects import find_rejects

GONE = "data no longer in the store"
NOT_LOOKED_INTO = "not looked into: nothing is known of how its stage uses documents"
UNREADABLE = (OSError, pa.ArrowException, KeyError, DamagedArtifact, UnknownArtifact)
"""What reading an artifact raises whose data is damaged, was collected, or has other columns."""

_DOCUMENT_ID = re.compile("[0-9a-f]{32}")
_MAX_REDIRECTS = 10
_MAX_COMPARED = 20_000  # URLs; difflib takes 10 µs for each


@dataclass(frozen=True)
class Visit:
    """What one artifact knows: a finding, nothing, or why that is not known."""

    stage: str
    type: str
    artifact: str
    recipe: str
    finding: Finding | None
    problem: str | None


@dataclass(frozen=True)
class Trace:
    """The way of a page, through what was made first."""

    asked: str
    urls: tuple[str, ...]
    document_ids: tuple[str, ...]
    visits: tuple[Visit, ...]


def trace(store: Store, asked: str, *, everything: bool = False) -> Trace:
    """Trace a URL or a document id through the newest artifacts, or through `everything`.

    Raises RequestError if no artifact knows it.
    """
    target = parse_target(asked)
    artifacts = choose_artifacts(store, everything=everything)
    crawls = [artifact for artifact in artifacts if artifact.type.serves(PAGES)]
    rest = [artifact for artifact in artifacts if artifact not in crawls]
    walk = _Walk(target.document_id)
    if target.document_id:  # its URLs are known only once the rest was asked
        visits = [walk.visit(artifact) for artifact in rest]
        visits[:0] = [walk.visit(artifact) for artifact in crawls]
    else:
        walk.urls |= follow_redirects(crawls, target.urls)
        visits = [walk.visit(artifact) for artifact in crawls + rest]
    if not any(visit.finding for visit in visits):
        raise unknown(store, crawls, asked, everything=everything)
    urls = _met_urls(visits) or tuple(sorted(walk.urls))
    return Trace(asked, urls, tuple(sorted(walk.ids)), tuple(visits))


def choose_artifacts(store: Store, *, everything: bool) -> list[Artifact]:
    """Open all versions, or the newest of each name of each recipe with all they were made from.

    What was made from others comes after them.
    """
    held = list(store.manifests())
    newest = {(m.run.recipe, m.name): m for m in held}  # later versions replace earlier ones
    chosen: dict[str, Manifest] = {}
    waiting = held if everything else list(newest.values())
    while waiting:
        manifest = waiting.pop()
        if manifest.label not in chosen:
            chosen[manifest.label] = manifest
            # Whoever needs the data of an input that is gone says so.
            waiting += [source.manifest for source in open_artifact(store, manifest).inputs()]
    return [open_artifact(store, manifest) for manifest in in_order(chosen.values())]


class _Walk:
    """The findings so far, which later artifacts build on."""

    def __init__(self, document_id: str | None) -> None:
        self._is_by_id = document_id is not None
        self.urls: set[str] = set()
        self.ids = {document_id} if document_id else set[str]()
        self._seen: dict[str, Finding | None] = {}
        self._told: set[str] = set()

    def visit(self, artifact: Artifact) -> Visit:
        """Ask one artifact; those that it was made from come before it."""
        finding, problem = None, None
        try:
            finding = artifact.type.trace(artifact, self)
            self._seen[artifact.label] = finding
        except InputGone as error:
            problem = str(error)
        except UNREADABLE as error:
            problem = problem_of(error)
        manifest, kind = artifact.manifest, artifact.type
        is_asked = type(kind).trace is not ArtifactType.trace
        if not is_asked and any(r.label in self._told for r in manifest.inputs.values()):
            problem = NOT_LOOKED_INTO
        if finding or problem:
            self._told.add(artifact.label)
        names = manifest.stage, manifest.type or kind.name, artifact.label, manifest.run.recipe
        return Visit(*names, finding, problem)

    def key(self) -> tuple[Literal["url", "document_id"], set[str]]:
        """Name the column that is looked for, and its values."""
        return ("document_id", self.ids) if self._is_by_id else ("url", self.urls)

    def learn(self, documents: Iterable[tuple[str, str]]) -> None:
        """Add (document id, URL) pairs to what is looked for from here on."""
        for document_id, url in documents:
            self.ids.add(document_id)
            self.urls.add(url)

    def known(self, artifact: Artifact, kind: ArtifactType) -> Finding | None:
        """Give what its first input of `kind` knew. Raises InputGone if that could not be asked."""
        source = next(artifact.inputs(kind), None)
        if source is None and not artifact.manifest.inputs:
            return None
        if source is None or source.label not in self._seen:
            raise InputGone(f"{source.label if source else kind.name}: {GONE}")
        return self._seen[source.label]


def _met_urls(visits: Iterable[Visit]) -> tuple[str, ...]:
    """Give the URLs that the crawls met."""
    met = [visit.finding for visit in visits if isinstance(visit.finding, PagesFinding)]
    pages = {page.url for found in met for page in found.pages}
    return tuple(sorted(pages | {reject.url for found in met for reject in found.rejected}))


def problem_of(error: Exception) -> str:
    """Say of data that it could not be read, and why."""
    gone = isinstance(error, FileNotFoundError | DamagedArtifact | UnknownArtifact)
    return GONE if gone else f"data cannot be read: {error}"


# --- what is asked about --------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """Canonical URLs, or one document id."""

    urls: tuple[str, ...] = ()
    document_id: str | None = None


def parse_target(asked: str) -> Target:
    """Read a document id, or the canonical spellings that `asked` may stand for.

    Without a scheme both https and http are meant. Raises RequestError if it can be neither.
    """
    text = asked.strip()
    if _DOCUMENT_ID.fullmatch(text.lower()):
        return Target(document_id=text.lower())
    has_scheme = re.match("https?://|file:///", text, re.I)
    spellings = [text] if has_scheme else [f"https://{text}", f"http://{text}"]
    try:
        return Target(urls=tuple(map(recorded_url, spellings)))
    except ValueError as error:
        expected = "a URL, or a document id of 32 hexadecimal digits"
        remedy = "Example: phusa trace http://localhost:8630/math.html"
        raise RequestError(Fault("URL", repr(asked), expected, remedy)) from error


def follow_redirects(crawls: Sequence[Artifact], urls: Iterable[str]) -> set[str]:
    """Give `urls`, and all that they were redirected to in any of the crawls."""
    found = set(urls)
    new = found
    for _ in range(_MAX_REDIRECTS):
        new = {target for crawl in crawls for target in _redirects(crawl, new)} - found
        if not new:
            break
        found |= new
    return found


def _redirects(crawl: Artifact, urls: set[str]) -> list[str]:
    targets = []
    try:
        rejects = find_rejects(crawl.files("rejects"), "url", urls)
    except UNREADABLE:
        return []  # the crawl's own visit says so
    for reject in rejects:
        if reject.reason == REDIRECTED:
            try:
                targets.append(canonical_url(reject.value, reject.url))
            except ValueError:
                continue  # a Location that no one can follow
    return targets


def unknown(
    store: Store, crawls: Sequence[Artifact], asked: str, *, everything: bool
) -> RequestError:
    """Refuse what no artifact knows, with the URLs that look most like it."""
    known: set[str] = set()
    for crawl in crawls:
        try:
            tables = [*crawl.files("pages/"), *crawl.files("rejects")]
            known |= set(read_columns(tables, ["url"])["url"].to_pylist())
        except UNREADABLE:
            continue
    compared = sorted(known)[:_MAX_COMPARED]
    close = difflib.get_close_matches(asked, compared, n=5, cutoff=0.6)
    remedy = f"Did you mean {', '.join(close)}?" if close else "`phusa artifacts` lists the crawls."
    return RequestError(
        Fault(
            where=f"store {store.address}",
            found=f"nothing about {asked!r}",
            expected=f"one of the {len(known):,} URLs that its crawls met, or a document id",
            remedy=remedy if everything else f"{remedy} --all searches older versions, too.",
        )
    )


# --- for people -----------------------------------------------------------------------------------


def show_trace(console: Console, found: Trace) -> None:
    """Print what each artifact knows; stages where it does not occur are named at the end."""
    say(console, found.urls or (found.asked,), style="bold")
    telling = [visit for visit in found.visits if visit.finding or visit.problem]
    for visit in telling:
        head = f"\n[cyan]{visit.artifact}[/] [dim](recipe {visit.recipe})[/]"
        console.print(head, highlight=False)
        if visit.problem:
            say(console, [f"  {visit.problem}"], style="red")
        elif visit.finding:
            say(console, (f"  {line}" for line in visit.finding.lines()))
    in_it = {visit.stage for visit in telling}
    absent = dict.fromkeys(visit.stage for visit in found.visits if visit.stage not in in_it)
    if absent:
        say(console, [f"\nnot in {', '.join(absent)}"])
