"""What wget itself writes, of a site that answers in chunks and packed."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasks.crawl.sources import WarcSource
from tests.tasks.crawl.sources.reading import read_all
from tests.tasks.crawl.sources.warcs import chunked

WGET = shutil.which("wget")
PATHS = ("/", "/chunked", "/packed", "/both")
pytestmark = pytest.mark.skipif(WGET is None, reason="wget is not installed")


def _body(path: str) -> bytes:
    links = "".join(f'<a href="{other}">x</a>' for other in (*PATHS, "/gone", "/moved"))
    return f"<html><body><p>Page {path}</p>{links}</body></html>".encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body, headers = _body(self.path), {"Content-Type": "text/html; charset=utf-8"}
        if self.path in ("/packed", "/both"):
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        if self.path in ("/chunked", "/both"):
            body, headers["Transfer-Encoding"] = chunked(body), "chunked"
        else:
            headers["Content-Length"] = str(len(body))
        self.send_response(200 if self.path in PATHS else 301 if self.path == "/moved" else 404)
        if self.path == "/moved":
            headers["Location"] = "/"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("knobs", [[], ["--compression=auto"], ["--no-warc-compression"]])
def test_a_mirror_by_wget(url: str, tmp_path: Path, knobs: list[str]) -> None:
    command = [str(WGET), "--quiet", "--no-proxy", "--execute", "robots=off", "--recursive"]
    warc = f"--warc-file={tmp_path / 'site'}"
    subprocess.run([*command, *knobs, warc, f"{url}/"], cwd=tmp_path, timeout=60, check=False)
    (made,) = tmp_path.glob("site.warc*")
    pages, rejects = read_all(WarcSource(paths=(str(made),)), tmp_path / "scratch")
    assert {page: pages[page].body for page in pages} == {
        f"{url}{path}": _body(path) for path in PATHS
    }
    reasons = {reject.url.removeprefix(url): reject.reason for reject in rejects}
    assert reasons.pop("/gone") == "http_404"
    assert reasons.pop("/moved") == "redirected"
    # wget's own arguments and log, as `resource` records of metadata://gnu.org/…
    assert set(reasons.values()) == {"invalid_url"}
