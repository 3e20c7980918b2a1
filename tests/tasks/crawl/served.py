"""A folder of HTML behind nginx, or behind Python's server where there is no nginx.

The tests of kills and `benchmarks/crawling.py` crawl these.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.flows.servers import free_port, started

_DOC = Path("/usr/share/doc")
DOCUMENTATION = (
    _DOC / "gcc-12-base/libstdc++",
    _DOC / "postgresql-doc-15/html",
    _DOC / "python3.11/html",
)
"""What the Debian packages libstdc++-12-doc, postgresql-doc-15 and python3.11-doc bring."""
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
_CONFIG = """
{user}
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
    types {{ text/html html htm; text/css css; image/png png; image/svg+xml svg; text/plain txt; }}
    default_type application/octet-stream;
    log_format asked '$request_uri'; access_log {folder}/access.log asked;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    sendfile on; keepalive_requests 1000000;
    server {{ listen 127.0.0.1:{port} backlog=512; {serve} }}
}}
"""


@dataclass(frozen=True)
class Served:
    """A website; `asked` are the paths of all requests so far."""

    url: str
    asked: Callable[[], Sequence[str]]


class _Log:
    """Reads what was added to an access log since the last time."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._lines = path, 0, list[str]()

    def __call__(self) -> Sequence[str]:
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._lines += whole.decode().splitlines()
        return self._lines


def documentation() -> Path | None:
    """The largest documentation that is installed."""
    return next((folder for folder in DOCUMENTATION if (folder / "index.html").exists()), None)


@contextmanager
def nginx(serve: str, folder: Path, words: Sequence[object] = ()) -> Iterator[Served]:
    """nginx with the directives `serve` in its only server; `words` come before its command."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    user = "user root;" if os.getuid() == 0 else ""
    text = _CONFIG.format(user=user, folder=folder, port=port, serve=serve)
    (folder / "nginx.conf").write_text(text)
    command = [*words, NGINX, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]
    with started(command, folder / "nginx.log", lambda: _listens(port)):
        yield Served(f"http://127.0.0.1:{port}/", _Log(folder / "access.log"))


@contextmanager
def served(root: Path, folder: Path) -> Iterator[Served]:
    """The files under `root`."""
    if NGINX:
        with nginx(f"root {root}; index index.html;", folder) as site:
            yield site
    else:
        with _python(root) as site:
            yield site


@contextmanager
def _python(root: Path) -> Iterator[Served]:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            asked.append(self.path)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield Served(f"http://127.0.0.1:{server.server_port}/", lambda: asked)
    finally:
        server.shutdown()
        server.server_close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
