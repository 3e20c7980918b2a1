"""The text of a page: an article's or a manual's, each as it is written.

Of an article it is running text, and little of all the rest. The rounds in which its frame is
looked for are those of trafilatura 2.3.1 (Apache-2.0), and so is what counts as text in it. Where a
page names no frame, the one with the most running text stands in for trafilatura's readability,
which took a third of its time.
Source: Barbaresi, ACL 2021 (trafilatura); Mozilla's Readability.

Of a page of a manual it is all but what leads to other pages. What tells an article from its
surroundings (running text, few links, no tables) tells nothing there: lists of definitions, tables
and code are the text.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.clean.extractors.auto import Way
from tasks.clean.extractors.extraction import Extraction
from tasks.clean.extractors.vocabulary import HEADINGS
from tasks.clean.extractors.walk import CELLS, Block, Frame, Page, parse, read, size

MIN_CHARS = 250
"""Under so many characters, a frame's paragraphs are not all of the text (trafilatura's bound)."""

_MOST = 0.6
"""Share of a frame's running text; of 0.5 to 0.8 the best, in pages with names and without."""

_LEAVES = frozenset(("blockquote", "dd", "dt", "li", "p", "pre", "td"))
_SOLID = HEADINGS | {"blockquote", "dd", "dt", "li", "p", "pre", "td", "th"}

_MIN_TERMS = 0.2
"""Share of the text in lists of definitions: under 0.1 in all of 181 articles, over 0.2 in 46 of 53
pages of Python's manual and in all of pydoc's."""
_MIN_CODE = 0.1
"""Share of the text in `pre`, asked where no element is named an article: under 0.05
in all 181 articles."""
_NAMED_ARTICLE = 3
"""The rounds of the search whose names belong to articles, not to any page's main part."""

_COMPACT = frozenset(("dd", "dt", "li", "line", "td", "th"))  # docutils, Doxygen: class="line"
_LEVELS = {f"h{level}": "#" * level for level in range(1, 7)}


def main_text(html: str, way: Way, markdown: bool = False) -> Extraction:
    """Title and text; the way that was taken is told."""
    root = parse(html)
    if root is None:
        return Extraction("", "")
    page = read(root)
    blocks = reference(page)
    if way == "by_page":
        way = "reference" if is_reference(page, blocks) else "article"
    if way == "article":
        blocks = article(page)
    return Extraction(page.title, render(blocks, markdown), way)


def article(page: Page) -> list[Block]:
    """The blocks of the article, in order; none if the page has no text."""
    named = _named(page)
    fullest = _fullest(page)
    num_named, num_fullest = size(named), size(fullest)
    better = 2 if num_named < MIN_CHARS else 4
    found = fullest if num_fullest > better * num_named else named
    return found or [block for block in page.blocks if not block.drop]


def _named(page: Page) -> list[Block]:
    """By the frames whose names say that they hold the main text, the surest names first."""
    bare = False
    for stage, frame in enumerate(page.frames):
        if frame is None:
            continue
        blocks = _in(page, frame)
        if stage == 0:
            blocks = blocks + _further_parts(page, frame)
        bare = bare or not _has_paragraphs(blocks)
        found = _text(blocks, bare)
        if len(found) > 1 or (found and bare):
            return found
    return []


def _further_parts(page: Page, first: Frame) -> list[Block]:
    """Advertisements may divide an article into frames of one name; other articles are not it."""
    around = page.frames[1]
    end = first.end
    found: list[Block] = []
    for frame in page.parts:
        if around is not None and around.start <= first.start and end <= frame.start:
            if frame.end > around.end:
                break
            found += _in(page, frame)
            end = frame.end
    return found


def _fullest(page: Page) -> list[Block]:
    """By the innermost frame with most of the running text of the one around it, from outside in.

    Readability sums up what the parents of paragraphs hold, and takes the best: one of the parts,
    where an article has many (F1 0.939 against 0.952 with all names taken out of the pages).
    """
    mass = _mass(page)
    if not mass:
        return []
    fullest: dict[Frame, Frame] = {}
    frames = sorted(mass, key=lambda frame: frame.number)
    for frame in reversed(frames):
        if frame.parent is not None:
            mass[frame.parent] += mass[frame]
            if mass[frame] >= mass[fullest.get(frame.parent, frame)]:
                fullest[frame.parent] = frame
    best = frames[0]
    while best in fullest and mass[fullest[best]] >= _MOST * mass[best]:
        best = fullest[best]
    blocks = _in(page, best)
    return _text(blocks, not _has_paragraphs(blocks))


