"""Extraction in a child process that can be killed: a page that hangs or crashes costs that page.

trafilatura and lxml can loop for minutes or ask for terabytes on hostile pages (trafilatura #657,
#704), and no thread can be stopped in a C call. One child, one page at a time, one pipe: its end
is the end of the pipe, so that no answer can be overtaken. Pebble 5.2 was tried: its pool looks for
dead children in one thread and reads their messages in another, and a child that died before its
message was read broke the whole pool (BrokenProcessPool, "All workers expired"; each time where
reading was 0.5 s late).
"""

from __future__ import annotations

import resource
from dataclasses import asdict, replace
from multiprocessing.connection import Connection

from storage.errors import RunError
from tasks.children import Child
from tasks.clean.config import Sandbox
from tasks.clean.extractors import Extraction, Extractor
from tasks.clean.extractors.extraction import read_metadata
from tasks.clean.filters import Verdict
from tasks.clean.text import decode


class ExtractionSandbox:
    """One child process for the pages of one shard, started when the first page comes.

    Use as a context manager, from one thread.
    """

    def __init__(self, extractor: Extractor, limits: Sandbox) -> None:
        self._extractor = extractor
        self._limits = limits
        self._child: Child | None = None

    def __enter__(self) -> ExtractionSandbox:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def extract(self, body: bytes, charset: str, url: str) -> Extraction | Verdict:
        """Title and text of a page, or why there is none. Never raises for what a page does.

        Raises RunError if the child does not start.
        """
        if self._child is None or self._child.has_ended():  # one that idles may be killed, too
            self._stop()
            self._child = _started(self._extractor, self._limits)
        try:
            self._child.pipe.send((body, charset, url))
            if not self._child.pipe.poll(self._limits.timeout_s):
                self._stop()
                limit = f"{self._limits.timeout_s:g} s"
                return Verdict("extractor_timeout", f"over {limit}", limit)
            found: Extraction | Verdict | None = self._child.pipe.recv()
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            return Verdict("extractor_crashed", f"exit code {self._stop()}", "exit code 0")
        if found is None:
            limit = f"{self._limits.memory_bytes} bytes"
            return Verdict("extractor_memory", f"over {limit}", limit)
        return found

    def _stop(self) -> int | None:
        """End the child, if there is one; returns its exit code."""
        child, self._child = self._child, None
        return None if child is None else child.end()


def _started(extractor: Extractor, limits: Sandbox) -> Child:
    """A child that waits for a page: imports are not the first page's time."""
    child = Child(serve)
    try:
        child.pipe.send((extractor, limits.memory_bytes))
        child.pipe.recv()
    except (EOFError, OSError) as error:
        raise RunError(
            f"the process that extracts text ended with exit code {child.end()} before its "
            "first page; expected it to wait for one. See what it wrote to the standard error "
            f"stream; clean.sandbox.memory_bytes, {limits.memory_bytes}, may be too small."
        ) from error
    except BaseException:
        child.end()
        raise
    return child


def serve(pipe: Connection) -> None:
    """Runs in the child: extract page after page, until the parent closes its end of the pipe."""
    extractor, memory_bytes = pipe.recv()
    _limit_memory(memory_bytes)
    pipe.send(None)
    while True:
        try:
            page = pipe.recv()
        except EOFError:
            return
        pipe.send(extract_page(extractor, *page))


def _limit_memory(num_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        num_bytes = min(num_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (num_bytes, num_bytes))


def extract_page(
    extractor: Extractor, body: bytes, charset: str, url: str
) -> Extraction | Verdict | None:
    """Title, text and metadata, or why there are none; None if it took too much memory.

    What an extractor raises stays here: an exception may not survive being pickled.
    """
    try:
        html = decode(body, charset)
        return replace(extractor.extract(html, url), **asdict(read_metadata(html, url)))
    except MemoryError:
        return None
    except BaseException as error:  # an extractor may raise anything on a hostile page
        return Verdict("extractor_failed", f"{type(error).__name__}: {error}"[:200], "no error")
