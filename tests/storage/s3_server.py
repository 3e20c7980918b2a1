"""A real S3 API server on loopback: moto's, in a process of its own.

`python s3_server.py` serves and prints its port. Two things are mended on the way. moto looks at a
condition (If-None-Match, If-Match) and writes in two steps, so that two racing writers could both
win; S3 does it in one, so requests that write are let in one by one. And moto sends a `Server`
header beside werkzeug's, which aiohttp refuses in Python's development mode.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KEY_ID = "AKIAPHUSATESTKEYID00"
SECRET = "phusa/test+secret/do+not+show/0123456789"


@contextmanager
def s3_server(log: Path) -> Iterator[dict[str, str]]:
    """Start a server; yields the environment in which boto finds it, and nothing else."""
    with log.open("wb") as errors:
        server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            assert server.stdout is not None
            port = server.stdout.readline().decode().strip()
            assert port, log.read_text()
            yield environment(f"http://127.0.0.1:{port}", log.parent)
        finally:
            server.terminate()
            server.wait(30)
            if server.stdout is not None:
                server.stdout.close()


def environment(endpoint: str, folder: Path) -> dict[str, str]:
    """What boto reads, with no file or machine's role of the host's."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        "AWS_MAX_ATTEMPTS": "2",
        "NO_PROXY": "127.0.0.1",
    }


def make_bucket(environment: dict[str, str], name: str) -> str:
    """Create a bucket and return its address. moto checks no signature, so none is given."""
    url = f"{environment['AWS_ENDPOINT_URL']}/{name}"
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=10):
        return f"s3://{name}"


def fill(environment: dict[str, str], bucket: str, prefix: str, count: int) -> None:
    """Put `count` objects under `{prefix}files/` and as many folders under `{prefix}folders/`."""
    url = f"{environment['AWS_ENDPOINT_URL']}{_FILL}{bucket}/{count}/{prefix}"
    with urllib.request.urlopen(url, timeout=30):
        pass


_FILL = "/--fill--/"


def _fill(path: str) -> None:
    from moto.s3.models import s3_backends

    bucket, count, prefix = path.removeprefix(_FILL).split("/", 2)
    backend = s3_backends["123456789012"]["aws"]
    for number in range(int(count)):
        backend.put_object(bucket, f"{prefix}files/{number}", b"x")
        backend.put_object(bucket, f"{prefix}folders/{number}/x", b"xx")


def _serve() -> None:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)
    one = threading.Lock()

    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        def start_once(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            kept = [(n, v) for n, v in headers if n.lower() not in ("server", "date")]
            return start(status, kept, *rest)

        if environ["PATH_INFO"].startswith(_FILL):
            _fill(environ["PATH_INFO"])
            start("200 OK", [("Content-Length", "0")])
            return []
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return application(environ, start_once)
        with one:
            return application(environ, start_once)

    server = make_server("127.0.0.1", 0, serve, threaded=True, request_handler=MotoRequestHandler)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve()
