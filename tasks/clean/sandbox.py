"""Extraction in a child process that can be killed: a page that hangs or crashes costs that page.

trafilatura and lxml can loop for minutes or ask for terabytes on hostile pages (trafilatura #657,
#704), and no thread can be stopped in a C call; Pebble's pool kills and replaces its process.
"""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import TimeoutError as FutureTimeout
from types import TracebackType

from pebble import ProcessExpired, ProcessPool

from tasks.clean.config import Sandbox
from tasks.clean.extractors import Extraction, Extractor
from tasks.clean.filters import Verdict
from tasks.clean.text import decode


class ExtractionSandbox:
    """One child process for the pages of one shard. Use as a context manager."""

    def __init__(self, extractor: Extractor, limits: Sandbox) -> None:
        self._extractor = extractor
        self._limits = limits
        self._pool = ProcessPool(
            max_workers=1,
            initializer=_limit_memory,
            initargs=(limits.memory_bytes,),
            context=multiprocessing.get_context("spawn"),
        )

    def __enter__(self) -> ExtractionSandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._pool.close()  # type: ignore[no-untyped-call]
        else:
            self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def extract(self, body: bytes, charset: str, url: str) -> Extraction | Verdict:
        """Title and text of a page, or why there is none. Never raises for what a page does."""
        future = self._pool.schedule(
            _extract, args=(self._extractor, body, charset, url), timeout=self._limits.timeout_s
        )
        try:
            found: Extraction | Verdict = future.result()
        except FutureTimeout:
            limit = f"{self._limits.timeout_s:g} s"
            return Verdict("extractor_timeout", f"over {limit}", limit)
        except ProcessExpired as error:
            return Verdict("extractor_crashed", f"exit code {error.exitcode}", "exit code 0")
        except MemoryError:
            limit = f"{self._limits.memory_bytes} bytes"
            return Verdict("extractor_memory", f"over {limit}", limit)
        return found


def _limit_memory(num_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        num_bytes = min(num_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (num_bytes, num_bytes))


def _extract(extractor: Extractor, body: bytes, charset: str, url: str) -> Extraction | Verdict:
    """Runs in the child. What an extractor raises stays here: an exception that cannot be pickled
    and back would break the pool, and a SystemExit would be raised again in the parent.
    """
    try:
        return extractor.extract(decode(body, charset), url)
    except MemoryError:
        raise
    except BaseException as error:  # an extractor may raise anything on a hostile page
        return Verdict("extractor_failed", f"{type(error).__name__}: {error}"[:200], "no error")
