"""The live crawl as a process of its own, as fast as a site answers."""

from __future__ import annotations

from tasks.crawl.sources.web import Politeness, WebSource

CONNECTIONS = 16
CRAWL = """
import sys
from pathlib import Path
from tasks.crawl.live.crawler import crawl
from tasks.crawl.sources.web import WebSource
crawl(WebSource.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


def source(url: str, **knobs: object) -> WebSource:
    """Everything of a site, as fast as it answers."""
    politeness = Politeness(delay_s=0, delay_factor=0, connections_per_host=CONNECTIONS)
    everything = {"max_depth": 1000, "max_pages": 10_000_000, "allow_private_addresses": True}
    return WebSource(seeds=(url,), politeness=politeness, **(everything | knobs))
