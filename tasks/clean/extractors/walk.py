"""A page's tree, in one walk, to a list of runs of text, each with what the elements around it say.

trafilatura copies the tree several times and walks it anew for each rule. Here a rule is asked when
the walk enters or leaves an element, and marks the blocks in it: parsing takes 1.4 ms, the walk and
all that follows some 2.5, where trafilatura takes 22 (181 pages of the article benchmark).
resiliparse's parser takes 0.4 ms, but reading its tree from Python then 7.5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lxml import etree

from tasks.clean.extractors.vocabulary import (
    BLOCKS,
    HEADINGS,
    LISTS,
    MANUALS,
    NUM_STAGES,
    SKIPPED,
    SKIPPED_IN_MANUALS,
    is_chrome,
    is_comments,
    is_line_number,
    is_pruned,
    stages,
)

CELLS = frozenset(("td", "th"))
_ITEMS = frozenset(("dd", "dt", "li", "td", "th"))
_WEIGHED = LISTS | HEADINGS | {"blockquote", "div", "p", "pre", "table"}
_BREAKS = frozenset(("br", "hr"))
_BREAK = "\0"  # <br>; no parsed text can hold it
_PERMALINKS = frozenset(("¶", "#", "§", "🔗", "\uf0c1"))  # a heading's own address
_HIDING = re.compile(r"(?:visibility:\s*hidden|display:\s*none)", re.I)
_GAPS = re.compile(r"\n{3,}")
_LONGEST_NAME = 400
"""Characters of a class or id that are looked at: some pages put data there, and names are kept."""


class Frame:
    """An element that holds blocks: those from `start` to `end`."""

    __slots__ = (
        *("cell", "chars", "chrome", "drop", "end", "item", "links", "number", "parent"),
        *("quoted", "row", "start", "table", "tag", "terms"),
    )

    def __init__(self, tag: str, number: int, parent: Frame | None) -> None:
        self.tag, self.number, self.parent = tag, number, parent
        self.start = self.end = 0
        self.chars = self.links = 0
        """Characters of the page and links in it before this element."""
        self.drop = False
        """The names of the element say that it is no main text."""
        self.table = self.row = self.cell = self.item = 0
        """Numbers of the nearest table, row, cell and list item."""
        self.chrome = self.terms = False
        """In what leads to other pages of a manual; in a list of definitions."""
        self.quoted = tag == "blockquote"
        if parent is not None:
            self.table, self.row = parent.table, parent.row
            self.cell, self.item = parent.cell, parent.item
            self.chrome, self.terms = parent.chrome, parent.terms
            self.quoted = self.quoted or parent.quoted
        if tag == "tr":
            self.row = number
        elif tag in CELLS:
            self.cell, self.item = number, 0
        elif tag == "li":
            self.item = number
        elif tag == "table":
            self.table = number
        elif tag == "dl":
            self.terms = True


class Block:
    """A run of text: a paragraph, an item, a heading, a cell, or what stands bare in a `div`."""

    __slots__ = ("broken", "drop", "frame", "kind", "linked", "text")

    def __init__(self, text: str, frame: Frame, linked: int, broken: bool) -> None:
        self.text, self.frame, self.kind = text, frame, frame.tag
        self.linked, self.broken = linked, broken
        """Characters in links; whether `<br>` divides it into lines."""
        self.drop = 0
        """The innermost element around it, by number, that is no main text; 0: there is none."""


@dataclass
class Page:
    """All of a page's blocks, and the frames that may hold the main text."""

    title: str
    is_manual: bool
    """A program that writes manuals signed it."""
    blocks: list[Block] = field(default_factory=list)
    frames: list[Frame | None] = field(default_factory=lambda: [None] * NUM_STAGES)
    """The first candidate of each round."""
    parts: list[Frame] = field(default_factory=list)
    """More candidates of the first round: one article in parts, or other articles."""


def size(blocks: Sequence[Block]) -> int:
    """Characters of text."""
    return sum(len(block.text) for block in blocks)


class TooDeep(Exception):
    """Elements are nested deeper than libxml2 goes, 2 048 with all limits off."""


