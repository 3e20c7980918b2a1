"""The requests to one bucket, through s3fs: what is asked, asked again, and what comes back.

s3fs and not boto3: one event loop carries every thread's requests, so that reading a thousand
manifests needs no thousand threads, and a large file goes up in parts, several at once. Of s3fs
only the plain calls and the upload are used: its listings' cache and its "is it there? then write"
are no ground for a commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError
from botocore.session import Session
from fsspec.asyn import sync
from s3fs import S3FileSystem

from storage.backends.s3_faults import Place, answer_of, explain_answer, explained, not_kept
from storage.errors import Fault, RequestError, StoreUnreachable

_T = TypeVar("_T")

REQUESTS_AT_ONCE = 32
PART_BYTES = 16 << 20  # a file goes up whole up to twice this, then in parts
_PARTS_AT_ONCE = 4
_MAX_PARTS = 10_000  # S3's own bound
_DELETE_BATCH = 1_000  # S3's own bound
_ATTEMPTS = 5
_CONFLICT_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_BROKEN_BODY = (BotoCoreError, aiohttp.ClientError, OSError)


class Found(NamedTuple):
    """An object, or a range of it."""

    data: bytes
    etag: str
    size: int
    """Bytes of the whole object."""


class Bucket:
    """Raises the errors of storage/errors.py, FileNotFoundError for a key that is not there."""

    def __init__(self, name: str, *, connect_timeout_s: float, read_timeout_s: float) -> None:
        self.name = name
        try:
            session = Session()
            self._attempts: int = session.get_config_variable("max_attempts") or _ATTEMPTS
            mode = session.get_config_variable("retry_mode")
        except (BotoCoreError, ValueError) as error:
            raise self._explained(error, "get_object") from None
        config = {
            "connect_timeout": connect_timeout_s,
            "read_timeout": read_timeout_s,
            "max_pool_connections": REQUESTS_AT_ONCE,
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

    def run(self, work: Callable[..., Coroutine[Any, Any, _T]], *arguments: Any) -> _T:
        """The result of a coroutine on s3fs's loop, from any thread."""
        result: _T = sync(self._fs.loop, work, *arguments)
        return result

    async def get(self, key: str, **wanted: str) -> Found | None:
        """The object, or the range of it that is `wanted`; None if it is not there."""
        failure: Exception
        for attempt in range(self._attempts):
            try:
                answer = await self._ask("get_object", key, **wanted)
            except Exception as error:
                if answer_of(error)[0] == 416:  # of an empty object no range can be had
                    return Found(b"", "", 0)
                refused = self._explained(error, "get_object", key)
                if isinstance(refused, FileNotFoundError):
                    return None
                raise refused from None
            try:
                async with answer["Body"] as body:
                    data = await body.read()
            except _BROKEN_BODY as error:  # once the headers are there, boto does not retry
                failure = error
                await asyncio.sleep(0.1 * 2**attempt)
                continue
            _, _, size = answer.get("ContentRange", "").rpartition("/")
            return Found(data, str(answer["ETag"]), int(size or len(data)))
        raise self._explained(failure, "get_object", key) from None

    async def put(self, key: str, data: bytes, **condition: str) -> str | None:
        """The ETag of what was written; None if the condition does not hold."""
        failure: Exception
        for wait_s in _CONFLICT_WAITS_S:
            try:
                return str((await self._ask("put_object", key, Body=data, **condition))["ETag"])
            except Exception as error:
                failure = error
            status, code = answer_of(failure)
            if status == 412 or (code == "NoSuchKey" and "IfMatch" in condition):
                return None
            if status != 409:  # 409: another conditional write of this key is under way
                break
            await asyncio.sleep(wait_s)
        raise self._explained(failure, "put_object", key) from None

    async def upload(self, key: str, source: Path) -> None:
        """Store a local file, in parts if it is large, and ask whether all of it is there."""
        if "?versionId=" in key:  # s3fs cuts the key there and would write another
            fault = Fault("store file", key, "no `?versionId=` in it", "Give it another name.")
            raise RequestError(fault)
        size = source.stat().st_size
        part = max(PART_BYTES, -(-size // _MAX_PARTS))
        try:
            await self._fs._put_file(
                str(source), f"{self.name}/{key}", chunksize=part, max_concurrency=_PARTS_AT_ONCE
            )
        except Exception as error:
            failure = self._explained(error, "put_file", key)
            # An object appears whole or not at all: of this size, only the answer was lost.
            if not isinstance(failure, StoreUnreachable) or await self._size(key) != size:
                raise failure from None
            return
        stored = await self._size(key)
        if stored != size:
            if stored is not None:
                await self.remove([key])
            found = "nothing" if stored is None else f"{stored} bytes, now removed"
            raise not_kept(self.place("put_file", key), found, size)

    async def _size(self, key: str) -> int | None:
        try:
            return int((await self._ask("head_object", key))["ContentLength"])
        except Exception as error:
            refused = self._explained(error, "head_object", key)
            if isinstance(refused, FileNotFoundError):
                return None
            raise refused from None

    async def pages(self, prefix: str, **options: str) -> AsyncIterator[dict[str, Any]]:
        """S3's answers to a listing of the keys that begin with `prefix`."""
        while True:
            try:
                page = await self._ask("list_objects_v2", Prefix=prefix, **options)
            except Exception as error:
                raise self._explained(error, "list_objects_v2", prefix) from None
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove the objects; one that is not there is fine."""
        for start in range(0, len(keys), _DELETE_BATCH):
            objects = [{"Key": key} for key in keys[start : start + _DELETE_BATCH]]
            wanted = {"Objects": objects, "Quiet": True}
            try:
                answer = await self._ask("delete_objects", Delete=wanted)
            except Exception as error:
                raise self._explained(error, "delete_objects", keys[start]) from None
            for line in answer.get("Errors", ()):
                code = str(line.get("Code", ""))
                if code != "NoSuchKey":
                    place = self.place("delete_objects", str(line.get("Key", "")))
                    raise explain_answer(403 if code == "AccessDenied" else 500, code, place)

    def place(self, operation: str, key: str = "") -> Place:
        """For an error's message."""
        client = getattr(getattr(self, "_fs", None), "_s3", None)
        endpoint = "" if client is None else str(client.meta.endpoint_url)
        return Place(operation, f"s3://{self.name}/{key}".rstrip("/"), endpoint)

    async def _ask(self, operation: str, key: str | None = None, **arguments: Any) -> Any:
        if key is not None:
            arguments["Key"] = key
        return await self._fs._call_s3(operation, Bucket=self.name, **arguments)

    def _explained(self, error: Exception, operation: str, key: str = "") -> Exception:
        return explained(error, self.place(operation, key))


async def gather(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """The results in order; at the first failure the rest is cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
