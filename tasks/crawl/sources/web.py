"""A live crawl over HTTP: what to fetch and how politely."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import model_validator

from tasks.config import Config, Pattern, knob
from tasks.crawl.addresses import is_local_name
from tasks.crawl.urls import canonical_url


class PydocSite(Config):
    """Python's own documentation server as a child process on loopback, while the crawl runs."""

    kind: Literal["pydoc"] = "pydoc"
    port: int = knob(8630, "port on localhost; part of the URLs, so of all ids", ge=1024, le=65535)


class WebSource(Config):
    """Follow links from the seeds, within scope, and keep every HTML page."""

    kind: Literal["web"] = "web"
    seeds: tuple[str, ...] = knob(..., "URLs to start from (http or https)", min_length=1)
    include: tuple[Pattern, ...] = knob(
        (), "regular expressions; a URL must match one (search). Empty: the seeds' own hosts"
    )
    exclude: tuple[Pattern, ...] = knob((), "regular expressions; a URL that matches one is left")
    max_depth: int = knob(16, "links followed from a seed", ge=0, le=1000)
    max_pages: int = knob(10_000, "pages kept at most", ge=1)
    max_page_bytes: int = knob(
        10_000_000, "bytes of one decoded body; a larger one is rejected", ge=1_000
    )
    site: PydocSite | None = knob(None, "a website to serve on loopback while crawling it")
    contact: str | None = knob(
        None,
        "e-mail address or URL in the user agent, so that a site's owner can reach you; "
        "required for public hosts",
        pattern=r"^[!-~][ -~]*$",
        identity=False,
    )
    allow_private_addresses: bool = knob(
        False, "fetch from loopback, link-local and private addresses too", identity=False
    )
    delay_s: float = knob(
        1.0,
        "seconds between two requests to one host; robots.txt may ask for more",
        ge=0,
        le=3600,
        identity=False,
    )
    connections_per_host: int = knob(
        1, "requests under way at once to one host", ge=1, le=64, identity=False
    )
    timeout_s: float = knob(30.0, "seconds for one whole request", gt=0, le=600, identity=False)
    retries: int = knob(
        2, "further tries after a connection error, 429 or 5xx", ge=0, le=10, identity=False
    )

    @model_validator(mode="after")
    def _reachable_by_owners(self) -> WebSource:
        hosts = [urlsplit(canonical_url(seed)).hostname or "" for seed in self.seeds]
        at_home = self.allow_private_addresses and all(map(is_local_name, hosts))
        if self.contact is None and not at_home:
            raise ValueError(
                "`contact` is missing; expected an e-mail address or URL, because public hosts "
                "are only crawled by someone whom their owners can reach"
            )
        return self

    @property
    def user_agent(self) -> str:
        return f"phusa/0.1 (+{self.contact or 'https://localhost/'})"
