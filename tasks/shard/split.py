"""What stays together when documents are held out. A new kind: a config here, its name in `Split`.

`key` names the group of a page by its URL: a group lies on one side.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from tasks.config import Config, Pattern, knob


class ByCluster(Config):
    """Documents that are near each other, directly or through others, stay together."""

    kind: Literal["cluster"] = "cluster"
    threshold: float = knob(
        0.3,
        "Jaccard similarity of 5-grams (words), 0-1, from which two documents stay together; it is "
        "estimated by MinHash, give or take 0.05. Of two texts of one length, 0.3 is a common half",
        gt=0,
        le=1,
    )

    def key(self, url: str) -> str:
        return url


class ByUrl(Config):
    """Every page by itself, so that near duplicates may lie on both sides."""

    kind: Literal["url"] = "url"

    def key(self, url: str) -> str:
        return url


class ByHost(Config):
    """The pages of a host stay together."""

    kind: Literal["host"] = "host"

    def key(self, url: str) -> str:
        return url.partition("://")[2].partition("/")[0] or url


class ByDirectory(Config):
    """The pages of a directory stay together: those whose URLs are equal up to the last slash."""

    kind: Literal["directory"] = "directory"

    def key(self, url: str) -> str:
        return re.split(r"[?#]", url, maxsplit=1)[0].rpartition("/")[0] or url


class ByPattern(Config):
    """Pages stay together whose URLs the same pattern finds, with the same text in its groups."""

    kind: Literal["pattern"] = "pattern"
    urls: tuple[Pattern, ...] = knob(
        ...,
        "regular expressions, searched in URLs in this order. Without a group, all that one finds "
        "stays together, as a source of pages; a page that none finds is by itself",
        min_length=1,
    )

    def key(self, url: str) -> str:
        found = next(filter(None, (re.search(pattern, url) for pattern in self.urls)), None)
        return "\n".join((found.re.pattern, *found.groups(""))) if found else url


Split = Annotated[ByCluster | ByUrl | ByHost | ByDirectory | ByPattern, Field(discriminator="kind")]
