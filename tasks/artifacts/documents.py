"""Documents: text with its URL, language and measures, and the evidence of what was left out.

Cleaning makes them from pages, deduplication from documents; the tables that are there say what is
known of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.artifacts.artifact import (
    Artifact,
    ArtifactType,
    Files,
    Finding,
    Held,
    InputGone,
    TakedownSearch,
    Walk,
    table,
)
from tasks.artifacts.excerpts import Asked, Draw, Excerpt, Excerpts, Row, Wanted, among, equal_to
from tasks.artifacts.prose import SOME, count, first
from tasks.rejects import COLUMNS, Rejected, find_rejects

if TYPE_CHECKING:
    import pyarrow as pa

_SAMPLES = 3
_CHARACTERS = 300
DUPLICATE, EARLIER = "duplicate", "in an earlier corpus"
"""Reasons of what was dropped for another document, in the same corpus or in an earlier one."""

DUPLICATES = "duplicates.parquet"


@dataclass(frozen=True)
class CleanedDocument:
    """A document as `records.DOCUMENT` describes it, and its page, where that is known."""

    document_id: str
    url: str
    title: str
    date: str
    author: str
    licence: str
    canonical: str
    extractor: str
    language: str
    language_score: float
    num_words: int
    repeated_share: float
    pii: Sequence[str]
    page_id: str

    def lines(self) -> Iterator[str]:
        """Tell where it is from, and what was measured and found of it."""
        origin = f", from page {self.page_id}" if self.page_id else ""
        yield f"kept as document {self.document_id}{origin}"
        yield (
            f"{self.num_words:,} words, language {self.language} ({self.language_score:.2f}), "
            f"{self.repeated_share:.0%} in repeated lines, extracted by {self.extractor}"
        )
        said = {"of": self.date, "by": self.author, "under": self.licence}
        if any(said.values()):
            yield " ".join(f"{word} {what}" for word, what in said.items() if what)
        if self.canonical:
            yield f"gives {self.canonical} as its own address"
        if self.pii:
            replaced = sorted(Counter(self.pii).items())
            yield "replaced: " + ", ".join(f"{number} {kind}" for kind, number in replaced)


_MEASURES = tuple(name for name in CleanedDocument.__annotations__ if name != "page_id")


@dataclass(frozen=True)
class CleaningFinding:
    """What a cleaning made of some pages: documents, or rejects with the rule of each."""

    documents: tuple[CleanedDocument, ...]
    rejected: tuple[Rejected, ...]

    def lines(self) -> Iterator[str]:
        """Tell what was measured of each document, and why others were dropped."""
        for document in self.documents:
            yield from document.lines()
        yield from (f"dropped: {reject.verdict}" for reject in self.rejected)


@dataclass(frozen=True)
class Duplicate:
    """A document that was dropped for another, as `records.DUPLICATE` describes it."""

    document_id: str
    url: str
    kept_id: str
    kept_url: str
    similarity: float
    method: str
    kept_in: str = ""

    def __str__(self) -> str:
        return f"{self.similarity:.1%} alike by {self.method}"


@dataclass(frozen=True)
class KeptDocument:
    """A document that stayed; its id names the cluster of those dropped for it."""

    document_id: str
    url: str
    dropped: tuple[Duplicate, ...]


@dataclass(frozen=True)
class Cut:
    """What one method cut out of a document: passages, and their characters together."""

    method: str
    num_passages: int
    num_characters: int


@dataclass(frozen=True)
class DeduplicationFinding:
    """What a deduplication made of some documents.

    Documents at least as similar as `threshold` are one cluster; the rules of `keep`, in order,
    chose which stays.
    """

    threshold: float
    keep: tuple[str, ...]
    kept: tuple[KeptDocument, ...]
    dropped: tuple[Duplicate, ...]
    rejected: tuple[Rejected, ...] = ()
    cuts: tuple[Cut, ...] = ()

    def lines(self) -> Iterator[str]:
        """Tell for what each document was kept, dropped or cut."""
        policy, bound = ", ".join(self.keep), f"{self.threshold:.0%}"
        for document in self.kept:
            if not document.dropped:
                yield f"kept; none was dropped for it (threshold {bound} alike)"
                continue
            number = count(len(document.dropped), "document")
            cluster = f"the cluster {document.document_id}"
            yield f"kept, first by {policy} in {cluster}; {number} dropped for it:"
            yield from first(document.dropped, SOME, lambda one: f"{one}: {one.url}")
        for one in self.dropped:
            why = f"{one.kept_in} holds" if one.kept_in else f"comes first by {policy}"
            yield f"dropped: {one} (threshold {bound}) to {one.kept_url}, which {why}"
            yield f"cluster {one.kept_id}"
        yield from (f"dropped: {reject.verdict}" for reject in self.rejected)
        for cut in self.cuts:
            passages = count(cut.num_passages, "passage")
            yield f"{passages} of {cut.num_characters:,} characters cut out by {cut.method}"


class Documents(ArtifactType):
    """Texts of pages."""

    lists_documents: ClassVar[bool] = True

    # --- looking into it --------------------------------------------------------------------------

    def samples(self, artifact: Artifact, prompts: Sequence[str]) -> Iterator[str]:
        """Give the beginnings of a few documents, each with its URL and title."""
        columns = ("url", "title", "text", "language", "num_words")
        for row in artifact.first_rows("documents/", columns, _SAMPLES):
            head = "\n".join(line for line in (row["url"], row["title"]) if line)
            words = f"{row['num_words']:,} words, {row['language']}"
            yield f"{head}\n{words}\n\n{beginning(row['text'])}"

    def excerpts(self, artifact: Artifact, wanted: Wanted) -> Excerpts:
        """Draw documents; or what was dropped, with its text where an input of it has that."""
        if wanted.dropped:
            return draw_dropped(artifact, wanted)
        draw = Draw(wanted)
        draw.offer(artifact, "documents/", _SHOWN, {"language": equal_to(wanted.language)})
        rows = ({"id": row.pop("document_id"), **row} for row in draw.rows())
        return Excerpts(draw.total, tuple(Excerpt(**row) for row in rows))

    def trace(self, artifact: Artifact, walk: Walk) -> Finding | None:
        """Tell how the documents fared, by the tables that are there."""
        if artifact.has(DUPLICATES):
            return _trace_deduplication(artifact, walk)
        key, values = walk.key()
        found = find_cleaned(artifact.files, key, values)
        walk.learn((document.document_id, document.url) for document in found.documents)
        walk.urls |= {reject.url for reject in found.rejected}
        return found if found.documents or found.rejected else None

    def held(self, artifact: Artifact, search: TakedownSearch) -> Held:
        """Find its documents, and evidence with text of such as may be dropped themselves."""
        tables = ("documents/", "cuts/", "contaminated/")
        ids = search.covered(path for prefix in tables for path in artifact.files(prefix))
        return Held(ids, len(ids))


def beginning(text: str) -> str:
    """Cut a text to what a sample of it shows."""
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS].rstrip()} …"


def kept_ids(finding: Finding | None) -> tuple[str, ...]:
    """Give the ids of the documents that a finding says were kept."""
    if isinstance(finding, CleaningFinding):
        return tuple(document.document_id for document in finding.documents)
    kept = finding.kept if isinstance(finding, DeduplicationFinding) else ()
    return tuple(document.document_id for document in kept)


def _trace_deduplication(artifact: Artifact, walk: Walk) -> DeduplicationFinding | None:
    try:
        walk.known(artifact, DOCUMENTS)
    except InputGone:  # so the ids are known from here alone
        walk.learn(list_documents(artifact.files, *walk.key()))
    found = find_deduplicated(artifact.files, walk.ids, artifact.manifest.config)
    return found if found.kept or found.dropped or found.rejected else None


# --- drawing from the tables ----------------------------------------------------------------------

_SHOWN = ("document_id", "url", "title", "language", "text")


def draw_dropped(artifact: Artifact, wanted: Wanted) -> Excerpts:
    """Draw from what an artifact rejected, and what it dropped as duplicates.

    A cleaning has no text of these; of others, the documents that they were made from do.
    """
    draw, sources = Draw(wanted), Sources.of(artifact)
    if wanted.language and not sources.paths:
        raise artifact.type.cannot_show(artifact, wanted)
    ids = among(sources.in_language(wanted.language))
    draw.offer(artifact, "rejects/", COLUMNS, {"reason": equal_to(wanted.reason), "id": ids})
    if wanted.reason in ("", DUPLICATE, EARLIER):
        where = {"document_id": ids, **_kept_in(artifact, wanted.reason)}
        draw.offer(artifact, DUPLICATES, tuple(Duplicate.__annotations__), where)
    rows = [row if "id" in row else _as_reject(row, artifact) for row in draw.rows()]
    known = sources.find(row["id"] for row in rows)
    return Excerpts(draw.total, tuple(Excerpt(**row, **known.get(row["id"], {})) for row in rows))


def _as_reject(row: Row, artifact: Artifact) -> Row:
    """Write a row of duplicates as one of rejects."""
    duplicate = Duplicate(**row)
    where = f", in {duplicate.kept_in}" if duplicate.kept_in else ""
    return {
        "id": duplicate.document_id,
        "url": duplicate.url,
        "reason": EARLIER if duplicate.kept_in else DUPLICATE,
        "value": str(duplicate),
        "threshold": f"below {float(str(artifact.manifest.config.get('threshold', 0))):.0%}",
        "note": f"kept instead: {duplicate.kept_url}{where}",
    }


def _kept_in(artifact: Artifact, reason: str) -> dict[str, Asked]:
    """Ask for duplicates in the same corpus, or in earlier ones, where a reason means those."""
    import pyarrow.compute as pc

    if not reason or "kept_in" not in duplicate_columns(artifact.files(DUPLICATES)):
        return {}
    return {"kept_in": lambda column: pc.equal(pc.equal(column, ""), reason == DUPLICATE)}


@dataclass(frozen=True)
class Sources:
    """The tables that know more of what an artifact dropped: a cleaning's signals, or the documents
    that it was made from. `key` is their column of ids."""

    paths: tuple[Path, ...]
    key: str
    columns: tuple[str, ...]

    @classmethod
    def of(cls, artifact: Artifact) -> Sources:
        """Find them."""
        if artifact.has("signals/"):
            return cls(tuple(artifact.files("signals/")), "id", ("language",))
        sources = [one for one in artifact.inputs(DOCUMENTS) if one.is_whole()]
        paths = (path for one in sources for path in one.files("documents/"))
        return cls(tuple(paths), "document_id", ("language", "title", "text"))

    def in_language(self, language: str) -> pa.Array | None:
        """Give the ids of texts in a language; None: no language is asked for."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from storage.parquet import read_columns, strings

        if not language:
            return None
        found = [strings([])]
        for path in self.paths:
            table = read_columns([path], [self.key, "language"])
            found += table.filter(pc.equal(table["language"], language))[self.key].chunks
        return pa.concat_arrays(found)

    def find(self, ids: Iterable[str]) -> dict[str, Row]:
        """Read what they know of these, by id: `columns`."""
        from storage.parquet import find_rows

        rows = find_rows(self.paths, self.key, set(ids), (self.key, *self.columns))
        return {row.pop(self.key): row for row in rows}


