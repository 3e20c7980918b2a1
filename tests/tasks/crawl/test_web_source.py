from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.config import identity
from tasks.crawl.config import CrawlConfig
from tasks.crawl.sources import WebSource

LOCAL = ("http://localhost:8630/",)
PUBLIC = ("https://example.org/",)


@pytest.mark.parametrize(
    "knobs",
    [
        {"seeds": PUBLIC},
        {"seeds": PUBLIC, "allow_private_addresses": True},
        {"seeds": (*LOCAL, *PUBLIC), "allow_private_addresses": True},
        {"seeds": ("http://93.184.216.34/",), "allow_private_addresses": True},
    ],
)
def test_a_public_crawl_without_contact_is_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="`contact` is missing"):
        WebSource(**knobs)


@pytest.mark.parametrize(
    "seed", ["http://localhost/", "http://127.0.0.1:9/", "http://[::1]/", "http://10.1.2.3/"]
)
def test_a_crawl_of_this_machine_or_network_needs_no_contact(seed: str) -> None:
    assert WebSource(seeds=(seed,), allow_private_addresses=True).contact is None


@pytest.mark.parametrize("contact", ["", " ", " me@x.org", "é@x.org", "me@x.org\r\nX-Evil: 1"])
def test_a_contact_that_no_header_can_hold_is_refused(contact: str) -> None:
    with pytest.raises(ValidationError, match="contact"):
        WebSource(seeds=PUBLIC, contact=contact)


def test_the_contact_is_in_the_user_agent() -> None:
    source = WebSource(seeds=PUBLIC, contact="me@example.org")
    assert source.user_agent.startswith("phusa/")
    assert "(+me@example.org)" in source.user_agent


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("seeds", ()),
        ("seeds", ("file:///etc/passwd",)),
        ("seeds", ("localhost",)),
        ("include", ("(",)),
        ("max_pages", 0),
        ("max_depth", -1),
        ("politeness", {"delay_s": -0.1}),
        ("politeness", {"connections_per_host": 0}),
        ("timeout_s", 0),
        ("kind", "ftp"),
        ("no_such_knob", 1),
    ],
)
def test_knobs_out_of_bounds_are_refused(knob: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=knob):
        WebSource(**({"seeds": PUBLIC, "contact": "me@example.org"} | {knob: value}))


def test_how_politely_is_no_part_of_what_comes_out() -> None:
    def plain(**knobs: Any) -> dict[str, Any]:
        source = WebSource(**({"seeds": PUBLIC, "contact": "me@example.org"} | knobs))
        return identity(CrawlConfig(source=source))

    polite = {"delay_s": 9, "connections_per_host": 3, "hours": [22, 6]}
    assert plain(politeness=polite, retries=0, timeout_s=1, recrawl={"max_checks": 3}) == plain()
    assert plain(politeness={"obey": []}) != plain()  # what is obeyed decides what is kept
    assert plain(contact="you@example.org") == plain()
    assert plain(max_pages=9) != plain()
    assert plain(exclude=("x",)) != plain()
