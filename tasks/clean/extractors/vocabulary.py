"""What the tags, classes and ids of a page's parts say about them.

The tokens are trafilatura 2.3.1's (Apache-2.0, Adrien Barbaresi; `settings.py` and `xpaths.py`),
gathered there over years from many sites. It asks an XPath expression with a regular expression
for each list of them, over the whole tree; here each distinct class and id is looked at once.
"""

from __future__ import annotations

import re
from functools import lru_cache


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SKIPPED = _names(
    """applet area aside audio blink button canvas datalist dialog embed fencedframe fieldset
    footer frame frameset head iframe input label legend link map marquee math menu menuitem nav
    noindex noscript object optgroup option output param picture progress rp rt rtc script
    select source style svg textarea time track use video"""
)
"""Elements without main text. Their subtree is not even looked at."""

SKIPPED_IN_MANUALS = SKIPPED - {"aside"}
"""Sphinx has boxes, abstracts and footnotes in them."""

BLOCKS = _names(
    """address article aside blockquote body caption center dd details div dl dt figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hgroup html li main nav ol p pre section summary table
    tbody td tfoot th thead tr ul"""
)
"""Elements that begin and end a run of text."""

HEADINGS = _names("h1 h2 h3 h4 h5 h6 summary")
LISTS = _names("dl ol ul")
_PRUNED = _names("dd div dl dt li ol p section span ul")
_FRAMES = _names("article div main section")

_BOTH = r"^shar|social|viral|newsletter|syndication|tags|sidebar|banner|bread-?crumb|button|author"
_PRUNED_ID = re.compile(
    _BOTH + r"|^(?:jp-|dpsp-content)|bmdh|caption|[Ff]ooter|[Ss]hare|[Nn]av|menu|related"
    r"|message-container|premium|^ad-"
)
_PRUNED_CLASS = re.compile(
    _BOTH + r"|^(?:nav|post-nav|ZendeskForm)|subnav|avigation|navbar|navbox|menu|bar| ad |-ad-"
    r"|(?:^| )ad-|dfp[Aa]d|outbrain|taboola|criteo|paid-?content|widget|[Ff]ooter|[Bb]yline|share-"
    r"|sociable|embed|tag-list|caption|consent|modal-content|permission|elated|next-|-stories"
    r"|most-popular|more-on|meta|rating|attachment|timestamp|user-info|user-profile|-icon"
    r"|article-infos|message-container|slide|viewport|overlay|options|expand|obfuscated|blurred"
    r"|mol-factbox|yin|zlylin|nfoline|[Tt]easer|(?:^|\s)link(?:\s|$)"
)
_PRUNED_EITHER = re.compile(r"cookie|(?:^|\s)bottom|bottom(?:\s|$)|(?:^|\s)link(?:\s|$)")
_HIDDEN_CLASS = re.compile(
    r"^hide-|comments-title|nocomments|-reply-|message|akismet|suggest-links|-hide-|hide-print"
    r"| hidden| hide|noprint|notloaded"
)
_HIDDEN_ID = re.compile(r"hidden|reader-comments|akismet")
_COMMENTS_ID = re.compile(r"^(?:[Cc]omment(?!ary)|comol|disqus_thread|dsq-comments)")
_COMMENTS_CLASS = re.compile(r"^[Cc]omment(?!ary)|(?:article|post)-comments")
_COMMENTS_IN = _names("details div dl ol section ul")