# --- reading the tables ---------------------------------------------------------------------------


def find_cleaned(files: Files, key: str, values: Collection[str]) -> CleaningFinding:
    """Give the documents and rejects of these URLs or document ids."""
    from storage.parquet import find_rows

    found = find_rows(files("documents/"), key, values, _MEASURES)
    ids = {row["document_id"] for row in found}
    columns = ("document_id", "page_id")
    rows = find_rows(files("origins/"), "document_id", ids, columns) if ids else []
    pages = {row["document_id"]: row["page_id"] for row in rows}
    return CleaningFinding(
        tuple(CleanedDocument(**r, page_id=pages.get(r["document_id"], "")) for r in found),
        find_rejects(files("rejects/"), "url" if key == "url" else "id", values),
    )


def find_deduplicated(
    files: Files, ids: Collection[str], config: Mapping[str, Any]
) -> DeduplicationFinding:
    """Give the clusters that these documents belong to, and what went of them."""
    from storage.parquet import find_rows

    duplicates = files(DUPLICATES)
    columns = duplicate_columns(duplicates)
    dropped = [Duplicate(**r) for r in find_rows(duplicates, "document_id", ids, columns)]
    kept = find_rows(files("documents/"), "document_id", ids, ("document_id", "url"))
    in_favour = [Duplicate(**r) for r in find_rows(duplicates, "kept_id", ids, columns)]
    in_favour.sort(key=lambda duplicate: (-duplicate.similarity, duplicate.url))
    lengths: dict[str, list[int]] = {}
    for row in find_rows(files("cuts/"), "document_id", ids, ("method", "start", "end")):
        lengths.setdefault(row["method"], []).append(row["end"] - row["start"])
    return DeduplicationFinding(
        threshold=config.get("threshold", 0.0),
        keep=tuple(r if isinstance(r, str) else r["kind"] for r in config.get("keep", ())),
        kept=tuple(
            KeptDocument(**r, dropped=tuple(d for d in in_favour if d.kept_id == r["document_id"]))
            for r in kept
        ),
        dropped=tuple(dropped),
        rejected=find_rejects(files("rejects/"), "id", ids),
        cuts=tuple(Cut(m, len(found), sum(found)) for m, found in sorted(lengths.items())),
    )


