"""How `auto` chooses a page's way, and what it makes of the parts of a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean.extractors import Auto

WORDS = "The river that runs past our town begins with a spring in the hills, a day away. "
PROSE = f"<p>{WORDS * 5}</p>"
TERMS = "<dl>" + f"<dt>open(path)</dt><dd>{WORDS}</dd>" * 9 + "</dl>"


def text(body: str, way: str = "by_page", head: str = "", markdown: bool = False) -> str:
    page = f"<html><head>{head}</head><body>{body}</body></html>"
    auto = Auto.model_validate({"way": way, "markdown": markdown})
    return auto.extract(page, "").text


def way(body: str, head: str = "") -> str:
    return Auto().extract(f"<html><head>{head}</head><body>{body}</body></html>", "").extractor


# --- The way ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "head", "expected"),
    [
        (PROSE, "", "article"),
        (PROSE, '<meta name="generator" content="WordPress 6">', "article"),
        (PROSE, '<meta name="generator" content="Docutils 0.19: sphinx">', "reference"),
        (PROSE, '<meta content="DocBook XSL Stylesheets" name="generator">', "reference"),
        (TERMS, "", "reference"),
        (PROSE * 9 + TERMS, "", "article"),
        (PROSE + f"<pre>{WORDS}</pre>", "", "reference"),
        (f"<article>{PROSE}<pre>{WORDS}</pre></article>", "", "article"),
        ("", "", "article"),
    ],
)
def test_a_page_tells_its_way(body: str, head: str, expected: str) -> None:
    assert way(body, head) == expected


def test_a_way_can_be_asked_for() -> None:
    side = f"<div class=sidebar>{PROSE.replace('river', 'road')}</div>"
    page = f"<html><body><main>{PROSE}</main>{side}</body></html>"
    for wanted in ("article", "reference"):
        found = Auto.model_validate({"way": wanted}).extract(page, "")
        assert found.extractor == wanted
        assert found.text == (WORDS * 5).strip()


def test_a_page_without_elements_has_no_text() -> None:
    found = Auto().extract("<!-- nothing -->", "")
    assert (found.title, found.text, found.extractor) == ("", "", "")


# --- The article --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "noise",
    [
        "<nav>noise</nav>",
        "<aside><p>noise</p></aside>",
        "<div class='article-share-bar'>noise</div>",
        "<div id=related-posts><p>noise</p></div>",
        "<div style='display: none'><p>noise</p></div>",
        "<p aria-hidden=true>noise</p>",
        "<span class=byline>noise</span>",
        "<section id=comments><p>noise</p></section>",
        "<ul>" + "<li><a href=x>noise, and more noise</a></li>" * 6 + "</ul>",
        "<form><p>noise</p></form>",
        "<figure><figcaption>noise</figcaption></figure>",
        "<h2>noise</h2>",  # at the end
        "noise",  # bare, where there are paragraphs
    ],
)
def test_what_is_not_the_article(noise: str) -> None:
    assert text(f"<article>{PROSE}{noise}</article>", "article") == (WORDS * 5).strip()


def test_a_form_around_the_whole_page_is_the_page() -> None:
    assert WORDS.strip() in text(f"<form>{PROSE}</form>", "article")


def test_text_in_divs_alone_is_text() -> None:
    page = f"<div class=post-content><div>{WORDS * 3}</div><div>{WORDS * 2}</div></div>"
    assert text(page, "article").count("spring") == 5


def test_an_article_that_advertisements_divide_is_whole_and_other_articles_are_not_it() -> None:
    def part(words: str) -> str:
        return f"<div class=article__body><p>{words * 5}</p></div>"

    one = f"<article>{part('First part here. ')}<div class=ad-x>buy</div>{part('Second part. ')}"
    other = f"</article><article>{part('Another article. ')}</article>"
    found = text(one + other, "article")
    assert "First part" in found and "Second part" in found
    assert "Another" not in found and "buy" not in found


def test_a_name_that_holds_the_whole_page_does_not_drop_it() -> None:
    page = f"<div class=post><span class='widget meta'><div>{PROSE * 2}</div></span></div>"
    assert WORDS.strip() in text(page, "article")


# --- The page of a manual -----------------------------------------------------------------------


def test_a_manual_keeps_menu_entries_and_loses_what_leads_to_other_pages() -> None:
    body = (
        "<div class=related><ul><li>next</li></ul></div><div role=main><section id=menu><h1>Menus"
        '<a class=headerlink href="#menu">¶</a></h1><p>Choose <span class=menuselection>File'
        f"</span> and {WORDS}</p>{TERMS}"
        "<div class=sidebar><p>A box.</p></div><aside class=topic>An abstract.</aside>"
        "<section id=comments>A comment starts with a hash.</section></section></div>"
        "<div class=sphinxsidebar>Contents</div>"
    )
    found = text(body, head='<meta name="generator" content="Docutils">')
    assert found.startswith("Menus\n\nChoose File and The river")
    assert "A box.\n\nAn abstract." in found
    assert found.endswith("A comment starts with a hash.")
    assert "next" not in found and "Contents" not in found


# --- The text -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "plain", "marked"),
    [
        ("<h2>A <b>bold</b>\n head</h2><p>t</p>", "A bold head\n\nt", "## A bold head\n\nt"),
        ("<p>Hyper<b>link</b>ed<p>b", "Hyperlinked\n\nb", "Hyperlinked\n\nb"),
        ("<p>a<br>b<br><br>c", "a\nb\n\nc", "a\nb\n\nc"),
        ("<p>if x:<br>&nbsp;&nbsp;y&nbsp;z", "if x:\n  y z", "if x:\n  y z"),
        ("<pre>if x:\n    y</pre>", "if x:\n    y", "```\nif x:\n    y\n```"),
        ("<blockquote>a<br>b</blockquote>", "a\nb", "> a\n> b"),
        ("<ul><li>a<li><p>b</p><p>c</p></ul>d", "- a\n- b\nc\n\nd", "- a\n- b\nc\n\nd"),
        (
            "<table><tr><th>a<th>b<tr><td>1<td>2<tr><td>3<td>4</table>",
            "a | b\n1 | 2\n3 | 4",
            "a | b\n--- | ---\n1 | 2\n3 | 4",
        ),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>", "a\nb\nc\nd", "a\nb\nc\nd"),
        ("<div class=line>x <span class=lineno>7</span></div><div class=line>y", "x\ny", "x\ny"),
    ],
)
def test_the_text_of_elements(body: str, plain: str, marked: str) -> None:
    assert text(body, "reference") == plain
    assert text(body, "reference", markdown=True) == marked


TAGS = "a article b blockquote br dd div dl dt figure form h1 li main p pre span table td tr ul"
ELEMENTS = st.sampled_from(
    [f"<{tag}{names}>" for tag in TAGS.split() for names in ("", " class=meta", " id=content")]
    + [f"</{tag}>" for tag in TAGS.split()]
    + ["river ", "silt, ", "&nbsp;", "\n", "<!--", "<![CDATA[", "&#0;", "<"]
)


@given(st.lists(ELEMENTS, max_size=60))
def test_any_soup_of_tags_gives_words_of_the_page_and_the_same_again(soup: list[str]) -> None:
    page = "".join(soup)
    for asked in ("article", "reference"):
        auto = Auto.model_validate({"way": asked})
        found = auto.extract(page, "")
        assert found == auto.extract(page, "")
        for word in ("river", "silt"):
            assert found.text.count(word) <= page.count(word)
