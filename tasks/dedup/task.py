"""How dedup is placed: the steps of `DedupWork`, each on a shard, some columns or a part."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.errors import NothingLeft
from tasks.dedup.contamination import ScreenWork
from tasks.dedup.documents import DocumentShard, document_shards
from tasks.dedup.editing import TextWork
from tasks.dedup.keys import EarlierIndex
from tasks.dedup.passes import Passes
from tasks.dedup.work import DedupWork, count_duplicates
from tasks.stage import Job, Outcome, count_rows, results


def build(job: Job) -> Outcome:
    """Go through all passes, each on what the one before it left."""
    documents = _select(job)
    passes = Passes(documents, _earlier(job), job.config, job.work)
    for work in passes.all:
        if isinstance(work, DedupWork):
            _drop_duplicates(work, with_index=work is passes.all[-1])
        elif isinstance(work, TextWork):
            _edit_texts(work)
        else:
            results([screen.submit(n, work) for n in range(1, work.num_shards + 1)])
    stats = count_duplicates(gather.submit(passes).result()) | passes.describe()
    rows_in, rows_out = count_rows(documents), count_rows(passes.all[-1].outputs)
    if rows_out == 0:
        raise NothingLeft(
            f"none of {rows_in} documents stays ({stats}); expected at least one. They are all "
            f"in the corpora of {job.instance}.against, or there was none."
        )
    return Outcome(rows_in, rows_out, stats)


def _select(job: Job) -> tuple[Path, ...]:
    """The documents that a classifier let through, in scratch where it scored them."""
    documents, scores = job.files("documents", "documents/"), job.files("scores", "scores/")
    if not scores:
        return tuple(documents)
    shards = document_shards(documents, scores, job.files("scores", "rejects/"))
    targets = [job.workspace.scratch / "selected" / shard.documents.name for shard in shards]
    chosen = enumerate(zip(shards, targets, strict=True), 1)
    results([select.submit(n, len(shards), shard, target) for n, (shard, target) in chosen])
    return tuple(targets)


def _earlier(job: Job) -> tuple[EarlierIndex, ...]:
    """The corpora that this one is held against; raises RequestError if one is not comparable."""
    found = []
    for corpus in job.inputs["against"]:
        documents = tuple(corpus.files("documents/"))
        found.append(EarlierIndex(corpus.label, corpus.folder("index/"), documents))
        found[-1].check(job.config)
    return tuple(found)


def _drop_duplicates(work: DedupWork, *, with_index: bool) -> None:
    """One pass of methods that drop documents."""
    shards, steps = range(1, work.num_shards + 1), range(1, work.num_groups + 1)
    results([sign.submit(number, work) for number in shards])
    results([link.submit(number, work) for number in steps])
    num_parts = connect.submit(work).result()
    results([shortlist.submit(number, work) for number in range(1, work.num_listed + 1)])
    results([match.submit(n, num_parts, work) for n in range(1, num_parts + 1)])
    conclude.submit(work).result()
    results([filter_documents.submit(number, work) for number in shards])
    if with_index:
        results([index.submit(number, work) for number in steps])


def _edit_texts(work: TextWork) -> None:
    """One pass of a method that cuts repeats out of texts."""
    shards = range(1, work.num_shards + 1)
    rank.submit(work).result()
    results([survey.submit(number, work) for number in shards])
    num_parts = work.num_parts
    results([find_repeats.submit(n, num_parts, work) for n in range(1, num_parts + 1)])
    results([edit.submit(number, work) for number in shards])


@task(task_run_name="select shard {number} of {count}", cache_policy=NO_CACHE)
def select(number: int, count: int, shard: DocumentShard, target: Path) -> None:
    """Write the documents of one shard that the quality stage let through."""
    shard.select(target)


@task(task_run_name="sign shard {number} of {work.num_shards}", cache_policy=NO_CACHE)
def sign(number: int, work: DedupWork) -> None:
    """Write the candidate keys of one shard."""
    work.sign(number - 1)


@task(task_run_name="link documents {number} of {work.num_groups}", cache_policy=NO_CACHE)
def link(number: int, work: DedupWork) -> None:
    """Find documents that share a key, in some columns of keys."""
    work.link(number - 1)


@task(task_run_name="connect documents", cache_policy=NO_CACHE)
def connect(work: DedupWork) -> int:
    """Put what is linked together; returns in how many parts it is to be measured."""
    return work.connect()


@task(task_run_name="shortlist shard {number} of {work.num_listed}", cache_policy=NO_CACHE)
def shortlist(number: int, work: DedupWork) -> None:
    """Write the shingles of the candidates of one shard, or of an earlier corpus."""
    work.shortlist(number - 1)


@task(task_run_name="match documents {number} of {count}", cache_policy=NO_CACHE)
def match(number: int, count: int, work: DedupWork) -> None:
    """Measure candidate pairs and decide which documents go."""
    work.match(number - 1)


@task(task_run_name="write evidence", cache_policy=NO_CACHE)
def conclude(work: DedupWork) -> Path:
    """Write the evidence of all drops; returns the file."""
    return work.conclude()


@task(task_run_name="filter shard {number} of {work.num_shards}", cache_policy=NO_CACHE)
def filter_documents(number: int, work: DedupWork) -> Path:
    """Write one shard without its duplicates; returns the documents file."""
    return work.filter(number - 1)


@task(task_run_name="index documents {number} of {work.num_groups}", cache_policy=NO_CACHE)
def index(number: int, work: DedupWork) -> None:
    """Sort some columns of the keys of what stays, for later corpora."""
    work.index(number - 1)


@task(task_run_name="rank documents for {work.method.kind}", cache_policy=NO_CACHE)
def rank(work: TextWork) -> None:
    """Put all documents into the order of the keep policy."""
    work.rank()


@task(
    task_run_name="{work.method.kind} of shard {number} of {work.num_shards}", cache_policy=NO_CACHE
)
def survey(number: int, work: TextWork) -> None:
    """Write the pieces of one shard's texts."""
    work.survey(number - 1)


@task(task_run_name="find {work.method.kind} {number} of {count}", cache_policy=NO_CACHE)
def find_repeats(number: int, count: int, work: TextWork) -> None:
    """Find pieces that stand in several places."""
    work.find(number - 1)


@task(
    task_run_name="cut {work.method.kind} of shard {number} of {work.num_shards}",
    cache_policy=NO_CACHE,
)
def edit(number: int, work: TextWork) -> Path:
    """Write one shard without what repeats; returns the documents file."""
    return work.edit(number - 1)


@task(task_run_name="screen shard {number} of {work.num_shards}", cache_policy=NO_CACHE)
def screen(number: int, work: ScreenWork) -> Path:
    """Write one shard without what is in an evaluation set; returns the documents file."""
    return work.screen(number - 1)


@task(task_run_name="gather evidence", cache_policy=NO_CACHE)
def gather(passes: Passes) -> Path:
    """Put the evidence of all passes together; returns the file of duplicates."""
    return passes.gather()