def duplicate_columns(duplicates: Sequence[Path]) -> list[str]:
    """List the columns of `records.DUPLICATE` that are there: `kept_in` came with version 2."""
    import pyarrow.parquet as pq

    from storage.records import DUPLICATE

    held = set(pq.read_schema(duplicates[0]).names) if duplicates else set()
    return [name for name in DUPLICATE.names if name in held]


def list_documents(files: Files, key: str, values: Collection[str]) -> list[tuple[str, str]]:
    """List (document id, URL) of the documents, kept or dropped, of these URLs or ids."""
    from storage.parquet import find_rows

    rows = [
        row
        for table in ("documents/", DUPLICATES)
        for row in find_rows(files(table), key, values, ("document_id", "url"))
    ]
    rejects = find_rejects(files("rejects/"), "url" if key == "url" else "id", values)
    found = [(row["document_id"], row["url"]) for row in rows]
    return found + [(reject.id, reject.url) for reject in rejects]


DOCUMENTS = Documents(
    "documents",
    "documents",
    (
        table("documents", "documents/", "the text of each document"),
        table("rejects", "rejects/", "what was dropped, and why"),
        table("origins", "origins/", "which page of the crawl a document came from"),
        table("signals", "signals/", "what was measured of each text, kept or not"),
        table("duplicates", DUPLICATES, "what was dropped in favour of what"),
        table("cut_lines", "cuts/lines/", "lines that were cut out of documents"),
        table("cut_passages", "cuts/substring/", "passages that were cut out"),
        table("contaminated", "contaminated/", "what stood in an evaluation set"),
    ),
)
