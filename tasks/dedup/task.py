"""How dedup is placed: the steps of `DedupWork`, each on a shard, some columns or a part."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.dedup.contamination import ScreenWork
from tasks.dedup.documents import DocumentShard
from tasks.dedup.editing import TextWork
from tasks.dedup.passes import Passes
from tasks.dedup.work import DedupWork


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