def parse(html: str) -> etree._Element | None:
    """The tree of a page; None if there is none.

    Raises TooDeep: libxml2 stops there, and what follows would be lost without a word.
    """
    parser = etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True
    )
    try:
        root = etree.fromstring(html.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:  # nothing but white space or comments
        root = None
    if is_cut(parser):
        raise TooDeep
    return root


def is_cut(parser: etree.HTMLParser) -> bool:
    """Whether a parser gave up before the end of the page that it read last."""
    last = parser.error_log.last_error
    return last is not None and last.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT


def read(root: etree._Element) -> Page:
    """The blocks of a tree."""
    written_by = "\n".join(
        meta.get("content", "") for meta in root.iterfind('.//meta[@name="generator"]')
    )
    page = Page(root.findtext(".//title") or "", MANUALS.search(written_by) is not None)
    _Walk(page).run(root)
    return page


class _Walk:
    def __init__(self, page: Page) -> None:
        self._page = page
        self._blocks = page.blocks
        self._frame = Frame("html", 0, None)
        self._number = 0
        self._pieces: list[str] = []
        self._links: list[int] = []
        self._chars = self._linked = 0
        self._anchor = self._num_anchors = self._num_pre = 0
        self._forms: list[tuple[Frame, int]] = []
        self._inline: list[etree._Element] = []

    def run(self, root: etree._Element) -> None:
        """Enter and leave every element, in the order of the page."""
        walker = etree.iterwalk(root, events=("start", "end"))
        pieces = self._pieces
        unwanted = SKIPPED_IN_MANUALS if self._page.is_manual else SKIPPED
        skipped = False
        for event, element in walker:
            tag = element.tag
            if event == "start":
                skipped = tag in unwanted or self._begin(element, tag)
                if skipped:
                    walker.skip_subtree()  # its end comes next
                elif element.text:
                    pieces.append(element.text)
                continue
            if not skipped:
                self._end(element, tag)
            skipped = False
            if element.tail:
                pieces.append(element.tail)
        self._flush()
        for frame, chars in self._forms:
            if chars * 2 <= self._chars:  # ASP.NET has the whole page in a form
                self._mark(frame)

    def _begin(self, element: etree._Element, tag: str) -> bool:
        """Whether to skip the element."""
        if tag in BLOCKS:
            return self._enter(element, tag)
        if tag == "a":
            if not self._num_anchors:
                self._anchor = len(self._pieces)
            self._num_anchors += 1
        elif tag in _BREAKS:
            self._pieces.append(_BREAK)
        elif element.attrib:
            return self._begin_inline(element, tag)
        return False

    def _begin_inline(self, element: etree._Element, tag: str) -> bool:
        if _is_hidden(element):
            return True
        if self._page.is_manual or not is_pruned(tag, *_names(element)):
            return is_line_number(element.get("class", ""))
        if any(child.tag in BLOCKS for child in element):  # HubSpot: the whole post in a span
            self._inline.append(element)
            return self._enter(element, tag)
        return True

    def _end(self, element: etree._Element, tag: str) -> None:
        if tag in BLOCKS:
            self._leave(element, tag)
        elif tag == "a":
            self._num_anchors -= 1
            if not self._num_anchors:
                self._end_anchor()
        elif self._inline and self._inline[-1] is element:
            self._inline.pop()
            self._leave(element, tag)

    def _end_anchor(self) -> None:
        if len(self._pieces) == self._anchor + 1 and self._pieces[-1] in _PERMALINKS:
            self._pieces.pop()
        else:
            self._links.append(self._count_link())

    def _count_link(self) -> int:
        num = len(" ".join("".join(self._pieces[self._anchor :]).split()))
        self._linked += num
        return num

    def _flush(self) -> None:
        """What was read since the last block is one."""
        if not self._pieces:
            return
        if self._num_anchors:  # a link around blocks
            num = self._count_link()
            if num:
                self._links.append(num)
            self._anchor = 0
        raw = "".join(self._pieces)
        self._pieces.clear()
        linked, self._linked = self._linked, 0
        text = _preformatted(raw) if self._num_pre else _running(raw)
        if text:
            self._blocks.append(Block(text, self._frame, linked, _BREAK in raw))
            self._chars += len(text) + 1

    def _enter(self, element: etree._Element, tag: str) -> bool:
        self._flush()
        identity, kind = _names(element)
        if is_comments(tag, identity, kind) and not self._page.is_manual:
            return True  # of readers; a manual has sections on the comments of a language
        self._number += 1
        frame = self._frame = Frame("line" if kind == "line" else tag, self._number, self._frame)
        frame.start, frame.chars, frame.links = len(self._blocks), self._chars, len(self._links)
        role = element.get("role", "")
        frame.drop = (
            tag == "header"
            or is_pruned(tag, identity, kind)
            or "nav" in role.lower()
            or (tag == "figure" and element.find(".//table") is None)
            or _is_hidden(element)
        )
        frame.chrome = frame.chrome or is_chrome(tag, identity, kind, role)
        for stage in stages(tag, identity, kind, role, element.get("itemprop", "")):
            if self._page.frames[stage] is None:
                self._page.frames[stage] = frame
            elif stage == 0:
                self._page.parts.append(frame)
        if tag == "pre":
            self._num_pre += 1
        return False

    def _leave(self, element: etree._Element, tag: str) -> None:
        self._flush()
        frame = self._frame
        assert frame.parent is not None
        self._frame = frame.parent
        frame.end = len(self._blocks)
        if tag == "pre":
            self._num_pre -= 1
        if frame.end == frame.start:
            return
        chars = self._chars - frame.chars
        if frame.drop or self._is_linked(frame, chars, element):
            self._mark(frame)
            self._chars = frame.chars
            del self._links[frame.links :]
        elif tag == "form":
            self._forms.append((frame, chars))

    def _is_linked(self, frame: Frame, chars: int, element: etree._Element) -> bool:
        """Whether an element is little but links.

        Source: trafilatura 2.3.1, `htmlprocessing.link_density_test` as `favor_precision` has it.
        """
        if frame.tag not in _WEIGHED or len(self._links) == frame.links:
            return False
        links = self._links[frame.links :]
        linked = sum(links)
        if frame.tag == "table":
            return chars >= 200 and linked > (0.8 if chars < 1000 else 0.5) * chars
        if frame.tag == "p":
            if frame.parent is not None and frame.parent.tag in _ITEMS:
                return False  # its list or table is asked
            limit = 60 if element.getnext() is None else 30
        else:
            limit = 300 if element.getnext() is None else 100
        if len(links) == 1 and linked > 10 and linked > 0.9 * chars:
            return True
        if chars >= limit:
            return len(links) > 4 and linked > 0.9 * chars and linked < 100 * len(links)
        return (frame.tag == "div" and len(element) > 0 and chars < 200) or _are_labels(
            links, chars
        )

    def _mark(self, frame: Frame) -> None:
        """The frame is no main text, unless what is in it is asked for alone."""
        number = frame.number
        for block in self._blocks[frame.start : frame.end]:
            block.drop = max(block.drop, number)


def _names(element: etree._Element) -> tuple[str, str]:
    """Id and class of an element."""
    return element.get("id", "")[:_LONGEST_NAME], element.get("class", "")[:_LONGEST_NAME]


def _is_hidden(element: etree._Element) -> bool:
    style = element.get("style")
    if style and _HIDING.search(style):
        return True
    return element.get("aria-hidden") == "true"


def _are_labels(links: Sequence[int], chars: int) -> bool:
    """Whether links of these lengths are the better part of a short text, or one word each."""
    named = [num for num in links if num]
    few = sum(num < 10 for num in named) > 0.8 * len(named)
    return not named or sum(named) > 0.8 * chars or (len(named) > 1 and few)


def _running(raw: str) -> str:
    if _BREAK not in raw:
        return " ".join(raw.split())
    lines = [_line(line) for line in raw.split(_BREAK)]
    return _GAPS.sub("\n\n", "\n".join(lines)).strip("\n")


def _line(raw: str) -> str:
    """pydoc and others indent their code by no-break spaces."""
    inner = raw.lstrip(" \t\n\r\f")
    num = len(inner) - len(inner.lstrip("\xa0"))
    text = " ".join(inner.split())
    return " " * num + text if num > 1 and text else text


def _preformatted(raw: str) -> str:
    text = raw.replace(_BREAK, "\n").strip("\n")
    return "" if text.isspace() else text
