"""A page as a list of runs of text, each with what the elements around it say: one walk.

trafilatura copies the tree seven times and walks it some forty times, an XPath expression for each
rule. Here a rule is asked when the walk enters or leaves an element, and marks the blocks in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lxml import etree

from tasks.clean.extractors.vocabulary import (
    BLOCKS,
    HEADINGS,
    LISTS,
    NUM_STAGES,
    SKIPPED,
    is_chrome,
    is_comments,
    is_pruned,
    stages,
)

_CELLS = frozenset(("td", "th"))
_WEIGHED = frozenset("div p blockquote pre table".split()) | LISTS | HEADINGS
_PERMALINKS = frozenset("¶ # § 🔗 \uf0c1".split())  # a heading's own address
_BREAK = "\0"  # <br>; no parsed text can hold it


class Frame:
    """An element that holds blocks: those from `start` to `end`."""

    __slots__ = (
        "cell",
        "chars",
        "chrome",
        "drop",
        "end",
        "links",
        "number",
        "parent",
        "row",
        "start",
        "tag",
    )

    def __init__(self, tag: str, number: int, parent: Frame | None) -> None:
        self.tag, self.number, self.parent = tag, number, parent
        self.start = self.end = self.chars = self.links = 0
        self.drop = False
        if parent is None:
            self.row = self.cell = 0
            self.chrome = False
        else:
            self.row, self.cell, self.chrome = parent.row, parent.cell, parent.chrome


class Block:
    """A run of text: a paragraph, an item, a heading, a cell, or what stands bare in a `div`."""

    __slots__ = ("broken", "drop", "frame", "kind", "linked", "text")

    def __init__(self, text: str, frame: Frame, linked: int, broken: bool) -> None:
        self.text, self.frame, self.linked, self.broken = text, frame, linked, broken
        self.kind = frame.tag
        self.drop = 0
        """The innermost element around it, by number, that is no main text; 0: there is none."""


@dataclass
class Page:
    """All of a page's blocks, and the frames that may hold the main text."""

    blocks: list[Block] = field(default_factory=list)
    frames: list[Frame | None] = field(default_factory=lambda: [None] * NUM_STAGES)
    forms: list[tuple[Frame, int]] = field(default_factory=list)
    parts: list[Frame] = field(default_factory=list)
    title: str = ""
    chars: int = 0


def parse(html: str) -> etree._Element | None:
    parser = etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True
    )
    parser.feed(html.encode("utf-8", "replace"))
    return parser.close()


def read(root: etree._Element) -> Page:
    """Walk the tree once."""
    page = Page()
    page.title = root.findtext(".//title") or ""
    walker = _Walk(page)
    walker.walk(root)
    page.chars = walker.chars
    for frame, chars in page.forms:
        if chars * 2 <= page.chars:
            mark(page.blocks, frame)
    return page


def mark(blocks: list[Block], frame: Frame) -> None:
    """The frame is no main text, unless what is in it is asked for alone."""
    number = frame.number
    for block in blocks[frame.start : frame.end]:
        if block.drop < number:
            block.drop = number


