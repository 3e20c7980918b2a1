"""Python's documentation server as a child process, for a crawl of a real site on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from storage.errors import SiteUnreachable
from tasks.crawl.sources.web import PydocSite

_START_S = 30.0


@contextmanager
def serving(site: PydocSite | None) -> Iterator[None]:
    """Serve `site` inside the block and stop it by its own process id at the end.

    The server dies with us even after a kill -9: it reads its prompt from a pipe that we hold, and
    ends when the pipe closes.
    """
    if site is None:
        yield
        return
    process = _start(site.port)
    try:
        yield
    finally:
        process.terminate()
        process.communicate()  # also closes the pipe


def _start(port: int) -> subprocess.Popen[bytes]:
    """Start the server and wait until it answers.

    What it serves should be Python's documentation and nothing of this machine: no site-packages
    (`-S`, `-P`), the standard library as working directory (pydoc lists any other), and an almost
    empty environment (pydoc publishes `os.environ`). A fixed hash seed makes sets print alike.
    """
    deadline = time.monotonic() + _START_S
    while True:
        process = subprocess.Popen(
            [sys.executable, "-S", "-P", "-m", "pydoc", "-p", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=sysconfig.get_path("stdlib"),
            env={"PYTHONHASHSEED": "0", "PATH": os.defpath, "LANG": "C.UTF-8"},
        )
        if _answers(process, port, deadline):
            return process
        process.kill()
        process.communicate()
        if time.monotonic() > deadline:
            raise SiteUnreachable(
                f"Python's documentation server did not start on localhost:{port} within "
                f"{_START_S:.0f} s; expected the port to be free. Choose another with "
                "--set crawl.source.site.port=PORT and the same port in crawl.source.seeds."
            )
        time.sleep(0.5)  # the port may still belong to the server of a run that was killed


def _answers(process: subprocess.Popen[bytes], port: int, deadline: float) -> bool:
    """Whether this very child, still alive, serves the page that only pydoc serves.

    It must hold the port itself: a server may have been there before.
    """
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/topics.html", timeout=10) as page:
                ours = b"pydoc" in page.read(4096).lower()
            held = psutil.Process(process.pid).net_connections("tcp")
            listens = any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in held)
            if ours and listens:
                return True
        except (urllib.error.URLError, OSError, psutil.Error):  # psutil's: it has ended
            pass
        time.sleep(0.1)
    return False
