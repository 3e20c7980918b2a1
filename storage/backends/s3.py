"""A bucket of S3, or of whatever speaks its API: MinIO, Ceph, R2 and others.

The commit protocol stands on S3's conditional writes (If-None-Match and If-Match); a store that
knows of none is refused at the first write. Every answer that does not come is settled by reading
back, and so is every yes: a manifest that S3 took and does not hold must not count as sealed.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

s3fs and not boto3: one event loop carries every thread's requests, so that reading a thousand
manifests needs no thousand threads, and a large file goes up in parts, several at once. Of s3fs
only the plain calls and the upload are used: its listings' cache and its "is it there? then write"
are no ground for a commit.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError
from botocore.session import Session
from fsspec.asyn import sync
from s3fs import S3FileSystem

from storage.backends.s3_faults import (
    Place,
    answer_of,
    condition_ignored,
    explain_answer,
    explained,
    not_kept,
)
from storage.errors import Fault, RequestError, StoreUnreachable

_P = ParamSpec("_P")
_T = TypeVar("_T")

_REQUESTS_AT_ONCE = 32
_PART_BYTES = 16 << 20  # a file goes up whole up to twice this, then in parts
_PARTS_AT_ONCE = 4
_MAX_PARTS = 10_000  # S3's own bound
_DELETE_BATCH = 1_000  # S3's own bound
_ATTEMPTS = 5
_CONFLICT_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_BROKEN_BODY = (BotoCoreError, aiohttp.ClientError, OSError)
_RANGE_BYTES = 8 << 20
_RANGES_AT_ONCE = 4  # `chunks` holds 32 MiB at most
_NO_ETAG = f'"{"0" * 32}"'


class Found(NamedTuple):
    """An object, or a range of it."""

    data: bytes
    etag: str
    size: int
    """Bytes of the whole object."""


def _on_loop(
    work: Callable[Concatenate[S3Backend, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[S3Backend, _P], _T]:
    """Run a coroutine on s3fs's loop and wait for its result, from any thread."""

    @functools.wraps(work)
    def run(self: S3Backend, /, *arguments: _P.args, **named: _P.kwargs) -> _T:
        result: _T = sync(self._fs.loop, work, self, *arguments, **named)
        return result

    return run


