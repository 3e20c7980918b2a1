from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.crawl.captures import Capture
from tasks.crawl.live.links import PageLinks
from tasks.crawl.live.policy import (
    HostPolicy,
    header_link,
    host_policy,
    licence_of,
    obeyed,
    page_policy,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOTHING = PageLinks()


def _of_headers(*values: str) -> tuple[str, ...]:
    return page_policy([("X-Robots-Tag", value) for value in values], NOTHING, now=NOW)


def _of_host(policy: HostPolicy, path: str) -> tuple[str, ...]:
    return page_policy((), NOTHING, now=NOW, host=policy, path=path)


@pytest.mark.parametrize(
    ("values", "signals"),
    [
        ((), ()),
        (("noindex",), ("noindex",)),
        (("NoIndex, NOFOLLOW",), ("nofollow", "noindex")),
        (("none",), ("nofollow", "noindex")),
        (("all, index, follow, max-snippet: 20, max-image-preview:large",), ()),
        (("noarchive", "noai, noimageai"), ("noai", "noarchive", "noimageai")),
        (("googlebot: noindex, nofollow",), ()),
        (("googlebot: noindex, phusa: nofollow, noai",), ("noai", "nofollow")),
        (("Phusa: noindex", "otherbot: noai"), ("noindex",)),
        (("*: noindex",), ("noindex",)),
        (("noindex, googlebot: nofollow",), ("noindex",)),
        (("noindex nofollow",), ("nofollow", "noindex")),
        (("unavailable_after: 25 Jun 2010 15:00:00 PST",), ("noindex",)),
        (("unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai",), ("noai", "noindex")),
        (("unavailable_after: Friday, 25-Jun-10 15:00:00 UTC",), ("noindex",)),
        (("unavailable_after: 2010-06-25",), ("noindex",)),
        (("phusa: unavailable_after: 2010-06-25T15:00:00+00:00",), ("noindex",)),
        (("bot: unavailable_after: 2010-06-25T15:00:00+00:00",), ()),
        (("unavailable_after: 25 Jun 2030 15:00:00 PST, noai",), ("noai",)),
        (("unavailable_after: some day",), ()),
        (("unavailable_after:",), ()),
    ],
)
def test_x_robots_tag(values: tuple[str, ...], signals: tuple[str, ...]) -> None:
    assert _of_headers(*values) == signals


def test_meta_robots_adds_to_the_headers() -> None:
    links = PageLinks(robots="noindex, noai")
    assert page_policy([("x-robots-tag", "nofollow")], links, now=NOW) == (
        "noai",
        "nofollow",
        "noindex",
    )


RESERVED = json.dumps([{"location": "/", "tdm-reservation": 1, "tdm-policy": "https://p/all"}])


@pytest.mark.parametrize(
    ("meta", "headers", "tdmrep", "reserved"),
    [
        ("", [], "", False),
        ("1", [], "", True),
        ("", [("TDM-Reservation", " 1 ")], "", True),
        ("", [], RESERVED, True),
        ("0", [("tdm-reservation", "1")], RESERVED, False),
        ("", [("tdm-reservation", "0")], RESERVED, False),
        ("yes", [("tdm-reservation", "maybe")], RESERVED, True),
    ],
)
def test_the_nearest_reservation_counts(
    meta: str, headers: list[tuple[str, str]], tdmrep: str, reserved: bool
) -> None:
    links = PageLinks(tdm=meta)
    signals = page_policy(headers, links, now=NOW, host=host_policy(tdmrep), path="/x")
    assert signals == (("tdm-reservation",) if reserved else ())


RULES = json.dumps(
    [
        {"location": "/", "tdm-reservation": 1},
        {"location": "/open/", "tdm-reservation": 0},
        {"location": "/open/*.pdf$", "tdm-reservation": "1", "tdm-policy": "https://p/pdf"},
        {"location": "/open/caf%C3%A9", "tdm-reservation": True},
        {"location": "/exact$", "tdm-reservation": 0},
        {"location": "/exact", "tdm-reservation": 1},
    ]
)


@pytest.mark.parametrize(
    ("path", "reserved"),
    [
        ("/", True),
        ("/open/x", False),
        ("/open", True),
        ("/open/a/b.pdf", True),
        ("/open/a/b.pdf?x", False),
        ("/open/.pdf", True),
        ("/open/caf%C3%A9/x", True),
        ("/exact", False),
        ("/exact/x", True),
    ],
)
def test_the_longest_location_counts(path: str, reserved: bool) -> None:
    assert bool(_of_host(host_policy(RULES), path)) is reserved


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "1",
        '"x"',
        "[1]",
        '[{"location": 1}]',
        "[" * 100_000,
        '{"location":"/"}',
        "\ufeff[]",
    ],
)
def test_what_is_no_tdmrep_reserves_nothing(text: str) -> None:
    assert _of_host(host_policy(text), "/") == ()


ROBOTS = """
# Content-Signal: ai-train=no
User-Agent: GPTBot
User-agent: OtherBot
Content-Signal: search=no
Disallow: /

User-agent: *
Content-Signal: search=yes, ai-train=no   # a comment
Allow: /
Sitemap: http://h/sitemap.xml
content-signal: ai-input=yes,ai-input=no
"""


