"""The main text of an article, a post, a piece of news: running text, and little of all the rest.

The rounds in which its frame is looked for are those of trafilatura 2.3.1 (Apache-2.0), and so is
what counts as text in it. Where a page names no frame, the one with the most running text stands in
for trafilatura's readability, which took a third of its time.
Source: Barbaresi, ACL 2021 (trafilatura); Mozilla's Readability.
"""

from __future__ import annotations

from tasks.clean.extractors.blocks import Block, Frame, Page, size
from tasks.clean.extractors.vocabulary import HEADINGS

MIN_CHARS = 250
"""Under so many characters, a frame's paragraphs are not all of the text (trafilatura's bound)."""

_MOST = 0.6
"""Share of a frame's running text; of 0.5 to 0.8 the best, in pages with names and without."""

_LEAVES = frozenset(("blockquote", "dd", "dt", "li", "p", "pre", "td"))
_SOLID = HEADINGS | {"blockquote", "dd", "dt", "li", "p", "pre", "td", "th"}


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
