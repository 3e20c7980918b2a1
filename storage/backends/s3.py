"""A bucket of S3, or of whatever speaks its API: MinIO, Ceph, R2 and others.

The commit protocol stands on S3's conditional writes (If-None-Match and If-Match); a store that
knows of none is refused at the first write. Every answer that does not come is settled by reading
back, and so is every yes: a manifest that S3 took and does not hold must not count as sealed.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from storage.backends.s3_bucket import REQUESTS_AT_ONCE, Bucket, Found, gather
from storage.backends.s3_faults import condition_ignored, not_kept
from storage.errors import Fault, RequestError, StoreUnreachable

_RANGE_BYTES = 8 << 20
_NO_ETAG = f'"{"0" * 32}"'
_RANGES_AT_ONCE = 4  # `chunks` holds 32 MiB at most


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
        name, self._prefix = _parsed(address)
        self.address = f"s3://{name}/{self._prefix}".rstrip("/")
        self._proven = set[str]()
        self._bucket = Bucket(
            name, connect_timeout_s=connect_timeout_s, read_timeout_s=read_timeout_s
        )

    def local_path(self, key: str) -> Path | None:
        return None

    def create(self, key: str, data: bytes) -> bool:
        return self._bucket.run(self._create, self._key(key), data)

    def swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        return self._bucket.run(self._swap, self._key(key), data, expected)

    def read(self, key: str) -> bytes | None:
        return self.read_all([key])[0]

    def read_all(self, keys: Sequence[str]) -> list[bytes | None]:
        return self._bucket.run(self._read_all, [self._key(key) for key in keys])

    def sizes(self, prefix: str) -> dict[str, int]:
        return self._bucket.run(self._sizes, self._folder(prefix))

    def children(self, prefix: str) -> list[str]:
        return self._bucket.run(self._children, self._folder(prefix))

    def put_file(self, key: str, source: Path) -> None:
        self._bucket.run(self._bucket.upload, self._key(key), source)

    def chunks(self, key: str) -> Iterator[bytes]:
        # Ranges, not one open stream: a break costs one range, and whoever stops reading in the
        # middle leaves no connection behind.
        first = self._bucket.run(self._range, self._key(key), 0)
        if first.data:
            yield first.data
        batch = _RANGE_BYTES * _RANGES_AT_ONCE
        for start in range(len(first.data), first.size, batch):
            yield from self._bucket.run(self._ranges, self._key(key), start, first)

    def delete(self, prefix: str) -> None:
        key = self._key(prefix) if prefix else None
        self._bucket.run(self._delete, key, self._folder(prefix))

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _folder(self, prefix: str) -> str:
        return "".join(f"{part}/" for part in (self._prefix, prefix) if part)

    # --- on the event loop; keys are the bucket's ---------------------------------------------

    async def _create(self, key: str, data: bytes) -> bool:
        try:
            etag = await self._bucket.put(key, data, IfNoneMatch="*")
        except StoreUnreachable:
            found = await self._bucket.get(key)  # did it arrive, and only the answer was lost?
            if found is None:
                raise
            return found.data == data
        found = await self._bucket.get(key)
        if etag is None:
            return found is not None and found.data == data
        if found is None or found.data != data:
            if found is not None and found.etag == etag:  # ours and torn: it must not be a commit
                await self._bucket.remove([key])
            raise self._not_kept(key, data, found)
        await self._prove(key, data, IfNoneMatch="*")
        return True

    async def _swap(self, key: str, data: bytes, expected: bytes | None) -> bool:
        before = await self._bucket.get(key)
        if (None if before is None else before.data) != expected:
            return False
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.etag}
        try:
            etag = await self._bucket.put(key, data, **condition)
        except StoreUnreachable:
            found = await self._bucket.get(key)
            if found is None or found.data == expected != data:
                raise
            return found.data == data
        found = await self._bucket.get(key)
        if found is not None and found.data == data:
            await self._prove(key, data, IfMatch=_NO_ETAG)
            return True  # also where `etag` is None: boto and aiohttp ask again after a lost answer
        if etag is None:
            return False
        if _etag(found) in (etag, _etag(before)):  # torn, or as if nothing had been asked
            raise self._not_kept(key, data, found)
        return True  # another has replaced or removed it since

    async def _prove(self, key: str, data: bytes, **condition: str) -> None:
        """Once for each condition: write the same bytes again where it cannot hold.

        A store that has never heard of conditions takes the write, and would take any.
        """
        (kind,) = condition
        if kind in self._proven:
            return
        try:
            etag = await self._bucket.put(key, data, **condition)
        except StoreUnreachable:
            return  # what was asked for is done; the next write asks this again
        if etag is not None:
            raise condition_ignored(self._bucket.place("put_object", key), kind)
        self._proven.add(kind)

    def _not_kept(self, key: str, data: bytes, found: Found | None) -> StoreUnreachable:
        held = "nothing" if found is None else f"{len(found.data)} other bytes"
        return not_kept(self._bucket.place("put_object", key), held, len(data))

    async def _read_all(self, keys: Sequence[str]) -> list[bytes | None]:
        free = asyncio.Semaphore(REQUESTS_AT_ONCE)

        async def read(key: str) -> bytes | None:
            async with free:
                found = await self._bucket.get(key)
                return None if found is None else found.data

        return await gather(read(key) for key in keys)

    async def _range(self, key: str, start: int, first: Found | None = None) -> Found:
        """At most eight MiB from `start` on; of the same object as the range `first`."""
        same = {"IfMatch": first.etag} if first else {}
        last = start + _RANGE_BYTES - 1
        found = await self._bucket.get(key, Range=f"bytes={start}-{last}", **same)
        place = self._bucket.place("get_object", key)
        if found is None:
            raise FileNotFoundError(place.address)
        if len(found.data) not in (found.size, min(_RANGE_BYTES, found.size - start)):
            raise not_kept(place, f"{len(found.data)} bytes from byte {start} on", found.size)
        return found

    async def _ranges(self, key: str, start: int, first: Found) -> list[bytes]:
        stop = min(start + _RANGE_BYTES * _RANGES_AT_ONCE, first.size)
        starts = range(start, stop, _RANGE_BYTES)
        return [each.data for each in await gather(self._range(key, s, first) for s in starts)]

    async def _sizes(self, folder: str) -> dict[str, int]:
        found = {
            item["Key"].removeprefix(folder): int(item["Size"])
            async for page in self._bucket.pages(folder)
            for item in page.get("Contents", ())
        }
        # S3's consoles mark a "folder" by an empty object whose key ends with a slash.
        return {path: size for path, size in found.items() if path and not path.endswith("/")}

    async def _children(self, folder: str) -> list[str]:
        names = set[str]()
        async for page in self._bucket.pages(folder, Delimiter="/"):
            names.update(item["Key"] for item in page.get("Contents", ()))
            names.update(item["Prefix"].rstrip("/") for item in page.get("CommonPrefixes", ()))
        return sorted(name.removeprefix(folder) for name in names - {folder})

    async def _delete(self, key: str | None, folder: str) -> None:
        pages = self._bucket.pages(folder)
        keys = [str(item["Key"]) async for page in pages for item in page.get("Contents", ())]
        await self._bucket.remove([*keys, *([key] if key else [])])


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