_ARTICLE_ID = re.compile(
    r"^articleContent$|(?:entry|article|art)-content|article__content|article(?:-|__)?body"
    r"|articleBody|body-text"
)
_ARTICLE_CLASS = re.compile(
    r"^(?:post|entry)$|post[-_]text|post-body|post-?entry|post[-_]?content|postContent"
    r"|post_inner_wrapper|article-?text|articleText|(?:entry|page|text|article|art)-content"
    r"|article__content|article(?:-|__)?body|articleBody|ArticleContent|body-text"
    r"|article__container"
)
_STORY_ID = re.compile(r"^(?:article|story)$|^primary|story-body")
_STORY_CLASS = re.compile(
    r"^(?:postarea|art-postcontent|text|cell|story)$|(?i:fulltext)|^article |post-bodycopy"
    r"|story-?content|(?:theme|blog|section|single)-content|single-post|main-column"
    r"|wpb_text_column|story-body|field-body"
)
_MAIN_ID = re.compile(r"^content$|content-main|content-body|contentBody|[Mm]ain-[Cc]ontent")
_MAIN_CLASS = re.compile(
    r"^content$|content[-_]main|content(?:-|__)body|[Mm]ain-[Cc]ontent|[Pp]age-[Cc]ontent"
)
NUM_STAGES = 5


MANUALS = re.compile(
    r"antora|asciidoctor|docbook|docusaurus|docutils|doxygen|epydoc|gitbook|groff|javadoc|jsdoc"
    r"|latex2html|makeinfo|man2html|mkdocs|pdoc|publican|rustdoc|sphinx|texinfo|vitepress|yard",
    re.I,
)
"""Programs that write manuals and nothing else; they sign in `<meta name="generator">`."""


@lru_cache(maxsize=1 << 14)
def is_comments(tag: str, identity: str, kind: str) -> bool:
    """Whether an element of this id and class holds the readers' comments."""
    return tag in _COMMENTS_IN and bool(
        _COMMENTS_ID.search(identity) or _COMMENTS_CLASS.search(kind)
    )


@lru_cache(maxsize=1 << 14)
def is_pruned(tag: str, identity: str, kind: str) -> bool:
    """Whether an element of this id and class is none of the main text."""
    if identity.startswith("reply-") or _HIDDEN_ID.search(identity) or _HIDDEN_CLASS.search(kind):
        return True
    return tag in _PRUNED and bool(
        _PRUNED_CLASS.search(kind)
        or _PRUNED_ID.search(identity)
        or _PRUNED_EITHER.search(identity or kind)
    )


_CHROME_ROLES = _names("banner contentinfo navigation search")
# Not `sidebar` alone: in DocBook and Sphinx that is a box in the text (a fifth of a chapter of
# Debian's handbook).
_CHROME_CLASS = re.compile(
    r"^(?:related|headerlink|footer|navheader|navfooter|toc|navbar|breadcrumbs?)$"
    r"|.sidebar|sidebar.|navigation|noprint|navbar|toctree-wrapper|skip-?link|linenos|gutter|docnav"
    r"|(?:^|[ _-])nav(?:$|[ _-])"
)
_CHROME_ID = re.compile(
    r"^(?:banner|footer|header|nav|navigation|sidebar|toc|top-?nav|breadcrumbs?)$"
)


def is_line_number(kind: str) -> bool:
    """Whether an element of this class numbers a line of code."""
    return kind in ("lineno", "linenos", "line-number", "linenum")


@lru_cache(maxsize=1 << 14)
def is_chrome(tag: str, identity: str, kind: str, role: str) -> bool:
    """Whether an element of a manual is none of its text, by a name that no section of it has.

    Sphinx, DocBook and others name a section's element after its heading: `author`, `menu` or
    `options` say nothing there.
    """
    return bool(
        role in _CHROME_ROLES
        or _CHROME_CLASS.search(kind)
        or (tag == "div" and _CHROME_ID.search(identity))
    )


@lru_cache(maxsize=1 << 14)
def stages(tag: str, identity: str, kind: str, role: str, item: str) -> tuple[int, ...]:
    """For which rounds of the search for the main text's frame this element is a candidate."""
    if tag not in _FRAMES:
        return ()
    named = (
        item == "articleBody" or _ARTICLE_ID.search(identity) or _ARTICLE_CLASS.search(kind),
        tag == "article",
        role == "article" or _STORY_ID.search(identity) or _STORY_CLASS.search(kind),
        _MAIN_ID.search(identity) or _MAIN_CLASS.search(kind),
        tag == "main" or any(name.startswith("main") for name in (kind, identity, role)),
    )
    return tuple(stage for stage, found in enumerate(named) if found)
