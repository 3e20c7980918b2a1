"""The way of one page through all artifacts, from its fetch to the steps of the models it taught.

Each artifact is read at most once, and of it only what the answer needs. No Prefect, no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from flows.stages import STAGES
from flows.trace.target import UNREADABLE, follow_redirects, parse_target, unknown
from storage.errors import DamagedArtifact, UnknownArtifact
from storage.manifest import Manifest
from storage.store import Store
from tasks.clean import trace as clean
from tasks.crawl import trace as crawl
from tasks.dedup import trace as dedup
from tasks.finetune import trace as finetune
from tasks.pretrain import trace as pretrain
from tasks.quality import trace as quality
from tasks.shard import trace as shard

GONE = "data no longer in the store"


@dataclass(frozen=True)
class TokenizerTrace:
    """The documents, among those asked about, that a tokenizer was trained on."""

    document_ids: tuple[str, ...]


@dataclass(frozen=True)
class PretrainTrace:
    """What a base model saw: what it learnt from, and what was held out and measured on."""

    num_steps: int
    learnt: tuple[pretrain.LearntDocument, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class FinetuneTrace:
    """What an adapter saw: its own pairs, and what its base had seen before, if anything.

    Artifacts made before finetune's stage version 2 have no `steps_recorded`.
    """

    pairs: tuple[finetune.TracedPair, ...]
    steps_recorded: bool
    base_artifact: str
    base: PretrainTrace | None
    base_problem: str | None


Finding = (
    crawl.CrawlTrace
    | clean.CleanTrace
    | quality.QualityTrace
    | dedup.DedupTrace
    | TokenizerTrace
    | shard.ShardTrace
    | PretrainTrace
    | FinetuneTrace
)


@dataclass(frozen=True)
class Visit:
    """What one artifact knows: a finding, nothing, or why its data cannot be read."""

    stage: str
    artifact: str
    recipe: str
    finding: Finding | None
    problem: str | None


@dataclass(frozen=True)
class Trace:
    """The way of a page, in the order of the river."""

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
    crawls = [manifest for manifest in artifacts if manifest.name == "crawl"]
    rest = [manifest for manifest in artifacts if manifest.name != "crawl"]
    walk = _Walk(store, target.document_id)
    if target.document_id:  # its URLs are known only once the rest was asked
        visits = [walk.visit(manifest) for manifest in rest]
        visits[:0] = [walk.visit(manifest) for manifest in crawls]
    else:
        walk.urls |= follow_redirects(store, crawls, target.urls)
        visits = [walk.visit(manifest) for manifest in crawls + rest]
    if not any(visit.finding for visit in visits):
        raise unknown(store, crawls, asked, everything=everything)
    return Trace(asked, walk.found_urls(), tuple(sorted(walk.ids)), tuple(visits))


def choose_artifacts(store: Store, *, everything: bool) -> list[Manifest]:
    """All versions, or the newest of each stage of each recipe with all they were made from.

    In the order of the river, oldest first within a stage.
    """
    held = list(store.manifests())
    newest = {(m.run.recipe, m.name): m for m in held}  # later versions replace earlier ones
    chosen: dict[str, Manifest] = {}
    waiting = held if everything else list(newest.values())
    while waiting:
        manifest = waiting.pop()
        if manifest.label not in chosen and manifest.name in STAGES:
            chosen[manifest.label] = manifest
            waiting.extend(_inputs(store, manifest))
    order = list(STAGES)
    return sorted(chosen.values(), key=lambda m: (order.index(m.name), m.version))


def _inputs(store: Store, manifest: Manifest) -> Iterator[Manifest]:
    for reference in manifest.inputs.values():
        try:
            yield store.manifest(reference.name, reference.version)
        except (UnknownArtifact, DamagedArtifact):
            continue  # whoever needs its data says that it is gone


class _InputGone(Exception):
    """What an artifact was made from cannot be read, so what it saw is not known."""


class _Walk:
    """The findings so far, which later stages build on."""

    def __init__(self, store: Store, document_id: str | None) -> None:
        self._store, self._document_id = store, document_id
        self.urls: set[str] = set()
        self.ids = {document_id} if document_id else set[str]()
        self._seen: dict[str, Finding | None] = {}

    def visit(self, manifest: Manifest) -> Visit:
        """Ask one artifact; those that it was made from come before it."""
        finding, problem = None, None
        try:
            finding = self._finding(manifest)
            self._seen[manifest.label] = finding
        except _InputGone as error:
            problem = str(error)
        except UNREADABLE as error:
            problem = problem_of(error)
        return Visit(
            stage=manifest.name,
            artifact=manifest.label,
            recipe=manifest.run.recipe,
            finding=finding,
            problem=problem,
        )

    def found_urls(self) -> tuple[str, ...]:
        """The URLs that the crawls met, or else those of the documents."""
        met = [finding for finding in self._seen.values() if isinstance(finding, crawl.CrawlTrace)]
        urls = {page.url for found in met for page in found.pages}
        urls |= {reject.url for found in met for reject in found.rejected}
        return tuple(sorted(urls or self.urls))

    def _finding(self, manifest: Manifest) -> Finding | None:
        ask = {
            "crawl": self._crawl,
            "clean": self._clean,
            "quality": self._quality,
            "dedup": self._dedup,
            "tokenizer": self._tokenizer,
            "shard": self._shard,
            "pretrain": self._pretrain,
            "finetune": self._finetune,
        }[manifest.name]
        return ask(manifest)

    def _input(self, manifest: Manifest, name: str) -> Finding | None:
        """What the input `name` knew. Raises _InputGone if it could not be asked."""
        label = _label(manifest, name)
        if label not in self._seen:
            raise _InputGone(f"{label}: {GONE}")
        return self._seen[label]

    def _crawl(self, manifest: Manifest) -> Finding | None:
        pages, fetches, rejects = (
            self._store.files(manifest, prefix) for prefix in ("pages/", "fetches/", "rejects")
        )
        return crawl.trace_urls(pages, fetches, rejects, self.urls) or None

    def _clean(self, manifest: Manifest) -> Finding | None:
        documents, origins, rejects = (
            self._store.files(manifest, prefix) for prefix in ("documents/", "origins/", "rejects/")
        )
        key, values = self._key()
        found = clean.trace_pages(documents, origins, rejects, key, values)
        self._learn((document.document_id, document.url) for document in found.documents)
        self.urls |= {reject.url for reject in found.rejected}
        return found or None

    def _quality(self, manifest: Manifest) -> Finding | None:
        if manifest.config["classifier"] is None:  # nothing is written of any document
            cleaned = self._seen.get(_label(manifest, "clean"))
            is_there = isinstance(cleaned, clean.CleanTrace) and bool(cleaned.documents)
            return quality.QualityTrace(False, (), ()) if is_there else None
        scores, rejects = (self._store.files(manifest, p) for p in ("scores/", "rejects/"))
        found = quality.trace_documents(scores, rejects, *self._key())
        self._learn((one.document_id, one.url) for one in (found.scored if found else ()))
        return found

    def _dedup(self, manifest: Manifest) -> Finding | None:
        documents, duplicates, rejects, cuts = (
            self._store.files(manifest, prefix)
            for prefix in ("documents/", "duplicates.parquet", "rejects/", "cuts/")
        )
        if _label(manifest, "clean") not in self._seen:  # so the ids are known from here alone
            self._learn(dedup.find_documents(documents, duplicates, rejects, *self._key()))
        threshold = cast("float", manifest.config["threshold"])
        rules = cast("list[str | dict[str, str]]", manifest.config["keep"])
        keep = [rule if isinstance(rule, str) else rule["kind"] for rule in rules]
        evidence = dedup.Evidence(documents, duplicates, rejects, cuts)
        return dedup.trace_documents(evidence, self.ids, threshold, keep) or None

    def _key(self) -> tuple[Literal["url", "document_id"], set[str]]:
        return ("document_id", self.ids) if self._document_id else ("url", self.urls)

    def _learn(self, documents: Iterable[tuple[str, str]]) -> None:
        for document_id, url in documents:
            self.ids.add(document_id)
            self.urls.add(url)

    def _tokenizer(self, manifest: Manifest) -> Finding | None:
        kept = cast("dedup.DedupTrace | None", self._input(manifest, "dedup"))
        ids = tuple(document.document_id for document in kept.kept) if kept else ()
        return TokenizerTrace(ids) if ids else None

    def _shard(self, manifest: Manifest) -> Finding | None:
        train, validation = (self._store.files(manifest, p) for p in ("train/", "validation/"))
        found = shard.trace_documents(train, validation, self.ids)
        return found or None

    def _pretrain(self, manifest: Manifest) -> Finding | None:
        sharded = cast("shard.ShardTrace | None", self._input(manifest, "shard"))
        if sharded is None:
            return None
        read = reading_of(self._store, manifest, sharded.train_rows)
        learnt = (
            pretrain.trace_document(d.document_id, {s.index: s.tokens for s in d.spans}, read)
            for d in sharded.documents
            if d.split == "train"
        )
        held_out = (d.document_id for d in sharded.documents if d.split == "validation")
        return PretrainTrace(read.num_steps, tuple(learnt), tuple(held_out))

    def _finetune(self, manifest: Manifest) -> Finding | None:
        train, validation, steps = (
            self._store.files(manifest, f"pairs/{side}.parquet")
            for side in ("train", "validation", "steps")
        )
        pairs = finetune.trace_documents(train, validation, steps, self.ids)
        base, problem = None, None
        try:
            base = cast("PretrainTrace | None", self._input(manifest, "pretrain"))
        except _InputGone as error:
            if not pairs:
                raise
            problem = str(error)
        if not pairs and base is None:
            return None
        return FinetuneTrace(pairs, bool(steps), _label(manifest, "pretrain"), base, problem)


def _label(manifest: Manifest, name: str) -> str:
    reference = manifest.inputs[name]
    return f"{reference.name}@{reference.version}"


def problem_of(error: Exception) -> str:
    """What to say of data that could not be read."""
    gone = isinstance(error, FileNotFoundError | DamagedArtifact | UnknownArtifact)
    return GONE if gone else f"data cannot be read: {error}"


def reading_of(store: Store, manifest: Manifest, train_rows: int) -> pretrain.Reading:
    """The order in which a base model read the `train_rows` rows of its shard artifact."""
    reference = manifest.inputs["shard"]
    sharded = store.manifest(reference.name, reference.version)
    knobs = {k: cast("int", manifest.config[k]) for k in ("seed", "batch_sequences", "tokens")}
    length = cast("int", sharded.config["sequence_length"])
    return pretrain.reading(**knobs, length=length, num_rows=train_rows)
