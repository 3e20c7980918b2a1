"""One contract for every extractor, on good pages and hostile ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from tasks.clean.config import CleanConfig, Sandbox
from tasks.clean.extractors import Extraction, Extractor, Resiliparse, Trafilatura
from tasks.clean.filters import Verdict
from tasks.clean.sandbox import ExtractionSandbox

# trafilatura tries urllib3's SOCKS support when it is imported.
pytestmark = pytest.mark.filterwarnings(
    "ignore:SOCKS support in urllib3:urllib3.exceptions.DependencyWarning"
)

MEMBERS: tuple[type[Any], ...] = get_args(Extractor)
PARAGRAPH = (
    "The river that runs past our town begins with a spring in the hills, and people have to walk "
    "for a day to see it. It is said that whoever drinks there will be lucky for the year. "
)
ARTICLE = f"""<!DOCTYPE html><html lang=en><head><title> The spring\n of the river </title>
<style>p {{ color: red }}</style><script>var tracked = 1;</script></head><body>
<nav><ul><li><a href=/>Home</a><li><a href=/about>About us</a></ul></nav>
<main><article><h1>The spring of the river</h1><p>{PARAGRAPH * 3}</p>
<p>Núi sông: má mà mả mã mạ. {PARAGRAPH}</p>
<table><tr><td>Depth of the spring</td><td>12 metres</td></tr></table></article></main>
<footer><p>Copyright</p></footer></body></html>"""

HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "spaces": b" \n\t ",
    "colspan": b"<table><tr><td colspan=9007199254740991 rowspan=9007199254740991>a</td></tr>"
    b"</table><p>text",
    "deep": b"<div>" * 3000 + b"deep" + b"</div>" * 3000,
    "deep_inline": b"<p>" + b"<b><i>" * 3000 + b"deep",
    "deep_table": b"<table><tr><td>" * 500 + b"deep",
    "nul": b"<p>a\x00b</p>" * 100,
    "binary": bytes(range(256)) * 64,
    "png": b"\x89PNG\r\n\x1a\n" + bytes(500),
    "attributes": b"<p " + b" ".join(b"a%d=1" % n for n in range(20_000)) + b">text",
    "one_tag": b"<" * 50_000,
    "entities": b"<p>" + b"&#xD800;&#0;&#x110000;&amp;" * 500,
    "unclosed": b"<!-- <p>never closed " * 1000,
    "cdata": b"<![CDATA[<p>x</p>]]><?xml version='1.0' encoding='utf-32'?><p>y",
    "xml_bomb": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><html><p>&b;</html>',
    "one_line": b"<p>" + b"a river and its silt " * 100_000,
    "one_word": b"<p>" + b"x" * 2_000_000,
    "paragraphs": b"<p>a river, and its silt" * 20_000,
    "breaks": b"<p>" + b"a<br>" * 100_000,
    "deep_links": b"<div>" * 200 + b"<a href=x>link</a> " * 20_000,
    "deep_spans": b"<span class=meta><div>" * 200 + b"deep",
    "long_class": b"<div class='" + b"share " * 200_000 + b"'>text</div>",
    "mixed_encodings": "<meta charset=utf-8><p>".encode("utf-16") + "é".encode("latin-1") + b"\xff",
    "broken_entities": b"<p>&nbsp;&bogus;&#xFFFFFFFF;&lt;b&gt &copy &#; &",
    "frameset": b"<frameset><frame src=a></frameset>",
    "only_text": b"no tags at all",
    "json": b'{"a": [1, 2, 3]}',
    "surrogates": "<p>\ud83d\ude00".encode("utf-16-le", "surrogatepass") + b"\x3d\xd8",
}


@pytest.fixture(scope="module", params=MEMBERS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[ExtractionSandbox]:
    with ExtractionSandbox(request.param(), Sandbox(timeout_s=20)) as sandbox:
        yield sandbox


def test_every_extractor_is_a_choice_of_the_recipe() -> None:
    for member in MEMBERS:
        kind = member.model_fields["kind"].default
        config = CleanConfig.model_validate({"extractor": {"kind": kind}})
        assert config.extractor == member()


@pytest.mark.parametrize("member", MEMBERS)
def test_title_and_main_text(member: type[Any]) -> None:
    found = member().extract(ARTICLE, "http://a/")
    assert " ".join(found.title.split()) == "The spring of the river"
    text = " ".join(found.text.split())
    assert PARAGRAPH.strip() in text
    assert "má mà mả mã mạ" in text
    assert "12 metres" in text
    for noise in ("tracked", "color", "About us", "Copyright", "<p>"):
        assert noise not in text


@pytest.mark.parametrize("member", MEMBERS)
def test_extraction_is_pure(member: type[Any]) -> None:
    first = member().extract(ARTICLE, "http://a/")
    member().extract(ARTICLE.replace("river", "road"), "http://b/")
    assert member().extract(ARTICLE, "http://a/") == first


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("num", [300, 3_000, 30_000])
def test_what_stands_behind_many_elements_is_not_lost(member: type[Any], num: int) -> None:
    """libxml2 stops at 256 or 2 048 of them; resiliparse looked for minutes."""
    deep = f"{'<div>' * num}<p>{PARAGRAPH}</p>{'</div>' * num}"
    page = f"<title>t</title><body>{deep}<p>Núi sông. {PARAGRAPH}</p></body>"
    begun = time.process_time()
    found = member().extract(page, "http://a/")
    assert time.process_time() - begun < 5
    assert found.title == "t"
    assert found.text.count(PARAGRAPH.strip()) == 2 and "Núi sông" in found.text


@pytest.mark.parametrize("member", MEMBERS)
def test_many_short_paragraphs_take_no_minutes(member: type[Any]) -> None:
    """jusText looks from each of them through all that follow."""
    page = f"<title>t</title><body>{'<li>x' * 8_000}<p>{'A paragraph, long enough. ' * 8}"
    begun = time.process_time()
    member().extract(page, "http://a/")
    assert time.process_time() - begun < 4  # 6.3 with it


def test_knobs_of_the_extractors() -> None:
    assert "12 metres" not in Trafilatura(include_tables=False).extract(ARTICLE, "http://a/").text
    assert "About us" in Resiliparse(main_content=False).extract(ARTICLE, "http://a/").text
    assert PARAGRAPH[:50] in Trafilatura(favor="recall").extract(ARTICLE, "http://a/").text


@pytest.mark.parametrize("page", HOSTILE)
def test_hostile_pages_end_in_a_text_or_a_verdict(sandbox: ExtractionSandbox, page: str) -> None:
    found = sandbox.extract(HOSTILE[page], "", "http://a/")
    assert isinstance(found, Extraction | Verdict)
    if isinstance(found, Verdict):
        assert found.reason.startswith("extractor_")
        assert found.value


def test_the_sandbox_still_works_after_hostile_pages(sandbox: ExtractionSandbox) -> None:
    for page in ("colspan", "deep", "binary"):
        sandbox.extract(HOSTILE[page], "", "http://a/")
    found = sandbox.extract(ARTICLE.encode(), "", "http://a/")
    assert isinstance(found, Extraction)
    assert PARAGRAPH[:50] in found.text
