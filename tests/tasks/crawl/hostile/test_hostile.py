"""Every hostile website of the tables: what is kept, why the rest is not, and what it took."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tasks.crawl.hostile.cases import LAST, Case
from tests.tasks.crawl.hostile.content import CONTENT
from tests.tasks.crawl.hostile.redirects import REDIRECTS
from tests.tasks.crawl.hostile.server import Host
from tests.tasks.crawl.hostile.wire import WIRE


@pytest.mark.parametrize("case", WIRE + CONTENT + REDIRECTS, ids=str)
def test_a_hostile_website(case: Case, host: Host, crawl: Any) -> None:
    case.serve(host)
    found = crawl(host, **case.knobs)
    assert found.error is None
    assert found.kept(host.url) == {"/", LAST, *case.kept}
    reasons = found.reasons(host.url)
    for path, expected in case.reasons.items():
        assert reasons.get(path) in expected.split("|"), found.rejects
    for path, body in case.bodies.items():
        assert found.bodies[host.url + path] == body
    assert len(host.paths()) <= case.most_requests
    assert found.seconds < case.seconds
