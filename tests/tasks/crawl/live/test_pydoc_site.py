from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from storage.errors import SiteUnreachable
from tasks.crawl.live import pydoc_site
from tasks.crawl.live.pydoc_site import serving
from tasks.crawl.sources.web import PydocSite


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _read(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=10) as page:
        return str(page.read().decode())


def _end(port: int) -> bool:
    """Whether nobody listens there any more, or does not after a short while."""
    for _ in range(100):
        if not _listens(port):
            return True
        time.sleep(0.05)
    return False


def test_no_site_is_nothing_to_do() -> None:
    with serving(None):
        pass


def test_it_serves_the_documentation_and_ends_with_the_block(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    start = pydoc_site._start
    monkeypatch.setattr(
        pydoc_site, "_start", lambda port: started.append(start(port)) or started[0]
    )
    monkeypatch.setenv("PHUSA_TEST_SECRET", "hunter2")
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        with serving(PydocSite(port=free_port)):
            assert "heapq" in _read(free_port, "/")
            page = _read(free_port, "/heapq.html")
            assert "heappushpop" in page
            assert _read(free_port, "/heapq.html") == page
            assert "hunter2" not in _read(free_port, "/os.html")
        assert _end(free_port)
        assert [process.poll() for process in started] == [-signal.SIGTERM]
        assert other.poll() is None  # only its own child was ended
        other.communicate(b"\n")


def test_it_ends_when_the_block_fails(free_port: int) -> None:
    with pytest.raises(RuntimeError), serving(PydocSite(port=free_port)):
        raise RuntimeError
    assert _end(free_port)


def test_a_taken_port_is_unreachable_with_a_remedy(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pydoc_site, "_START_S", 1.0)
    site.routes["/topics.html"] = "this pydoc is another one"
    with pytest.raises(SiteUnreachable) as caught, serving(PydocSite(port=site.port)):
        pass
    assert f"localhost:{site.port}" in str(caught.value)
    assert "--set crawl.source.site.port=PORT" in str(caught.value)
    assert _listens(site.port)  # whoever had the port still has it


KILLED = """
import sys, time
from tasks.crawl.live.pydoc_site import serving
from tasks.crawl.sources.web import PydocSite
with serving(PydocSite(port=int(sys.argv[1]))):
    print("serving", flush=True)
    time.sleep(60)
"""


def test_the_server_dies_with_a_killed_crawl(free_port: int) -> None:
    command = [sys.executable, "-c", KILLED, str(free_port)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[4]
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"
    assert _listens(free_port)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert _end(free_port)
