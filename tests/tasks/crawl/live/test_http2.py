"""HTTP/2 where a server speaks it, and certificates that are trusted because the system says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasks.crawl.live.client import Failure, HttpClient, Response
from tests.flows.servers import free_port
from tests.tasks.crawl.hostile.certificate import self_signed
from tests.tasks.crawl.served import NGINX, nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx, whose HTTP/2 is asked")


def _ask(url: str) -> Response | Failure:
    async def get() -> Response | Failure:
        client = HttpClient("phusa/0.1 (+test)", timeout_s=10, allow_private=True)
        async with client:
            return await client.get(url, 1_000_000)

    return asyncio.run(get())


def _protocol(answer: Response | Failure) -> str:
    assert isinstance(answer, Response), answer
    return answer.header("x-protocol")


def test_http2_is_spoken_where_it_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    self_signed(tmp_path)
    file = tmp_path / "server.pem"
    serve = (
        f"listen 127.0.0.1:{port} ssl http2; ssl_certificate {file}; ssl_certificate_key {file};"
        " add_header X-Protocol $server_protocol; location / { return 200 'words'; }"
    )
    with nginx(serve, tmp_path / "nginx") as site:
        refused = _ask(f"https://127.0.0.1:{port}/")
        assert isinstance(refused, Failure) and refused.reject.reason == "tls"
        monkeypatch.setenv("SSL_CERT_FILE", str(file))  # as a lab's own authority would be given
        answer = _ask(f"https://127.0.0.1:{port}/")
        assert _protocol(answer) == "HTTP/2.0"
        assert isinstance(answer, Response) and answer.body == b"words" and answer.status == 200
        assert _protocol(_ask(site.url)) == "HTTP/1.1"