@pytest.mark.parametrize(
    ("robots", "uses"),
    [
        ("", ()),
        (ROBOTS, ("ai-input=no", "ai-train=no", "search=yes")),
        (ROBOTS + "\nUser-agent: Phusa/1.0\nContent-Signal: ai-train=yes", ("ai-train=yes",)),
        (ROBOTS + "\nUser-agent: phusa\nDisallow:", ()),
        (ROBOTS + "\nUser-agent: phusa\nUser-agent: x\nContent-Signal: search=no", ("search=no",)),
        ("Content-Signal: ai-train=no\nUser-agent: x\nDisallow:", ("ai-train=no",)),
        ("User-agent: *\nContent-Signal: ai-train = maybe, shopping=no, ai-train=nope", ()),
        (
            "User-agent: *\rContent-Signal: ai-train=yes\r\nContent-Signal: AI-Train=NO",
            ("ai-train=no",),
        ),
    ],
)
def test_content_signals(robots: str, uses: tuple[str, ...]) -> None:
    assert _of_host(host_policy(robots=robots), "/x") == uses


def test_a_pages_content_signal_comes_before_its_hosts() -> None:
    headers = [("content-signal", "ai-train=yes, search=no")]
    signals = page_policy(headers, NOTHING, now=NOW, host=host_policy(robots=ROBOTS))
    assert signals == ("ai-input=no", "ai-train=yes", "search=no")


def test_obeyed() -> None:
    signals = ("ai-train=no", "noai", "noindex")
    capture = Capture("http://h/", b"x", "text/html", "", NOW, policy=" ".join(signals))
    reject = obeyed(capture, {"noindex", "noai"})
    assert reject is not None and (reject.reason, reject.value) == ("policy", "noai")
    assert obeyed(capture, {"noarchive"}) is None
    assert obeyed(replace(capture, policy=""), {"noindex"}) is None


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ('<https://cc/by/4.0/>; rel="license"', "https://cc/by/4.0/"),
        ("<https://cc/by/4.0/>;rel=license", "https://cc/by/4.0/"),
        (
            '</x>; rel="next"; title="a, <b>", <//cc/by>; title=x; rel="help LICENSE"',
            "http://cc/by",
        ),
        ('</licence>; rel="license"', "http://h/licence"),
        ('</a>; rel="license"; anchor="#other"', ""),
        ('<http://[>; rel="license", </b>; rel=license', "http://h/b"),
        ("</a>; rel=licensed", ""),
        ("", ""),
        ("rel=license", ""),
    ],
)
def test_link_header(value: str, target: str) -> None:
    assert header_link([("Link", value)], "license", "http://h/a/b") == target


def test_the_licence_of_the_header_comes_first() -> None:
    links = PageLinks(licence="https://meta/")
    header = [("link", "<https://header/>; rel=license")]
    assert licence_of(header, links, "http://h/") == "https://header/"
    assert licence_of([], links, "http://h/") == "https://meta/"
    assert licence_of([], NOTHING, "http://h/") == ""


DIRECTIVES = st.text("noindexfl: ,;*=phusa1/ \t-_", max_size=40) | st.text(max_size=30)


@given(DIRECTIVES, DIRECTIVES, st.text(max_size=60), st.text(max_size=30), st.text(max_size=20))
def test_any_texts_give_sorted_signals(
    tag: str, meta: str, robots: str, tdmrep: str, path: str
) -> None:
    headers = [("X-Robots-Tag", tag), ("Link", tag), ("Content-Signal", tag), ("tdm-policy", tag)]
    links = PageLinks(robots=meta, tdm=meta)
    host = host_policy(tdmrep, robots)
    signals = page_policy(headers, links, now=NOW, host=host, path=path)
    assert list(signals) == sorted(set(signals))
    licence_of(headers, links, "http://h/")


@given(st.text("ab*$/", max_size=8), st.text("ab/", max_size=8))
def test_locations_match_as_a_regex_would(location: str, path: str) -> None:
    import re

    anchored = location.endswith("$")
    body = re.escape(location.removesuffix("$")).replace(r"\*", ".*")
    expected = re.match(body + (r"\Z" if anchored else ""), path) is not None
    rule = json.dumps([{"location": location, "tdm-reservation": 1}])
    assert bool(_of_host(host_policy(rule), path)) is expected


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "part", ["a", "noindex,", "a:", "<", '<a>;"', ";a=", " ", "ai-train=", "a "]
)
def test_long_texts_take_no_square_time(part: str) -> None:
    text = part * (2_000_000 // len(part))
    headers = [(name, text) for name in ("x-robots-tag", "link", "content-signal")]
    page_policy(headers, PageLinks(robots=text), now=NOW)
    licence_of(headers, NOTHING, "http://h/")
    host_policy(text, text)
    rules = json.dumps([{"location": "/*a*a*a*a*b", "tdm-reservation": 1}] * 1_000)
    assert _of_host(host_policy(rules), "/" + "a" * 2_000) == ()