class S3Backend:
    """Keys are objects under a prefix; credentials and endpoint are what boto's own chain finds.

    A request is tried AWS_MAX_ATTEMPTS times, or as often as the profile says, otherwise five
    times. What reading back cannot tell: a `swap` whose answer was lost, and whose bytes another
    has replaced meanwhile, returns False. A kill during an upload in parts leaves parts that no
    listing shows; the bucket's lifecycle rule AbortIncompleteMultipartUpload clears them. Safe to
    use from several threads.
    """

    def __init__(
        self, address: str, *, connect_timeout_s: float = 10, read_timeout_s: float = 60
    ) -> None:
        self._bucket, self._prefix = _parsed(address)
        self.address = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        self._proven = set[str]()
        try:
            session = Session()
            self._attempts: int = session.get_config_variable("max_attempts") or _ATTEMPTS
            mode = session.get_config_variable("retry_mode")
        except (BotoCoreError, ValueError) as error:
            raise explained(error, Place("get_object", f"s3://{self._bucket}", "")) from None
        config = {
            "connect_timeout": connect_timeout_s,
            "read_timeout": read_timeout_s,
            "max_pool_connections": _REQUESTS_AT_ONCE,
            # "legacy" is what boto says where nobody chose; it retries fewer kinds of failure.
            "retries": {
                "total_max_attempts": self._attempts,
                "mode": "standard" if mode == "legacy" else mode,
            },
        }
        # An instance shared with others of the process would share its settings, too.
        self._fs = S3FileSystem(
            config_kwargs=config, use_listings_cache=False, skip_instance_cache=True
        )
        self._fs.retries = 1  # boto retries already; the two would multiply to 25 attempts

    def local_path(self, key: str) -> Path | None:
        return None

    @_on_loop
    async def create(self, key: str, data: bytes) -> bool:
        key = self._key(key)
        etag, found = await self._write(key, data, None, IfNoneMatch="*")
        if etag is None:
            return found is not None and found.data == data
        if found is None or found.data != data:
            if found is not None and found.etag == etag:  # ours and torn: it must not be a commit
                await self._remove([key])
            raise self._not_kept(key, data, found)
        await self._prove(key, data, IfNoneMatch="*")
        return True

    @_on_loop
    async def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        key = self._key(key)
        before = await self._find(key)
        if (None if before is None else before.data) != expected:
            return False
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.etag}
        etag, found = await self._write(key, data, expected, **condition)
        if etag is None:  # boto and aiohttp ask again after a lost answer: it may be ours
            return found is not None and found.data == data
        if found is not None and found.data == data:
            await self._prove(key, data, IfMatch=_NO_ETAG)
        elif _etag(found) in (etag, _etag(before)):  # torn, or as if nothing had been asked
            raise self._not_kept(key, data, found)
        return True  # where it is not ours now, another has replaced or removed it since

    def read(self, key: str) -> bytes | None:
        return self.read_all([key])[0]

    @_on_loop
    async def read_all(self, keys: Sequence[str]) -> list[bytes | None]:
        free = asyncio.Semaphore(_REQUESTS_AT_ONCE)

        async def read(key: str) -> bytes | None:
            async with free:
                found = await self._find(self._key(key))
                return None if found is None else found.data

        return await _gather(read(key) for key in keys)

    @_on_loop
    async def sizes(self, prefix: str) -> dict[str, int]:
        folder = self._folder(prefix)
        found = {
            item["Key"].removeprefix(folder): int(item["Size"])
            async for page in self._pages(folder)
            for item in page.get("Contents", ())
        }
        # S3's consoles mark a "folder" by an empty object whose key ends with a slash.
        return {path: size for path, size in found.items() if path and not path.endswith("/")}

    @_on_loop
    async def children(self, prefix: str) -> list[str]:
        folder, names = self._folder(prefix), set[str]()
        async for page in self._pages(folder, Delimiter="/"):
            names.update(item["Key"] for item in page.get("Contents", ()))
            names.update(item["Prefix"].rstrip("/") for item in page.get("CommonPrefixes", ()))
        return sorted(name.removeprefix(folder) for name in names - {folder})

    @_on_loop
    async def put_file(self, key: str, source: Path) -> None:
        """Upload in parts if the file is large, and ask whether all of it is there."""
        key = self._key(key)
        if "?versionId=" in key:  # s3fs cuts the key there and would write another
            fault = Fault("store file", key, "no `?versionId=` in it", "Give it another name.")
            raise RequestError(fault)
        size, failure = source.stat().st_size, None
        part = max(_PART_BYTES, -(-size // _MAX_PARTS))
        try:
            await self._fs._put_file(
                str(source), f"{self._bucket}/{key}", chunksize=part, max_concurrency=_PARTS_AT_ONCE
            )
        except Exception as error:
            failure = explained(error, self._place("put_file", key))
            if not isinstance(failure, StoreUnreachable):
                raise failure from None
        try:
            stored = int((await self._ask("head_object", key, Key=key))["ContentLength"])
        except FileNotFoundError:
            stored = None
        if stored == size:  # an object appears whole or not at all: also if the answer was lost
            return
        if failure is not None:
            raise failure
        if stored is not None:
            await self._remove([key])
        held = "nothing" if stored is None else f"{stored} bytes, now removed"
        raise not_kept(self._place("put_file", key), held, size)

    def chunks(self, key: str) -> Iterator[bytes]:
        # Ranges, not one open stream: a break costs one range, and whoever stops reading in the
        # middle leaves no connection behind.
        (first,) = self._ranges(key, [0], None)
        if first.data:
            yield first.data
        starts = range(len(first.data), first.size, _RANGE_BYTES)
        for index in range(0, len(starts), _RANGES_AT_ONCE):
            ranges = self._ranges(key, starts[index : index + _RANGES_AT_ONCE], first)
            yield from (each.data for each in ranges)

    @_on_loop
    async def delete(self, prefix: str) -> None:
        pages = self._pages(self._folder(prefix))
        keys = [str(item["Key"]) async for page in pages for item in page.get("Contents", ())]
        await self._remove([*keys, *([self._key(prefix)] if prefix else [])])

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _folder(self, prefix: str) -> str:
        return "".join(f"{part}/" for part in (self._prefix, prefix) if part)

    # --- on the event loop; keys are the bucket's ---------------------------------------------

    async def _write(
        self, key: str, data: bytes, expected: bytes | None, **condition: str
    ) -> tuple[str | None, Found | None]:
        """The ETag of what was written, if the store says that it was; and what lies there now.

        Raises StoreUnreachable where no answer came, and nothing was written.
        """
        try:
            etag = await self._put(key, data, **condition)
        except StoreUnreachable:
            found = await self._find(key)  # did it arrive, and only the answer was lost?
            if found is None or found.data == expected != data:
                raise
            return None, found
        return etag, await self._find(key)

    async def _prove(self, key: str, data: bytes, **condition: str) -> None:
        """Once for each condition: write the same bytes again where it cannot hold.

        A store that has never heard of conditions takes the write, and would take any.
        """
        (kind,) = condition
        if kind in self._proven:
            return
        try:
            etag = await self._put(key, data, **condition)
        except StoreUnreachable:
            return  # what was asked for is done; the next write asks this again
        if etag is not None:
            raise condition_ignored(self._place("put_object", key), kind)
        self._proven.add(kind)

    def _not_kept(self, key: str, data: bytes, found: Found | None) -> StoreUnreachable:
        held = "nothing" if found is None else f"{len(found.data)} other bytes"
        return not_kept(self._place("put_object", key), held, len(data))

    async def _put(self, key: str, data: bytes, **condition: str) -> str | None:
        """The ETag of what was written; None if the condition does not hold."""
        failure: Exception
        for wait_s in _CONFLICT_WAITS_S:
            try:
                return str(
                    (await self._call("put_object", Key=key, Body=data, **condition))["ETag"]
                )
            except Exception as error:
                failure = error
            status, code = answer_of(failure)
            if status == 412 or (code == "NoSuchKey" and "IfMatch" in condition):
                return None
            if status != 409:  # 409: another conditional write of this key is under way
                break
            await asyncio.sleep(wait_s)
        raise explained(failure, self._place("put_object", key)) from None

    async def _find(self, key: str) -> Found | None:
        try:
            return await self._get(key)
        except FileNotFoundError:
            return None

    async def _get(self, key: str, **wanted: str) -> Found:
        """The object, or the range of it that is `wanted`. Raises FileNotFoundError."""
        failure: Exception
        for attempt in range(self._attempts):
            try:
                answer = await self._call("get_object", Key=key, **wanted)
            except Exception as error:
                if answer_of(error)[0] == 416:  # of an empty object no range can be had
                    return Found(b"", "", 0)
                raise explained(error, self._place("get_object", key)) from None
            try:
                async with answer["Body"] as body:
                    data = await body.read()
            except _BROKEN_BODY as error:  # once the headers are there, boto does not retry
                failure = error
                await asyncio.sleep(0.1 * 2**attempt)
                continue
            _, _, size = answer.get("ContentRange", "").rpartition("/")
            return Found(data, str(answer["ETag"]), int(size or len(data)))
        raise explained(failure, self._place("get_object", key)) from None

    @_on_loop
    async def _ranges(self, key: str, starts: Sequence[int], first: Found | None) -> list[Found]:
        """At most eight MiB from each start on; of the same object as the range `first`."""
        return await _gather(self._range(self._key(key), start, first) for start in starts)

    async def _range(self, key: str, start: int, first: Found | None) -> Found:
        same = {"IfMatch": first.etag} if first else {}
        found = await self._get(key, Range=f"bytes={start}-{start + _RANGE_BYTES - 1}", **same)
        if len(found.data) not in (found.size, min(_RANGE_BYTES, found.size - start)):
            held = f"{len(found.data)} bytes from byte {start} on"
            raise not_kept(self._place("get_object", key), held, found.size)
        return found

    async def _pages(self, prefix: str, **options: str) -> AsyncIterator[dict[str, Any]]:
        """S3's answers to a listing of the keys that begin with `prefix`."""
        while True:
            page = await self._ask("list_objects_v2", prefix, Prefix=prefix, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    async def _remove(self, keys: Sequence[str]) -> None:
        """Remove the objects; one that is not there is fine."""
        for start in range(0, len(keys), _DELETE_BATCH):
            objects = [{"Key": key} for key in keys[start : start + _DELETE_BATCH]]
            wanted = {"Objects": objects, "Quiet": True}
            answer = await self._ask("delete_objects", keys[start], Delete=wanted)
            for line in answer.get("Errors", ()):
                code = str(line.get("Code", ""))
                if code != "NoSuchKey":
                    place = self._place("delete_objects", str(line.get("Key", "")))
                    raise explain_answer(403 if code == "AccessDenied" else 500, code, place)

    async def _ask(self, operation: str, key: str, **arguments: Any) -> Any:
        """S3's answer; raises what its refusal means, of `key` or of the keys that begin so."""
        try:
            return await self._call(operation, **arguments)
        except Exception as error:
            raise explained(error, self._place(operation, key)) from None

    async def _call(self, operation: str, **arguments: Any) -> Any:
        return await self._fs._call_s3(operation, Bucket=self._bucket, **arguments)

    def _place(self, operation: str, key: str) -> Place:
        """For an error's message."""
        client = self._fs._s3
        endpoint = "" if client is None else str(client.meta.endpoint_url)
        return Place(operation, f"s3://{self._bucket}/{key}".rstrip("/"), endpoint)


async def _gather(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """The results in order; at the first failure the rest is cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def _etag(found: Found | None) -> str | None:
    return None if found is None else found.etag


def _parsed(address: str) -> tuple[str, str]:
    """The bucket and the prefix; the message of a refusal repeats nothing that may be a secret."""
    name, _, path = address.removeprefix("s3://").partition("/")
    parts = [part for part in path.split("/") if part]
    if "@" in name or ":" in name or "?" in address:
        found = "more than a bucket and a prefix (credentials, a port, options)"
        remedy = (
            "Take them out: credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or "
            "a profile in ~/.aws, another endpoint into AWS_ENDPOINT_URL."
        )
    elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", name):
        found = "a name that no bucket can have" if name else "no bucket"
        remedy = "A bucket's name is made of lower-case letters, digits, dots and hyphens."
    elif {".", ".."}.intersection(parts):
        found, remedy = "`.` or `..` in the prefix", "Write the prefix out."
    else:
        return name, "/".join(parts)
    expected = "s3://BUCKET or s3://BUCKET/PREFIX"
    raise RequestError(Fault("store s3://…", found, expected, remedy))
