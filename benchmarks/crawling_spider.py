"""Scrapy following the same links, keeping nothing. Runs in Scrapy's own environment.

`python crawling_spider.py URL PATTERN CONNECTIONS STATS_FILE`
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.http import HtmlResponse, Response
from scrapy.linkextractors import LinkExtractor

URL, PATTERN, CONNECTIONS, STATS = sys.argv[1:]


class Follow(scrapy.Spider):
    name = "follow"
    start_urls = [URL]  # noqa: RUF012 - as Scrapy has it
    links = LinkExtractor(allow=PATTERN)
    pages: set[str] = set()  # noqa: RUF012 - the first page is fetched again where others link to it

    def parse(self, response: Response) -> Iterator[scrapy.Request]:
        if isinstance(response, HtmlResponse):
            self.pages.add(response.url)
            for link in self.links.extract_links(response):
                yield scrapy.Request(link.url)

    def closed(self, reason: str) -> None:
        Path(STATS).write_text(json.dumps({"pages": len(self.pages), "reason": reason}))


process = CrawlerProcess(
    {
        "CONCURRENT_REQUESTS": int(CONNECTIONS),
        "CONCURRENT_REQUESTS_PER_DOMAIN": int(CONNECTIONS),
        "DOWNLOAD_DELAY": 0,
        "ROBOTSTXT_OBEY": False,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "ERROR",
    }
)
process.crawl(Follow)
process.start()
