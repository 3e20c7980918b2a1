"""A small website with the shape of reference documentation, served on loopback.

Its pages are made from a seed: sixty modules of functions with sentences about them, a few pages
that nearly repeat others, one empty page, one that is missing, one that is no HTML.
"""

from __future__ import annotations

import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

NUM_MODULES = 48
_VERBS = [
    "fold",
    "carry",
    "settle",
    "drift",
    "gather",
    "sift",
    "pour",
    "rise",
    "drain",
    "layer",
    "press",
    "wash",
]
_NOUNS = [
    "river",
    "silt",
    "grain",
    "bank",
    "delta",
    "channel",
    "flood",
    "terrace",
    "field",
    "basin",
    "current",
    "bed",
]
_PHRASES = (
    "Return the {n} that the {m} leaves behind after {k} days.",
    "Carry each {n} of the {m} downstream and count what settles.",
    "Press the {n} into layers; the {m} must be dry and {k} cm deep.",
    "Raise an error if the {m} holds no {n}, otherwise wash it {k} times.",
    "Gather the {n} from every {m} and sort it by the size of its grains.",
)


class TinySite:
    """The website; use as a context manager. `url` is its first page, `requests` what was asked."""

    def __init__(self, port: int = 0) -> None:
        self.pages = _pages()
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> TinySite:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append(self.path)
                body = site.pages.get(self.path)
                self.send_response(404 if body is None else 200)
                plain = self.path.endswith(".txt")
                self.send_header(
                    "Content-Type", "text/plain" if plain else "text/html; charset=utf-8"
                )
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None: ...

        return Handler


def _pages() -> dict[str, bytes]:
    chance = random.Random(7)
    pages = {f"/silt.mod{i}.html": _module(i, chance) for i in range(NUM_MODULES)}
    for i in range(6):  # near-duplicates: one word more
        pages[f"/silt.copy{i}.html"] = pages[f"/silt.mod{i}.html"].replace(
            b"</p>", b" indeed</p>", 1
        )
    pages["/silt.same.html"] = pages["/silt.mod9.html"]  # an exact duplicate
    pages["/silt.short.html"] = b"<html><body><p>Nothing here.</p></body></html>"
    links = [*pages, "/missing.html", "/notes.txt", "/private/secret.html", "ftp://127.0.0.1/x"]
    pages["/notes.txt"] = b"plain notes"
    pages["/private/secret.html"] = b"<html><body>out of scope</body></html>"
    anchors = "".join(f'<li><a href="{link}">{link}</a></li>' for link in links)
    pages["/"] = (
        f"<html><head><title>silt</title></head><body><ul>{anchors}</ul></body></html>".encode()
    )
    return pages


def _module(index: int, chance: random.Random) -> bytes:
    entries = []
    for verb in chance.sample(_VERBS, 8):
        noun, other = chance.sample(_NOUNS, 2)
        sentences = " ".join(
            phrase.format(n=noun, m=other, k=chance.randrange(2, 90))
            for phrase in chance.sample(_PHRASES, 2)
        )
        entries.append(f"<p>{verb}({noun}, {other}={chance.randrange(99)})<br>{sentences}</p>")
    return (
        f"<html><head><title>module silt.mod{index}</title></head><body><main>"
        f"<h1>silt.mod{index}</h1><h2>Functions</h2>{''.join(entries)}"
        f'<p><a href="/">index</a></p></main></body></html>'
    ).encode()