class _Walk:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.blocks = page.blocks
        self.pieces: list[str] = []
        self.linked = 0
        self.chars = 0
        self.links: list[int] = []
        self.frame = Frame("html", 0, None)
        self.number = 0
        self.anchor = 0
        self.in_link = 0
        self.in_pre = 0
        self.wrapped: list[etree._Element] = []

    def walk(self, root: etree._Element) -> None:
        events = etree.iterwalk(root, events=("start", "end"))
        skipped = False
        pieces = self.pieces
        for event, e in events:
            tag = e.tag
            if event == "start":
                if tag in SKIPPED:
                    skipped = True
                    events.skip_subtree()
                    continue
                if tag in BLOCKS:
                    if pieces:
                        self.flush()
                    skipped = self.enter(e, tag)
                elif tag == "a":
                    if not self.in_link:
                        self.anchor = len(pieces)
                    self.in_link += 1
                elif tag == "br" or tag == "hr":
                    pieces.append(_BREAK)
                elif e.attrib and (
                    tag == "span" or e.get("style") or e.get("id") or e.get("class")
                ):
                    skipped = hidden(e)
                    if not skipped and is_pruned(tag, e.get("id", ""), e.get("class", "")):
                        skipped = not any(child.tag in BLOCKS for child in e)
                        if not skipped:
                            self.flush()
                            self.enter(e, tag)
                            self.wrapped.append(e)
                if skipped:
                    events.skip_subtree()
                    continue
                if e.text:
                    pieces.append(e.text)
                continue
            if skipped:
                skipped = False
            elif tag in BLOCKS:
                if pieces:
                    self.flush()
                self.leave(e, tag)
            elif self.wrapped and self.wrapped[-1] is e:
                self.wrapped.pop()
                self.flush()
                self.leave(e, tag)
            elif tag == "a" and self.in_link:
                self.in_link -= 1
                if not self.in_link:
                    if len(pieces) == self.anchor + 1 and pieces[-1] in _PERMALINKS:
                        pieces.pop()
                    else:
                        self.links.append(self.link())
            if e.tail:
                pieces.append(e.tail)
        if pieces:
            self.flush()

    def link(self) -> int:
        num = len(" ".join("".join(self.pieces[self.anchor :]).split()))
        self.linked += num
        return num

    def flush(self) -> None:
        if self.in_link:
            num = self.link()
            self.anchor = 0
            if num:
                self.links.append(num)
        raw = "".join(self.pieces)
        self.pieces.clear()
        linked, self.linked = self.linked, 0
        if raw.isspace() or not raw:
            return
        broken = _BREAK in raw
        if self.in_pre:
            text = raw.replace(_BREAK, "\n").strip("\n")
        elif broken:
            lines = (" ".join(line.split()) for line in raw.split(_BREAK))
            text = "\n".join(line for line in lines if line)
            if not text:
                return
        else:
            text = " ".join(raw.split())
        self.blocks.append(Block(text, self.frame, linked, broken))
        self.chars += len(text) + 1

    def enter(self, e: etree._Element, tag: str) -> bool:
        identity, kind = e.get("id", ""), e.get("class", "")
        if is_comments(tag, identity, kind):
            return True
        self.number += 1
        frame = Frame(tag, self.number, self.frame)
        frame.start, frame.chars, frame.links = len(self.blocks), self.chars, len(self.links)
        self.frame = frame
        if e.attrib:
            role = e.get("role", "")
            frame.drop = (
                (identity or kind) and is_pruned(tag, identity, kind) or "nav" in role.lower()
            ) or hidden(e)
            if is_chrome(tag, identity, kind, role):
                frame.chrome = True
            for stage in stages(tag, identity, kind, role, e.get("itemprop", "")):
                if self.page.frames[stage] is None:
                    self.page.frames[stage] = frame
                elif stage == 0:
                    self.page.parts.append(frame)
        elif tag == "article" or tag == "main":
            stage = 1 if tag == "article" else 4
            if self.page.frames[stage] is None:
                self.page.frames[stage] = frame
        if tag == "header" or (tag == "figure" and e.find(".//table") is None):
            frame.drop = True
        if tag == "tr":
            frame.row = frame.number
        elif tag in _CELLS:
            frame.cell = frame.number
        elif tag == "pre":
            self.in_pre += 1
        return False

    def leave(self, e: etree._Element, tag: str) -> None:
        frame = self.frame
        assert frame.parent is not None
        self.frame = frame.parent
        frame.end = len(self.blocks)
        if tag == "pre":
            self.in_pre -= 1
        if frame.end == frame.start:
            self.chars = frame.chars
            return
        drop = frame.drop
        if not drop and tag in _WEIGHED and len(self.links) > frame.links:
            links = self.links[frame.links :]
            drop = is_linked(tag, self.chars - frame.chars, links, e, frame.parent)
        if drop:
            mark(self.blocks, frame)
            self.chars = frame.chars
            del self.links[frame.links :]
        elif tag == "form":
            self.page.forms.append((frame, self.chars - frame.chars))


def hidden(e: etree._Element) -> bool:
    style = e.get("style")
    if style and ("hidden" in style or "display:none" in style or "display: none" in style):
        return True
    return e.get("aria-hidden") == "true"


def is_linked(
    tag: str, chars: int, links: Sequence[int], e: etree._Element, parent: Frame
) -> bool:
    """Whether an element is little but links. trafilatura's rules (`link_density_test`)."""
    total = sum(links)
    if tag == "table":
        return chars >= 200 and total > (0.8 if chars < 1000 else 0.5) * chars
    if tag == "p" and parent.tag in ("li", "dd", "dt", "td", "th"):
        return False
    if len(links) == 1 and total > 10 and total > 0.9 * chars:
        return True
    last = e.getnext() is None
    limit = (60 if last else 30) if tag == "p" else 300 if last else 100
    if chars < limit:
        named = [num for num in links if num]
        if not named or total > 0.8 * chars:
            return True
        if len(named) > 1 and sum(num < 10 for num in named) > 0.8 * len(named):
            return True
        return tag == "div" and len(e) > 0 and chars < 200
    return len(links) > 4 and total > 0.9 * chars and total < 100 * len(links)