def _mass(page: Page) -> dict[Frame, float]:
    """How much running text each frame holds by itself: many commas, few links (Readability).

    All frames around those that hold any are there as well.
    """
    mass: dict[Frame, float] = {}
    for block in page.blocks:
        num = len(block.text)
        if num < 25 or block.linked * 2 > num or block.kind in HEADINGS:
            continue
        score = (1 + block.text.count(",") + min(num / 100, 3)) * (1 - block.linked / num)
        holder = block.frame
        if block.kind in _LEAVES and holder.parent is not None:
            holder = holder.parent  # a paragraph is never all of the text
        around: Frame | None = holder
        while around is not None and around not in mass:
            mass[around] = 0
            around = around.parent
        mass[holder] += score / 4 if block.drop else score
    return mass


def _in(page: Page, frame: Frame) -> list[Block]:
    """The frame's blocks that no rule drops; all if that would leave under a seventh."""
    blocks = page.blocks[frame.start : frame.end]
    kept = [block for block in blocks if block.drop <= frame.number]
    return kept if size(kept) * 7 > size(blocks) else blocks


def _has_paragraphs(blocks: list[Block]) -> bool:
    return sum(len(block.text) for block in blocks if block.kind == "p") >= MIN_CHARS


def _text(blocks: list[Block], bare: bool) -> list[Block]:
    """Without what stands bare in a `div`, unless that is all; without headings at the end."""
    found = [block for block in blocks if bare or block.broken or block.kind in _SOLID]
    while found and found[-1].kind in HEADINGS:
        found.pop()
    return found


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


def render(blocks: Sequence[Block], markdown: bool = False) -> str:
    """The text of blocks that follow each other. Items have dashes, cells have bars between them.

    With `markdown`, headings, quotes, code and the heads of tables are marked as well.
    """
    pieces: list[str] = []
    items = {0}
    rules = _rules(blocks) if markdown else {}
    before: Block | None = None
    for block in blocks:
        if before is not None:
            pieces.append(_between(before, block))
            if before.frame.row != block.frame.row:
                pieces.append(rules.pop((before.frame.row, block.frame.table), ""))
        if block.frame.item not in items:
            items.add(block.frame.item)
            pieces.append("- ")
        pieces.append(_marked(block) if markdown else block.text)
        before = block
    return "".join(pieces)


def _between(one: Block, other: Block) -> str:
    a, b = one.frame, other.frame
    if one.kind in CELLS and other.kind in CELLS and a.row == b.row and a.cell != b.cell:
        return " | "
    compact = (one.kind in _COMPACT and other.kind in _COMPACT) or (a.item and b.item)
    return "\n" if compact else "\n\n"


def _marked(block: Block) -> str:
    if block.kind in _LEVELS:
        return f"{_LEVELS[block.kind]} {' '.join(block.text.split())}"
    if block.kind == "pre":
        fence = "````" if "```" in block.text else "```"
        return f"{fence}\n{block.text}\n{fence}"
    if block.frame.quoted:
        return "\n".join(f"> {line}" for line in block.text.split("\n"))
    return block.text


def _rules(blocks: Sequence[Block]) -> dict[tuple[int, int], str]:
    """The line that goes between the first row of each table, if it has two cells, and the next."""
    firsts: dict[int, int] = {}
    cells: dict[int, set[int]] = {}
    for block in blocks:
        frame = block.frame
        if frame.table and firsts.setdefault(frame.table, frame.row) == frame.row:
            cells.setdefault(frame.row, set()).add(frame.cell)
    return {
        (row, table): " | ".join(["---"] * len(cells[row])) + "\n"
        for table, row in firsts.items()
        if len(cells[row]) > 1
    }
