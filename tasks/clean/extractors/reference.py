"""The text of a page of a manual: all of it but what leads to other pages.

What tells an article from its surroundings (running text, few links, no tables) tells nothing here:
lists of definitions, tables and code are the text.
"""

from __future__ import annotations

from tasks.clean.extractors.blocks import Block, Page, size

_MIN_TERMS = 0.2
"""Share of the text in lists of definitions: under 0.1 in all of 181 articles, over 0.2 in 46 of 53
pages of Python's manual and in all of pydoc's."""
_MIN_CODE = 0.1
"""Share of the text in `pre`, asked where no element is named an article: under 0.05
in all 181 articles."""
_NAMED_ARTICLE = 3
"""The rounds of the search whose names belong to articles, not to any page's main part."""


def reference(page: Page) -> list[Block]:
    """The blocks of the page, or of its main part if that is named and holds most of them."""
    blocks = [block for block in page.blocks if not block.frame.chrome]
    main = page.frames[-1]
    if main is not None:
        inner = [b for b in page.blocks[main.start : main.end] if not b.frame.chrome]
        if size(inner) * 2 > size(blocks):
            return inner
    return blocks


def is_reference(page: Page, blocks: list[Block]) -> bool:
    """Whether the page is one of a manual; `blocks` are its text if it is."""
    if page.is_manual:
        return True
    num = size(blocks)
    terms = sum(len(block.text) for block in blocks if block.frame.terms)
    if terms > _MIN_TERMS * num:
        return True
    code = sum(len(block.text) for block in blocks if block.kind == "pre")
    return not any(page.frames[:_NAMED_ARTICLE]) and code > _MIN_CODE * num
