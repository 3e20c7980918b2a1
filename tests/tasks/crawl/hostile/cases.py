"""A hostile website in one table row: what it serves, and what a crawl must make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.tasks.crawl.hostile.server import Host, Route

LAST = "/last"


@dataclass(frozen=True)
class Case:
    """`/` links to all of `routes` but those in `hidden`, and to a good page after them."""

    name: str
    routes: Mapping[str, Route]
    kept: tuple[str, ...] = ()
    """Paths of pages kept, beside the first and the last."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """The reason of each reject, by path; several that would do are separated by `|`."""
    bodies: Mapping[str, bytes] = field(default_factory=dict)
    """What is in the WARC file of some pages, by path."""
    hidden: tuple[str, ...] = ()
    """Routes that only other pages lead to."""
    requests: int = 0
    """At most so many, robots.txt apart; 0: one for each route, the first page and the last."""
    seconds: float = 3.0
    knobs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    def serve(self, host: Host) -> None:
        shown = [path for path in self.routes if path not in self.hidden]
        host.links("/", *shown, LAST)
        host.links(LAST)
        host.routes |= self.routes

    @property
    def most_requests(self) -> int:
        return self.requests or len(self.routes) + 2
